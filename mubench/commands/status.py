"""usage: mubench status [GLOB] [out=PATH]

What is done, failed, diverged, corrupt or unfinished, with the reason of each failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch

from mubench.commands import arguments
from mubench.records import query
from mubench.report.status import state


def main(argv: Sequence[str]) -> int:
    """Print counts, then a line for each run that is not complete."""
    out, words = arguments.out_of(arguments.read(argv, {}).words)
    pattern = words[0] if words else "*"
    runs = out / "runs"
    found = [(str(folder.relative_to(runs)), *state(folder, record)) for folder, record in query(out)]
    found = [run for run in found if fnmatch(run[0], pattern)]
    counts = Counter(word for _, word, _ in found)
    summary = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    print(f"{len(found)} runs in {out}" + (f": {summary}" if found else ""))
    for name, word, why in found:
        if word != "complete":
            print(f"  {word:10} {name}{f': {why}' if why else ''}")
    return 0
