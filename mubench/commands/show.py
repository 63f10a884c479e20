"""usage: mubench show KIND NAME [--bibtex] [--config-dir DIR]

One thing in full: its description, what it computes and after which papers, settings with their defaults.
KIND is any that `mubench ls` lists, such as task, model, method, metric; of a run, NAME is its directory.

  --bibtex          the papers' BibTeX entries alone
  --config-dir DIR  count in a folder with your own yamls
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill, wrap

from mubench import catalog, citations, facts
from mubench.commands import arguments
from mubench.errors import UsageError, did_you_mean
from mubench.facts import Facts
from mubench.report import components

KINDS = (*catalog.GROUPS, "metric", "run")


def main(argv: Sequence[str]) -> int:
    """Print it."""
    typed = arguments.read(argv, {"--bibtex": "bibtex"})
    if len(typed.words) != 2:
        raise UsageError("show takes a kind and a name, such as: mubench show method salun")
    kind, name = typed.words
    kind = kind.removesuffix("s") if kind not in KINDS else kind
    kind = "hydra/launcher" if kind == "launcher" else kind  # as mubench ls names them
    if kind not in KINDS:
        raise UsageError(f"unknown kind '{kind}'.{did_you_mean(kind, KINDS)} (mubench show --help)")
    if kind == "metric":
        return _metric(name)
    if kind == "run":
        return _run(Path(name))
    path = catalog.path_of(kind, name, typed.dirs)
    known = facts.of(catalog.target(path))
    if "bibtex" in typed.flags:
        return _papers(kind, name, known)
    return _yaml(path, known, _recipes(name, typed.dirs) if kind == "method" else [])


def _papers(group: str, name: str, known: Facts) -> int:
    entries = citations.bibtex(known.papers)
    if not entries:
        raise UsageError(f"{group} '{name}' follows no paper of mubench's list (mubench show {group} {name})")
    print(entries)
    return 0


def _recipes(method: str, dirs: Sequence[Path]) -> list[str]:
    """The method's recipes, which change what its yaml says: names for `mubench show recipe`."""
    return [name for name in catalog.names("recipe", dirs) if name.rpartition("/")[0] == method]


def _yaml(path: Path, known: Facts, recipes: Sequence[str]) -> int:
    """The yaml is the documentation, with what its class says between its header and its settings."""
    for line in catalog.header(path):
        print(line)
    if told := _rows(components.facts_of(known)):
        print("\n" + "\n".join(told))
    for paragraph in components.details(known):
        print("\n" + fill(paragraph, 112, break_long_words=False, break_on_hyphens=False))
    print("\n" + components.settings(path))
    if recipes:
        line = f"recipes that change this (mubench show recipe NAME): {', '.join(recipes)}"
        print("\n" + fill(line, 112, break_long_words=False, break_on_hyphens=False))
    print(f"\n({path})")
    return 0


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Label and text, one line each, long ones wrapped; none without a text."""
    lines = []
    for label, text in rows:
        first, *rest = wrap(text, 98, break_long_words=False, break_on_hyphens=False) or [""]
        lines += [f"{label:12}  {first}", *(" " * 14 + more for more in rest)] if text else []
    return lines


def _metric(name: str) -> int:
    from mubench.metrics import METRICS

    if name not in METRICS:
        hint = did_you_mean(name, METRICS)
        raise UsageError(f"unknown metric '{name}'.{hint} (mubench ls metrics)")
    from mubench.report import cards

    print(cards.definition(METRICS[name]) + "\n")
    print("\n".join(_rows(cards.card(METRICS[name]).items())))
    return 0


def _run(folder: Path) -> int:
    from mubench.files import Corrupt
    from mubench.records import read
    from mubench.report.closing import everything

    try:
        record = read(folder)
    except Corrupt as error:
        raise UsageError(str(error)) from error
    if record is None:
        raise UsageError(f"{folder} holds no record (mubench ls runs)")
    everything(record, folder)
    return 0
