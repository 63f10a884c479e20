"""usage: mubench import FILE|FOLDER ... [out=PATH]

Take others' submissions (zips of `mubench export`; of a folder all *.zip in it) into submissions/ of the
outputs folder, where table, plot and report show them beside your own runs (docs/submissions.md). Every run
is checked by itself: those that are not what a leaderboard needs are refused, each with its reason, the
others are taken. Importing again changes nothing. The numbers are what the group says: they are not computed
again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mubench.commands import arguments
from mubench.errors import UsageError


def main(argv: Sequence[str]) -> int:
    """Take them one by one; 1 if something was refused, 2 if nothing was taken."""
    from mubench.files import check_outputs

    out, words = arguments.out_of(arguments.read(argv, {}).words)
    paths = [path for word in words for path in _zips(Path(word))]
    if not paths:
        raise UsageError("import takes submissions (mubench export writes them), or folders of them")
    check_outputs(out)
    good = bad = 0
    for path in paths:
        taken, refused = _take(path, out)
        good, bad = good + taken, bad + refused
    return 2 if not good else 1 if bad else 0


def _zips(place: Path) -> Iterator[Path]:
    if place.is_dir():
        found = sorted(place.glob("*.zip"))
        if not found:
            raise UsageError(f"{place} holds no submission (*.zip)")
        yield from found
    elif place.is_file():
        yield place
    else:
        raise UsageError(f"there is no file {place}")


def _take(path: Path, out: Path) -> tuple[int, int]:
    """How many runs are there now, and how much was refused, each of which is told."""
    from mubench.submissions.strict import Refused, shown
    from mubench.submissions.taking import take

    name = shown(path, 300)[1:-1]
    try:
        taken = take(path, out)
    except Refused as error:
        print(f"refused: {name}: {error}", file=sys.stderr)
        return 0, 1
    for what, why in taken.refused:
        print(f"refused: {name}: {what}: {why}", file=sys.stderr)
    told = f"{taken.new} runs new, {taken.there} there already, {len(taken.refused)} refused"
    print(f"{name}: {told}" + (f" ({taken.folder})" if taken.new + taken.there else ""))
    return taken.new + taken.there, len(taken.refused)
