"""One run from its config to its record."""

from __future__ import annotations

import traceback
from functools import partial

from omegaconf import OmegaConf

from mubench import environment, failing, processes, records
from mubench.compatibility import check, refuse
from mubench.config import RunConfig, run_lock
from mubench.engine import Engine
from mubench.errors import Diverged, RunFailed, UsageError
from mubench.files import Corrupt, clear_leftovers, write_text, writing
from mubench.methods.base import Method
from mubench.progress import Reporter
from mubench.records import Record
from mubench.stages import work
from mubench.tracking.watch import tracked
from mubench.typed import component
from mubench.workbench import Workbench, lay_out


def run(config: RunConfig, reporter: Reporter) -> Record:
    """Carry out one run, or return its record if it is complete.

    What the settings ask for in vain (data, device) is a UsageError and leaves nothing behind. A failure
    of the work leaves a record, and is raised as UsageError, Diverged or RunFailed.
    """
    check(config)
    Engine(config.settings.trainer).join()
    method = component(config.settings.method, "method")
    folder = config.run_dir
    finished = _complete(config, reporter)
    if finished is None:
        bench = _lay_out(config, method, reporter)
        waiting = partial(reporter.say, "Waiting for another process with this run")
        with processes.locked(run_lock(folder), waiting):
            finished = _complete(config, Reporter(quiet=True))
            if finished is None:
                reporter.log = folder / "log.txt"
                return _attempt(config, method, bench, reporter)
    reporter.say(f"already complete: {folder}")
    return finished


def _complete(config: RunConfig, reporter: Reporter) -> Record | None:
    """The record of this very run if it is complete, its files whole, and it need not be forced."""
    try:
        if config.settings.force:
            return None
        return processes.shared(lambda: records.finished(config.run_dir))
    except Corrupt as error:
        reporter.warn(f"{error}; the run is repeated")
        return None


def _lay_out(config: RunConfig, method: Method, reporter: Reporter) -> Workbench | Exception:
    """What the run works with; a fault of the task's or model's own code is kept for the record."""
    try:
        bench = lay_out(config, reporter)
        refuse(bench, method)
    except (UsageError, RunFailed):
        raise
    except Exception as error:
        return error
    return bench


def _attempt(config: RunConfig, method: Method, bench: Workbench | Exception, reporter: Reporter) -> Record:
    """The work, and its record whether it went well or not; an interruption leaves none."""
    record, tracker = _begin(config), component(config.settings.tracking, "tracking")
    with tracked(tracker, record, config.run_dir, reporter):
        try:
            _carry_out(method, bench, record, reporter)
        finally:
            if record.finished is not None and processes.main():
                record.write(config.run_dir)
    return processes.shared(lambda: record)


def _begin(config: RunConfig) -> Record:
    """Write what the run is, and clear away what an earlier attempt left."""
    processes.shared(lambda: _clear(config))
    return Record(
        key=config.key,
        fingerprint=config.fingerprint,
        config=config.resolved,
        overrides=list(config.overrides),
        started=environment.now(),
    )


def _clear(config: RunConfig) -> None:
    folder = config.run_dir
    with writing(folder):
        for name in ("record.json", *records.FILES):
            (folder / name).unlink(missing_ok=True)
        clear_leftovers(folder)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config.resolved))
    write_text(folder / "overrides.yaml", OmegaConf.to_yaml(list(config.overrides)))


def _carry_out(method: Method, bench: Workbench | Exception, record: Record, reporter: Reporter) -> None:
    """Do the work; what goes wrong is noted in the record and raised as one sentence."""
    try:
        if isinstance(bench, Exception):
            raise bench
        with bench.engine.running():
            work(bench, method, record)
        record.finished = environment.now()
    except Exception as caught:
        reporter.note(traceback.format_exc())
        error = failing.agreed(caught)
        known = isinstance(error, UsageError | RunFailed)
        sentence = str(error) if known else f"{type(error).__name__}: {error}"
        record.status = "diverged" if isinstance(error, Diverged) else "failed"
        record.error, record.finished = sentence, environment.now()
        if known:
            raise error from caught.__cause__
        raise RunFailed(f"the run failed: {sentence} (details in {reporter.log})") from error
