"""Papers and facts: methods name papers of the list, and their source tells what their class says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import EXTERNAL
from hydra.utils import get_class

from mubench import catalog, citations, facts

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
DIRS = catalog.config_dirs()
METHODS = catalog.names("method", DIRS)
READ = ("stream", "needs", "families", "deletions", "layers", "starts_from", "ascends", "source", "formula",
        "memory", "trains", "moves", "distils", "softmax", "additive", "alternates")  # fmt: skip


def target(method: str) -> str:
    return catalog.target(catalog.path_of("method", method, DIRS))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_computes_and_after_which_papers_of_the_list(name):
    known = facts.of(target(name))
    assert known.get("formula") and known.get("memory")
    assert set(known.papers) <= set(citations.papers())
    assert known.papers or not known.get("needs") or known.get("starts_from") == "retrained"


@pytest.mark.parametrize("name", METHODS)
def test_the_source_tells_what_the_class_says(name):
    known, method = facts.of(target(name)), get_class(target(name))
    for fact in READ:
        said = getattr(method, fact)
        if not isinstance(said, property):
            assert known.get(fact) == said, fact


def test_every_paper_of_the_list_is_named_by_something():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "mubench").rglob("*.py")]
    named = {key for text in sources for key in re.findall(r'"([a-z]+\d{4}[a-z]*)"', text)}
    assert set(citations.papers()) <= named


def test_every_entry_is_read_whole_and_says_who_what_when_and_where():
    text = (ROOT / "mubench" / "methods" / "sources.bib").read_text(encoding="utf-8")
    assert len(citations.papers()) == len(re.findall(r"^@", text, re.MULTILINE))
    for key, entry in citations.papers().items():
        fields = len(re.findall(r"^  \w+ = ", entry.bibtex, re.MULTILINE))
        assert len(entry.fields) == fields >= 4, key
        assert {"author", "title", "year"} <= set(entry.fields) and entry.address, key
        assert re.fullmatch(r"\d{4}\.\d{5}|", entry.fields.get("eprint", "")), key
        assert entry.fields["year"].isdigit() and not re.search(r"[{}\\]", entry.line), key


def test_a_paper_in_a_line():
    assert citations.cite("thudi2022") == (
        "Thudi et al. (2022). Unrolling SGD: Understanding Factors Influencing Machine Unlearning. "
        "IEEE European Symposium on Security and Privacy (EuroS&P). https://arxiv.org/abs/2109.13398"
    )
    assert citations.cite("singh2020").startswith("Singh and Alistarh (2020). WoodFisher: ")
    assert citations.cite("yang2025ceu").startswith("Yang (2025). CE-U: Cross Entropy Unlearning. https://")
    assert citations.cite("my own notes, 2026") == "my own notes, 2026"


def test_a_key_stands_there_once():
    entry = "@misc{a2020,\n  year = {2020},\n}\n"
    assert citations.parse(entry)["a2020"].fields == {"year": "2020"}
    with pytest.raises(ValueError, match="a2020 stands there twice"):
        citations.parse(entry * 2)


def test_facts_follow_bases_and_leave_out_what_has_to_be_computed(tmp_path, monkeypatch):
    (tmp_path / "homegrown.py").write_text(
        "import homegrown_torch_like\n"
        "from mubench.methods.random_label import RandomLabel as Base\n\n\n"
        "class Mine(Base):\n"
        "    families = frozenset({'classes'})\n"
        "    formula = 'a' * 3\n\n"
        "    @property\n    def needs(self):\n        return frozenset()\n\n\n"
        "class Yours(Mine):\n    formula: str = 'b'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    mine, yours = facts.of("homegrown.Mine"), facts.of("homegrown.Yours")
    assert mine.get("families") == {"classes"} and mine.get("stream") == "mixed"
    assert mine.get("formula") is None and mine.get("needs") is None and mine.papers == ("graves2021",)
    assert yours.get("formula") == "b" and {"needs", "loss"} <= yours.functions
    assert "after_step" not in mine.functions  # of Method itself: it says what there may be
    for missing in ("", "torch.optim.NoSuch", "nowhere.Lost", "math.floor"):
        assert facts.of(missing).values == {}


def test_show_tells_formula_papers_facts_and_settings(cli):
    path = EXTERNAL / "method" / "slowly.yaml"
    expected = (GOLDEN / "show_method.txt").read_text(encoding="utf-8")
    assert cli("show", "method", "slowly", f"--config-dir={EXTERNAL}").out == expected + f"\n({path})\n"


def test_papers_are_given_as_bibtex(cli):
    entry = citations.papers()["fan2024"].bibtex
    assert cli("show", "method", "salun", "--bibtex").out == entry + "\n"
    everything = cli("ls", "methods", "--bibtex").out
    assert entry in everything and everything.count("@inproceedings{kurmanji2023,") == 1
    assert cli("ls", "adapters", "--bibtex").out == citations.papers()["hu2021"].bibtex + "\n"
    assert cli("connect", "--bibtex").out == citations.papers()["garipov2018"].bibtex + "\n"
    for words in (("show", "method", "original"), ("ls", "methods", "orig*")):
        done = cli(*words, "--bibtex")
        assert (done.status, done.out) == (2, "") and "paper" in done.err


def test_ls_shows_the_sets_that_a_method_reads_and_what_it_applies_to(cli):
    lines = cli("ls", "methods").out.splitlines()
    found = {line.split()[0]: line for line in lines}
    assert found["salun"].split("any")[0].split() == ["salun", "F", "R"]
    assert found["original"].split()[:3] == ["original", "-", "any"]
    assert "\nsteps         none: optimizer, curriculum" in cli("show", "method", "ssd").out
    assert "\nsteps" not in cli("show", "method", "salun").out
    outside = cli("ls", "methods", "slow*", f"--config-dir={EXTERNAL}").out
    assert outside == "slowly  F  any  A method from outside: slowly\n"
