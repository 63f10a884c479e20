"""Submissions taken into an outputs folder: run by run, whole or not at all, beside one's own runs."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mubench.files import locked, write_atomically, write_text
from mubench.records import Record
from mubench.submissions import bundle, opened, requirements
from mubench.submissions.found import HOME
from mubench.submissions.opened import Submission
from mubench.submissions.strict import Refused, parse, shown


@dataclass
class Taken:
    """What became of a submission."""

    folder: Path
    new: int = 0
    there: int = 0  # runs that had been imported before
    refused: list[tuple[str, Refused]] = field(default_factory=list)  # of which run or member, and why


def take(path: Path, out: Path) -> Taken:
    """Check a submission and store its good runs below `out`; Refused if the whole cannot be trusted."""
    submission = opened.read(path)
    home = out / HOME
    taken = Taken(home / submission.manifest.group / submission.name)
    taken.refused += submission.strange.items()
    with locked(home / ".lock", lambda: None):
        for run, files in submission.runs.items():
            try:
                _take(submission, run, files, taken)
            except Refused as error:
                taken.refused.append((run[:16], error))
    return taken


def _take(submission: Submission, run: str, files: dict[str, bytes] | Refused, taken: Taken) -> None:
    if isinstance(files, Refused):
        raise files
    _check(run, files)
    for folder in _before(taken.folder.parent, run):
        if {path.name: path.read_bytes() for path in folder.iterdir()} != files:
            raise Refused(f"this group's run of the same settings is there with other contents: {folder}")
        taken.there += 1
        return
    if not (taken.folder / bundle.MANIFEST).is_file():
        text = submission.manifest.text().decode()
        write_text(taken.folder / bundle.MANIFEST, text)
    _place(taken.folder.parents[1], taken.folder / run, files)
    taken.new += 1


def _check(run: str, files: Mapping[str, bytes]) -> Record:
    """The run's record, if all its files are what a leaderboard needs."""
    record = requirements.check(parse(files["record.json"]))
    if record.fingerprint != run:
        raise Refused(f"its fingerprint is {shown(record.fingerprint)}, not the folder's")
    if "curves.json" in files:
        bundle.check_curves(files["curves.json"], record)
    return record


def _before(group: Path, run: str) -> Iterator[Path]:
    """Where the group's run lies already, in this submission or an earlier one."""
    yield from (path.parent for path in sorted(group.glob(f"*/{run}/record.json")))


def _place(home: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a run's files beside all runs, then rename their folder to its place."""
    partial = home / ".part" / folder.name
    shutil.rmtree(partial.parent, ignore_errors=True)  # of an import that was killed
    for name, content in files.items():
        write_atomically(partial / name, functools.partial(Path.write_bytes, data=content))
    partial.rename(folder)
    partial.parent.rmdir()
