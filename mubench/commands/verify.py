"""usage: mubench verify [METHOD ...] [task=NAME] [key=value ...] [--config-dir DIR] [out=PATH]

Check that a method does what every method must: that its loss is what it says, that what should move
moves and nothing else, that every setting acts, that it reads only its sets and can be repeated.
On a few dozen rows of one task for each kind of target that the method serves; a minute or two on a CPU.
Without a METHOD all of them, a minute each. Exits 1 if a check fails. `mubench table` marks methods
that passed; docs/verify.md says what each check proves.

  task=NAME         on rows of this task only
  method.alpha=.3   with other settings than the yaml's
  --all             show also the checks that passed or did not apply
  --config-dir DIR  a folder with your own method/ yamls, importable too
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mubench.commands import arguments
from mubench.errors import NotApplicable, UsageError
from mubench.files import check_outputs

if TYPE_CHECKING:
    from mubench.verify.suite import Report, Suite

MARKS = {True: "✓", False: "✗", None: "-"}


def main(argv: Sequence[str]) -> int:
    """Check, print and keep what was found."""
    from mubench import catalog
    from mubench.plan import Planner

    typed = arguments.read(argv, {"--all": "all"})
    names = [word for word in typed.words if "=" not in word]
    settings = [word for word in typed.words if "=" in word]
    if chosen := [word for word in settings if word.startswith("method=")]:
        raise UsageError(f"'{chosen[0]}': verify takes methods by name (mubench verify --help)")
    dirs = typed.dirs
    for name in names:
        catalog.path_of("method", name, dirs)
    check_outputs(arguments.out_of(settings)[0])
    planner = Planner(dirs)
    planner.overrides(settings)
    from mubench.verify.suite import Suite

    suite = Suite(planner, settings)
    every = names or catalog.names("method", dirs)
    if not names:
        print(f"{len(every)} methods, about a minute each", file=sys.stderr, flush=True)
    failed = [name for name in every if not _verify(suite, name, bool(names), "all" in typed.flags)]
    if len(every) > 1:
        print(f"{len(every)} methods: {len(every) - len(failed)} passed" + _listed(failed))
    return 1 if failed else 0


def _listed(failed: Sequence[str]) -> str:
    return f", {len(failed)} failed: {', '.join(failed)}" if failed else ""


def _verify(suite: Suite, name: str, named: bool, full: bool) -> bool:
    """One method on its tasks; whether it passed. One that was not named may serve none."""
    from mubench import verified
    from mubench.typed import component
    from mubench.verify.suite import files_of

    passed = True
    try:
        for report in suite.reports(name):
            _print(report, full)
            passed = passed and report.passed
            settings, task = report.config.resolved["method"], report.config.key["task"]
            files = files_of(component(settings, "method"))
            verified.store(report.config.out, settings, files, {task: report.as_json()})
    except NotApplicable as reason:
        if named:
            raise
        print(f"{name}: n/a, {reason}")
    return passed


def _print(report: Report, full: bool) -> None:
    """A line that sums up, then the checks: those that failed, or all."""
    key, found = report.config.key, report.findings
    count = {state: sum(f.passed is state for f in found) for state in MARKS}
    print(
        f"{MARKS[report.passed]} {key['method']} on {key['task']} with {key['model']}: {count[True]} checks "
        f"passed, {count[False]} failed, {count[None]} do not apply ({report.seconds:.0f} s)"
    )
    width = max(len(finding.check) for finding in found)
    for finding in found:
        if full or finding.passed is False:
            print(f"  {MARKS[finding.passed]} {finding.check:{width}}  {finding.found}")
    sys.stdout.flush()
