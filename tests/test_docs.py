"""The documentation: its commands are planned or executed, its files run, its links lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import Done, Outputs, mubench
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from pages import PAGES, ROOT, blocks, commands, files, prose

from mubench import catalog, plan
from mubench.metrics import METRICS

Cli = Callable[..., Done]
RUN_WHOLE = ("quickstart", "extending")  # pages whose commands are carried out one after the other
DRY = ("run", "prepare", "search", "calibrate", "sync", "push")  # verbs that say what they would do
# First words of what tests cannot carry out, and why; a `mubench` behind them is planned all the same.
ELSEWHERE = {
    "git": "the network", "python3": "a new environment", ".": "a new environment", "pip": "the network",
    "pytest": "these very tests", "cd": "a place", "accelerate": "several processes: tests/test_processes.py",
    "torchrun": "several processes: tests/test_processes.py", "eval": "SLURM: tests/test_slurm.py",
    "squeue": "SLURM", "local_slurm.sh": "SLURM", "python": "hours, or a script that is imported by its test",
}  # fmt: skip
# What one run without kept weights cannot give, and the sentence that says so.
REFUSED = {
    ("card",): "save_model=true",
    ("push",): "save_model=true",
    ("connect",): "save_model=true|no complete run",
    ("score",): "several training seeds",
    ("table",): "no record has the metric '(relearn|int4|lira|rmia)|two tables",
    ("plot", "relearn"): "evaluation=robust",
    ("plot", "ranks"): "two tables",
    ("plot", "ratio"): "ratio",
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix()


def of_mubench(words: list[str]) -> list[str]:
    """The words behind `mubench`, alone or behind a launcher of processes; none of other commands."""
    if Path(words[0]).name == "mubench":
        return words[1:]
    return words[words.index("mubench") + 1 :] if "mubench" in words and words[0] in ELSEWHERE else []


def all_commands() -> Iterator[tuple[Path, list[str]]]:
    """The commands of pages but those carried out in order, each once where it reads no file of the page."""
    seen = set()
    for page in PAGES:
        for words in commands(page.read_text(encoding="utf-8")) if page.stem not in RUN_WHOLE else ():
            if tuple(words) not in seen:
                yield page, words
            if "--config-dir" not in words:
                seen.add(tuple(words))


COMMANDS = list(all_commands())
MUBENCH = [(page, words) for page, words in COMMANDS if of_mubench(words)]


def desk(folder: Path, text: str) -> Path:
    """A folder to work in, with the files that a page spells out."""
    for name, body in files(text).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def workplace(first: Outputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands of all pages may name: outputs under several names, submissions, a folder."""
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(first.folder, place / "outputs")
    for name in ("grid", "ratios"):
        (place / name).symlink_to("outputs")
    for name in ("my-lab", "your-lab"):
        done = mubench("export", f"out={first.folder}", "--name", name, "--to", f"{place}/{name}.zip")
        assert done.status == 0, done.err
    (place / "FOLDER").mkdir()
    return place


def prepared(words: list[str], run: Path) -> list[list[str]]:
    """A command as it is called here: placeholders filled in, nothing trained, checked or sent."""
    verb, *rest = [str(run) if word == "RUN" else word for word in words]
    if verb == "verify":
        dirs = [word for before, word in pairwise(["", *rest]) if "--config-dir" in (before, word)]
        settings = [word for word in rest if "=" in word]
        names = [word for word in rest if word not in dirs and word not in settings]
        return [["run", f"method={name}", *settings, *dirs, "--dry-run"] for name in names]
    dry = ["--dry-run"] if verb in DRY and "--dry-run" not in rest else []
    return [[verb, *rest, *dry]]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sweep's cells the first and the last alone are composed; all names in its lists are checked."""
    whole = plan.split

    def split(overrides: Sequence[Override]) -> list[list[str]]:
        cells = whole(overrides)
        return cells if len(cells) < 3 else [cells[0], cells[-1]]

    monkeypatch.setattr(plan, "split", split)


@pytest.mark.parametrize(
    ("page", "words"), MUBENCH, ids=[f"{named(page)}: {' '.join(words)}" for page, words in MUBENCH]
)
@pytest.mark.usefixtures("ends")
def test_a_command_is_right(page, words, workplace, first, cli, monkeypatch):
    monkeypatch.chdir(desk(workplace, page.read_text(encoding="utf-8")))
    run = workplace / "outputs" / first.runs()[0].relative_to(first.folder)
    for call in prepared(of_mubench(words), run):
        done = cli(*call)
        if "pip install" in done.err and done.status == 2:
            pytest.skip(done.err)
        sentence = next((s for start, s in REFUSED.items() if tuple(call[: len(start)]) == start), None)
        expected = sentence is not None and re.search(sentence, done.err)
        assert done.status == 0 or expected, done.err


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_other_commands_are_known(page):
    """Extras that are installed exist, scripts that are called are there."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for words in commands(page.read_text(encoding="utf-8")):
        if Path(words[0]).name == "mubench":
            continue
        assert words[0].rpartition("/")[2] in ELSEWHERE, words
        for extra in re.findall(r"\[(\w+)\]", " ".join(words)) if "install" in words else ():
            assert extra in extras, words
        for script in (word for word in words if word.endswith((".py", ".sh"))):
            assert (ROOT / script).is_file() or (ROOT / "tests" / "methods" / script).is_file(), words


def test_the_quick_start_from_its_first_command_to_its_last(tmp_path, cli, monkeypatch):
    """The first in a process of its own, as a user begins; the others spare the imports."""
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    monkeypatch.chdir(desk(tmp_path, text))
    write_notes(tmp_path / "notes")
    first, *others = [of_mubench(words) for words in commands(text) if of_mubench(words)]
    done = mubench(*first)
    assert done.status == 0, done.err
    for words in others:
        done = cli(*words)
        assert done.status == 0, (words, done.err)
    assert {path.name for path in Path("outputs/runs").iterdir()} == {"digits", "mini", "notes"}
    assert Path("outputs/reports/report.html").is_file() and list(Path("outputs/reports/plots").glob("*.png"))


def write_notes(folder: Path) -> None:
    """Two kinds of notes that differ in their words."""
    folder.mkdir()
    for name, count in (("train", 120), ("test", 40)):
        rows = [
            f"{('warm' if at % 2 else 'cold')} {('day', 'room', 'street')[at % 3]} {at},{at % 2}"
            for at in range(count)
        ]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *rows, ""]))


@pytest.fixture
def own_metric() -> Iterator[Callable[[Path], None]]:
    """Imports a file as if it lay in mubench/metrics/; afterwards its metrics are gone."""
    before = dict(METRICS)

    def load(path: Path) -> None:
        spec = importlib.util.spec_from_file_location(f"mubench.metrics.{path.stem}", path)
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    yield load
    METRICS.clear()
    METRICS.update(before)


def test_every_example_of_ones_own_runs(tmp_path, cli, monkeypatch, own_metric):
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    monkeypatch.chdir(desk(tmp_path, text))
    monkeypatch.setattr(sys, "path", [*sys.path])
    own_metric(tmp_path / "mubench" / "metrics" / "median.py")
    for words in (of_mubench(words) for words in commands(text)):
        calls = prepared(words, tmp_path) if words[0] == "verify" else [words]
        for call in calls:
            done = cli(*call)
            assert done.status == 0, (call, done.err)
    records = list(Path("outputs/runs").rglob("record.json"))
    different = {tuple(words) for words in commands(text) if "run" in words and "--dry-run" not in words}
    assert len(records) == len(different)
    assert "median" in cli("table", "metrics=[test_median_loss]").out


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_code_and_settings_are_well_formed(page):
    text = page.read_text(encoding="utf-8")
    for block in blocks(text, "python"):
        ast.parse(block)
    for block in blocks(text, "yaml"):
        OmegaConf.create(block)


def slugs(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", prose(page.read_text(encoding="utf-8")))
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        to = (page.parent / target) if target else page
        assert to.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in slugs(to.read_text(encoding="utf-8")), f"{target}#{anchor}"
    for mentioned in re.findall(r"\bdocs/\w+\.md\b", text):
        assert (ROOT / mentioned).is_file(), mentioned


def test_the_index_names_every_page_once():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"^- \[[^\]]+\]\((\w+\.md)\)", index, re.MULTILINE)
    assert sorted(linked) == sorted(page.name for page in PAGES if page.name != "README.md")
    assert "(docs/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_task_has_its_line():
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    twins = (ROOT / "docs" / "twins.md").read_text(encoding="utf-8")
    for name in catalog.names("task", [catalog.packaged_dir()]):
        assert f"| {name} |" in twins if "/" in name else f"`{name}`" in text, name
