"""What a card says of a component: its description, its formula, and the papers behind it."""

from __future__ import annotations

from mubench import catalog, citations, facts


def described(group: str, name: str) -> str:
    """The first line of a component's yaml; nothing of one that does not come with mubench."""
    dirs = catalog.config_dirs()
    return catalog.describe(group, name, dirs) if name in catalog.names(group, dirs) else ""


def formula(target: str) -> str:
    """What the class computes, in plain text."""
    return str(facts.of(target).get("formula", ""))


def lines(target: str) -> list[str]:
    """Its papers, one in a line."""
    return [citations.cite(key) for key in facts.of(target).papers]


def bibtex(target: str) -> str:
    """The BibTeX entries of its papers."""
    return citations.bibtex(facts.of(target).papers)
