"""usage: mubench export --name GROUP [key=value ...] [--contact TEXT] [--to FILE] [out=PATH]

Write a submission: one zip with the records of finished runs, for others' leaderboards (docs/submissions.md).
No model, prediction or forgotten example is in it, and no place, user, host or key of this machine. A run is
left out, and why is said, that lacks what a row needs: hash of the forget set, seeds, retrained model, cost.
The same runs give the same bytes.

Filters choose runs as for `mubench table`.

  --name GROUP      who submits: up to 40 of a-z, 0-9 and -
  --contact TEXT    how to reach you; everybody can read it
  --to FILE         where to (default: submissions/GROUP.zip of the outputs folder)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mubench.commands import arguments, finished
from mubench.errors import UsageError

if TYPE_CHECKING:
    from mubench.records import Record
    from mubench.submissions.bundle import Entry


def main(argv: Sequence[str]) -> int:
    """Check the names, then the runs, then write; 1 if a run was left out."""
    from mubench.files import check_outputs
    from mubench.submissions import bundle

    typed = arguments.read(argv, {}, ("--name", "--contact", "--to"))
    out, words = arguments.out_of(typed.words)
    wanted, _ = finished.filters("export", words, ())
    group, contact = _who(typed.options)
    path = Path(typed.options.get("to", out / "submissions" / f"{group}.zip"))
    check_outputs(path.parent)
    entries, left = _entries(finished.own(out, wanted))
    if not entries:
        raise UsageError("no run can be submitted: each lacks what a leaderboard needs")
    made = bundle.write(path, entries, group, contact)
    taken_out = sorted({name for names in made.stripped.values() for name in names})
    print(f"{len(entries)} runs of {group}" + (f", without {', '.join(taken_out)}" if taken_out else ""))
    print(path)
    return 1 if left else 0


def _who(options: dict[str, str]) -> tuple[str, str | None]:
    from mubench.submissions.bundle import check_contact
    from mubench.submissions.requirements import check_group
    from mubench.submissions.strict import Refused

    if "name" not in options:
        raise UsageError("export needs --name GROUP: who submits")
    try:
        return check_group(options["name"]), check_contact(options.get("contact"))
    except Refused as error:
        raise UsageError(str(error)) from error


def _entries(runs: Sequence[tuple[Path, Record]]) -> tuple[list[Entry], int]:
    """The runs that can be submitted, and how many cannot, each of which is told."""
    from mubench.submissions.bundle import entry
    from mubench.submissions.strict import Refused

    found, left = [], 0
    for folder, record in runs:
        try:
            found.append(entry(folder, record))
        except Refused as error:
            left += 1
            print(f"left out: {folder}: {error}", file=sys.stderr)
    return found, left
