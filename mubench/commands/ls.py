"""usage: mubench ls KIND [GLOB] [--json | --bibtex]

What there is, a line each; of methods also the sets they read (F: forget, R: retain, V: validation)
and what they apply to; of metrics the goals (↑ more, ↓ less, ≈ as the retrained model) and what they need
beside the model (O: original, R: retrained, S: shadow models, I: an untrained model, C: several training
seeds, A: an attack). KIND is tasks, modalities, models, methods, recipes, metrics, deletions, adapters,
curricula, optimizers, evaluations, attacks, tracking, sweeps, launchers or runs. Without a kind: all tasks,
models, methods, deletions and sweeps.

  GLOB              only names that match, such as 'mini/*'
  --json            a JSON object {name: description} (of each kind, if none is named)
  --bibtex          the papers behind the methods, adapters or optimizers that would be listed
  --config-dir DIR  count in a folder with your own yamls
  out=PATH          where runs are looked for (default: outputs)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from mubench import catalog, citations, facts
from mubench.commands import arguments
from mubench.errors import UsageError, did_you_mean

KINDS = {
    "tasks": "task",
    "modalities": "modality",
    "models": "model",
    "methods": "method",
    "recipes": "recipe",
    "metrics": "",
    "deletions": "deletion",
    "adapters": "adapter",
    "curricula": "curriculum",
    "optimizers": "optimizer",
    "evaluations": "evaluation",
    "attacks": "attack",
    "tracking": "tracking",
    "sweeps": "sweep",
    "launchers": "hydra/launcher",
    "runs": "",
}
OVERVIEW = ("tasks", "models", "methods", "deletions", "sweeps")


def main(argv: Sequence[str]) -> int:
    """Print the names and their descriptions."""
    typed = arguments.read(argv, {"--json": "json", "--bibtex": "bibtex"})
    out, words = arguments.out_of(typed.words)
    if len(words) > 2:
        raise UsageError(f"ls takes a kind and a glob, not '{words[2]}' too (mubench ls --help)")
    kind, pattern = (*words, "", "")[:2]
    if kind and kind not in KINDS:
        raise UsageError(f"unknown kind '{kind}'.{did_you_mean(kind, KINDS)} (mubench ls --help)")
    found = {
        name: _matching(entries(name, typed.dirs, out), pattern) for name in ([kind] if kind else OVERVIEW)
    }
    if "bibtex" in typed.flags:
        print(_papers(found, typed.dirs))
    elif "json" in typed.flags:
        print(json.dumps(found[kind] if kind else found, indent=1))
    else:
        _print(found, typed.dirs, headings=not kind)
    return 0


def _matching(lines: dict[str, str], pattern: str) -> dict[str, str]:
    return {name: text for name, text in lines.items() if not pattern or fnmatch(name, pattern)}


def entries(kind: str, dirs: list[Path], out: Path) -> dict[str, str]:
    """{name: description} of one kind."""
    if kind == "metrics":
        from mubench.metrics import METRICS

        return {name: METRICS[name].summary for name in sorted(METRICS)}
    if kind == "runs":
        from mubench.index import briefs
        from mubench.report.status import state

        return {str(run.folder): state(run)[0] for run in briefs(out)}
    group = KINDS[kind]
    return {name: catalog.describe(group, name, dirs) for name in catalog.names(group, dirs)}


def _papers(found: dict[str, dict[str, str]], dirs: list[Path]) -> str:
    """The BibTeX entries of all that was found, each once."""
    groups = [(KINDS[kind], name) for kind, lines in found.items() for name in lines if KINDS[kind]]
    known = [facts.of(catalog.target(catalog.path_of(*one, dirs))).papers for one in groups]
    keys = [key for source in known for key in source]
    if not keys:
        raise UsageError("none of these follows a paper (mubench ls methods --bibtex)")
    return citations.bibtex(keys)


def _print(found: dict[str, dict[str, str]], dirs: list[Path], headings: bool) -> None:
    for kind, lines in found.items():
        if headings:
            print(f"\n{kind}" if kind != OVERVIEW[0] else kind)
        rows = [(name, *_columns(kind, name, dirs), text) for name, text in lines.items()]
        widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
        for *cells, text in rows:
            padded = "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
            print(f"{'  ' if headings else ''}{padded}  {text}".rstrip())


def _columns(kind: str, name: str, dirs: list[Path]) -> list[str]:
    """Short facts between a name and its description."""
    if kind == "metrics":
        from mubench.metrics import METRICS
        from mubench.report.cards import LETTERS, arrows, demands

        needs = " ".join(LETTERS[need] for need in demands(METRICS[name]))
        return [arrows(METRICS[name]), needs or "-"]
    if kind != "methods":
        return []
    found = facts.of(catalog.target(catalog.path_of("method", name, dirs)))
    sets = " ".join(
        part[0].upper() for part in ("forget", "retain", "validation") if part in found.get("needs", ())
    )
    first, *others = sorted(found.get("families", ("?",)))
    return [sets or "-", first if not others else f"{first}, …" if others[1:] else f"{first}, {others[0]}"]
