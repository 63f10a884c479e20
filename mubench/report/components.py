"""What a component's class and yaml say of it, in words: for `mubench show` and docs/methods.md."""

from __future__ import annotations

from pathlib import Path

from mubench import citations
from mubench.facts import Facts


def facts_of(known: Facts) -> list[tuple[str, str]]:
    """Label and text of what a class declares, such as its formula and papers; none without a text."""
    rows = [("computes", known.get("formula", ""))]
    rows += [("source", citations.cite(key)) for key in known.papers]
    rows += _of_a_method(known) if "families" in known.values else []
    return [(label, text) for label, text in rows if text]


def _of_a_method(known: Facts) -> list[tuple[str, str]]:
    """The facts of methods/base.py that a user chooses by."""

    def listed(name: str) -> str:
        return ", ".join(sorted(known.get(name, ()))) or "-"

    more = ", more by its settings" if "reads" in known.functions else ""
    batches = known.get("stream", "") if "loss" in known.functions else ""
    steps = "" if known.get("trains", True) else "none: optimizer, curriculum and unlearning.lr do nothing"
    layers = {"convolutions": "convolutions, else linear layers"}.get(known.get("layers"), "")
    return [
        ("reads", listed("needs") + more),
        ("batches", batches),
        ("steps", steps),
        ("applies to", f"{listed('families')}; deletion: {listed('deletions')}"),
        ("layers", layers),
        ("starts from", f"the {known.get('starts_from')} model"),
        ("extra memory", known.get("memory", "")),
    ]


def details(known: Facts) -> list[str]:
    """The docstring's paragraphs, of a class that names a formula or papers; a formula says the first one."""
    told = known.get("formula", "")
    paragraphs = [" ".join(part.split()) for part in known.doc.split("\n\n")] if told or known.papers else []
    return paragraphs[1 if told else 0 :]


def settings(path: Path) -> str:
    """A yaml without the comments that open it or stand between its nodes."""
    body = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in body if not line.startswith("#")).strip("\n")
