"""docs/methods.md says what classes, yamls and papers of the methods say."""

from __future__ import annotations

import re

import pytest
from pages import blocks, script

from mubench import catalog, citations, facts
from mubench.report import components

DIRS = [catalog.packaged_dir()]
METHODS = catalog.names("method", DIRS)


def section(name: str) -> str:
    """A method's part of the page, fit for a search of words."""
    text = script("methods_page").PAGE.read_text(encoding="utf-8")
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def flat(text: str) -> str:
    return " ".join(text.replace("\\", "").split())


def test_the_page_is_what_methods_say():
    page = script("methods_page")
    written = page.PAGE.read_text(encoding="utf-8")
    assert page.page() == written, "run: python scripts/methods_page.py"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_formula_papers_and_settings_there(name):
    known, told = facts.of(catalog.target(catalog.path_of("method", name, DIRS))), section(name)
    assert flat(known.get("formula")) == flat(blocks(told, "text")[0])
    for key in known.papers:
        assert citations.papers()[key].address in told
    for paragraph in components.details(known):
        assert flat(paragraph) in flat(told)
    (settings,) = blocks(told, "yaml")
    of_the_method = re.findall(
        r"^  (?!name:|_target_:)(\w+): *[^#\n]+(#?)", settings.partition("\nunl")[0], re.M
    )
    assert all(mark for _, mark in of_the_method), "a setting without a comment that says what it means"


def test_a_line_of_prose_begins_no_list():
    page = script("methods_page")
    assert page.prose("a " * 58 + "- b") == ("a " * 58).strip() + "\n\\- b"
    assert page.prose("v <- max(0, |x|_1) by `a_b` https://x.org/a_b") == (
        "v \\<- max(0, \\|x\\|\\_1) by `a_b` https://x.org/a_b"
    )
