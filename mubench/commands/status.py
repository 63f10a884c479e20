"""usage: mubench status [GLOB] [out=PATH]
       mubench status sweep=NAME [key=value ...] [-m] [out=PATH] [--config-dir DIR]

What is done, running, failed, diverged, corrupt, unfinished or not begun (its job waits or was stopped), with
the reason of each failure and the log of the run. With the overrides of `mubench run`: the same of the runs
of that plan, and which of them are missing or do not apply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from mubench import jobs
from mubench.commands import arguments
from mubench.index import Brief, briefs
from mubench.report.status import state

FLAGS = {"-m": "multirun", "--multirun": "multirun"}
Line = tuple[str, str, str]  # run directory below out/runs, where it stands, why


def main(argv: Sequence[str]) -> int:
    """Print counts, then a line for each run that is not complete."""
    typed = arguments.read(argv, FLAGS)
    out, words = arguments.out_of(typed.words)
    if typed.flags or any("=" in word for word in words):
        _tell(out, list(_planned(argv, out)))
    else:
        pattern = words[0] if words else "*"
        found = (_line(run, out) for run in briefs(out))
        _tell(out, [line for line in found if fnmatch(line[0], pattern)])
    return 0


def _line(run: Brief, out: Path) -> Line:
    return str(run.folder.relative_to(out / "runs")), *state(run)


def _planned(argv: Sequence[str], out: Path) -> Iterator[Line]:
    """The runs that `mubench run` would start, as they stand."""
    from mubench.commands.run import planned

    command = planned(argv, launches=True)
    known = {run.folder: run for run in briefs(out)}
    for cell in command.cells:
        yield _line(known.get(cell.run_dir, Brief(cell.run_dir, "missing")), out)
    for cell, reason in command.refused:
        yield str(cell.run_dir.relative_to(out / "runs")), "n/a", str(reason)


def _tell(out: Path, lines: Sequence[Line]) -> None:
    counts = Counter(word for _, word, _ in lines)
    summary = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    print(f"{len(lines)} runs in {out}" + (f": {summary}" if lines else ""))
    for name, word, why in lines:
        if word != "complete":
            print(f"  {word:10} {name}{f': {why}' if why else ''}")
        log = out / "runs" / name / "log.txt"
        if word in ("failed", "diverged", "unfinished", "running") and log.is_file():
            print(f"             {log}")
        job = jobs.of(log.parent) if word in ("unfinished", "running", "not begun") else None
        if job is not None:
            why = f": {job.error['sentence']}" if job.error else ""
            print(f"             {job.launcher} {job.number}, {job.log}{why}")
