"""One run carried out, whatever goes wrong with it."""

from __future__ import annotations

from mubench import catalog, failing
from mubench.config import RunConfig
from mubench.errors import RunFailed, UsageError, unexpected
from mubench.experiment import run
from mubench.launching.base import Failure
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.report.closing import closing


def attempt(cell: RunConfig, planner: Planner) -> Failure | None:
    """Do a run and print its closing table; the error that ended it, None where all went well."""
    reporter = Reporter()
    try:
        for sentence in catalog.replaced(planner.choices(cell.overrides), planner.dirs):
            reporter.say(sentence)
        closing(run(cell, reporter), cell.run_dir)
    except Exception as raised:  # whatever it is, other runs go on
        error = failing.agreed(raised)
        return error if isinstance(error, UsageError | RunFailed) else unexpected(error)
    return None
