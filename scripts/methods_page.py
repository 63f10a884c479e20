"""Writes the sections of docs/methods.md: every method with its formula, papers, facts and settings.

python scripts/methods_page.py            rewrites what stands below the mark in docs/methods.md
python scripts/methods_page.py --check    exits 1 where that is not what classes, yamls and sources.bib say
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

import generated

from mubench import catalog, facts
from mubench.report import components

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "methods.md"
MARK = "<!-- below: python scripts/methods_page.py -->"
BESIDE = ("adapter", "curriculum", "optimizer")  # what goes with any method
DIRS = [catalog.packaged_dir()]
WIDTH = 116


def sections() -> Iterator[str]:
    """The table of all methods, a section for each, and for what goes with any of them."""
    methods = catalog.names("method", DIRS)
    yield "\n## All of them\n\n| method | | reads | applies to |\n|---|---|---|---|"
    yield from (row(name) for name in methods)
    yield from (section("method", name) for name in methods)
    for group in BESIDE:
        yield from (
            section(group, name) for name in catalog.names(group, DIRS) if known_of(group, name).papers
        )


def known_of(group: str, name: str) -> facts.Facts:
    """What the class of a choice says of itself."""
    return facts.of(catalog.target(catalog.path_of(group, name, DIRS)))


def row(name: str) -> str:
    """A method's line of the table."""
    known = known_of("method", name)
    reads = "".join(word[0].upper() for word in sorted(known.get("needs"))) or "-"
    cells = (
        f"[`{name}`](#{name})",
        plain(catalog.describe("method", name, DIRS)),
        " ".join(reads),
        ", ".join(sorted(known.get("families"))),
    )
    return "| " + " | ".join(cells) + " |"


def section(group: str, name: str) -> str:
    """What one choice is, computes, rests on, needs, and how it is set."""
    path, known = catalog.path_of(group, name, DIRS), known_of(group, name)
    first, *notes = catalog.header(path)
    told = components.facts_of(known)
    parts = [f"\n## {name}" if group == "method" else f"\n## {group}={name}", plain(f"{first}.")]
    parts += [fenced("text", stages(text)) for label, text in told if label == "computes"]
    parts += [prose(text) for text in (*components.details(known), " ".join(notes)) if text]
    parts.append("\n".join(bullet(label, text) for label, text in told if label != "computes"))
    parts.append(fenced("yaml", components.settings(path).partition("\nsearch:")[0].strip("\n")))
    parts.append(wrapped(" · ".join(links(group, name, path))))
    return "\n\n".join(parts)


def bullet(label: str, text: str) -> str:
    """One fact; a long one goes on below."""
    return wrapped(f"- {label}: {plain(text)}", below="  ")


def links(group: str, name: str, path: Path) -> Iterator[str]:
    """The files that say it: code, yaml, and the recipes that change its settings."""
    module = catalog.target(path).rpartition(".")[0].replace(".", "/") + ".py"
    yield f"[code](../{module})"
    yield f"[yaml](../{path.relative_to(ROOT).as_posix()})"
    recipes = [r for r in catalog.names("recipe", DIRS) if group == "method" and r.rpartition("/")[0] == name]
    if recipes:
        shown = (f"[{r.rpartition('/')[2]}](../configs/recipe/{r}.yaml)" for r in recipes)
        yield "recipes: " + ", ".join(shown)


def wrapped(text: str, below: str = "") -> str:
    """Lines of the page's width; `below` indents all but the first."""
    return fill(text, WIDTH, subsequent_indent=below, break_long_words=False, break_on_hyphens=False)


def stages(formula: str) -> str:
    """A formula with each of its stages on a line of its own; a long one goes on below."""
    lines = formula.replace("; ", ";\n").split("\n")
    return "\n".join(wrapped(line, below="    ") for line in lines)


def prose(text: str) -> str:
    """A paragraph; no line of it begins as a list or a heading would."""
    return re.sub(r"^([-+#=])(?= )", r"\\\1", wrapped(plain(text)), flags=re.MULTILINE)


def fenced(language: str, text: str) -> str:
    """A block that is shown as it stands."""
    return f"```{language}\n{text}\n```"


def plain(text: str) -> str:
    """Text whose mathematics Markdown leaves alone; code and addresses stay as they are."""
    parts = re.split(r"(`[^`]*`|https?://\S+)", text)
    return "".join(p if at % 2 else re.sub(r"([*_~<>|\[\]\\])", r"\\\1", p) for at, p in enumerate(parts))


def page() -> str:
    """The whole page: what is written by hand, and the sections."""
    return generated.page(PAGE, MARK, sections())


if __name__ == "__main__":
    sys.exit(generated.written(PAGE, page()))
