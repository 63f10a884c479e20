"""Recipes: for each method and kind of task, the settings found by `mubench search` (docs/recipes.md).

    python scripts/recipes.py 'task=digits seed.forget=1042,1043' task=mini/cifar100 --methods salun,scrub

is `mubench search -m` over all those methods, and writes what it finds to mubench's own recipes, which
`mubench run` reads by itself.

    python scripts/recipes.py --table     the table of docs/recipes.md, from the recipes there are
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from mubench import catalog, cli


def command(tasks: Sequence[str], methods: str, trials: int, out: str, into: Path) -> list[str]:
    """What `mubench` is told; `methods`: names or globs, comma between."""
    globs = methods.split(",")
    known = catalog.names("method", catalog.config_dirs())
    chosen = ",".join(name for name in known if any(fnmatch(name, glob) for glob in globs))
    return ["search", "-m", f"method={chosen}", *tasks, f"trials={trials}", f"out={out}", f"into={into}"]


def table(folder: Path) -> list[str]:
    """Markdown lines: the share of the training rate and the epochs of each recipe, method by modality."""
    cells: dict[tuple[str, str], str] = {}
    for path in sorted(folder.glob("*/**/*.yaml")):
        text = path.read_text(encoding="utf-8")
        share, epochs = re.search(r"lr: .*,([\d.e-]+)}", text), re.search(r"epochs: (\d+)", text)
        shown = f"{share[1]} × {epochs[1]}" if share and epochs else "own settings"
        cells[path.parent.relative_to(folder).as_posix(), path.stem] = shown
    methods, kinds = (sorted({key[place] for key in cells}) for place in (0, 1))
    rows = [["method", *kinds], ["---"] * (len(kinds) + 1)]
    rows += [[method, *(cells.get((method, kind), "") for kind in kinds)] for method in methods]
    return [f"| {' | '.join(row)} |" for row in rows]


def main() -> int:
    """Parse the flags, then search or print the table; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--methods", default="*", metavar="NAMES", help="names or globs, comma between")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--out", default="outputs", help="the searches lie in searches/ below it")
    parser.add_argument("--into", type=Path, default=catalog.packaged_dir(), help="a folder of configs")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        print("\n".join(table(given.into / "recipe")))
        return 0
    return cli.main(command(given.tasks, given.methods, given.trials, given.out, given.into))


if __name__ == "__main__":
    sys.exit(main())
