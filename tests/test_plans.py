"""Plans that are kept: a second command says what the first one found out, or it is found out again."""

from __future__ import annotations

import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from command_line import EXTERNAL

from mubench import catalog, composing, installed, plans
from mubench.checking import check
from mubench.overrides import parse, split
from mubench.plan import Planner
from mubench.typed import Known

WORDS = ("run", "--dry-run", "-m", "method=salun,retrain", "deletion.ratio=2,4", "task=digits")
SWEEPS = ("smoke", "paper")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that somebody edits while the tests run is as it was."""
    code, stamp = str(installed.PACKAGE), cache(installed._stamp)
    monkeypatch.setattr(
        installed, "_stamp", lambda path: stamp(path) if path.startswith(code) else _now(path)
    )


_now = installed._stamp


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands whose cells were composed."""
    found: list[list[str]] = []
    cells = Planner.cells

    def counted(self, typed, multirun):
        found.append(list(typed))
        return cells(self, typed, multirun)

    monkeypatch.setattr(Planner, "cells", counted)
    return found


def kept(out: Path) -> list[Path]:
    return sorted((out / plans.HOME).glob("*"))


@pytest.mark.parametrize("words", [WORDS, WORDS[:2], ("status", *WORDS[2:])], ids=["sweep", "run", "status"])
def test_a_second_command_says_the_same_and_composes_nothing(out, cli, composed, words):
    first = cli(*words, f"out={out}")
    assert first.status == 0 and len(kept(out)) == 1, first.err
    assert cli(*words, f"out={out}") == first and len(composed) == 1
    assert cli(*words, "seed.eval=7", f"out={out}") != first and len(composed) == 2


ONE_THEN_ANOTHER = """
import os, sys
from functools import cache
from mubench import catalog, installed, plans
from mubench.cli import main
installed._stamp = cache(installed._stamp)  # somebody may edit the code meanwhile
plans.key_of([], False, catalog.config_dirs())
words = ["run", "--dry-run", *sys.argv[1:]]
child = os.fork()
if child == 0:
    os._exit(main(words))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 == main(words)
print({"torch", "hydra", "numpy"} & set(sys.modules) or "light", file=sys.stderr)
"""


def test_a_kept_plan_is_told_without_torch_and_hydra(out):
    words = [sys.executable, "-c", ONE_THEN_ANOTHER, f"out={out}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr == "light\n" and done.stdout.count("name: salun") == 2


def test_a_changed_yaml_makes_the_plan_anew(out, cli, composed, tmp_path):
    yaml = catalog.path_of("method", "salun", catalog.config_dirs()).read_text()
    mine = tmp_path / "mine" / "method" / "mild.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text(yaml.replace("name: salun", "name: mild"))
    words = ("run", "--dry-run", "method=mild", f"--config-dir={tmp_path / 'mine'}", f"out={out}")
    assert "ratio: 0.5" in cli(*words).out and "ratio: 0.5" in cli(*words).out and len(composed) == 1
    mine.write_text(mine.read_text().replace("ratio: 0.5", "ratio: 0.25"))
    assert "ratio: 0.25" in cli(*words).out and len(composed) == 2


@pytest.mark.parametrize(
    "damage", ["", "{", "{}", '{"absent": [], "cells": 1, "parts": []}', '{"absent": ["/"]}']
)
def test_a_damaged_plan_or_one_whose_paths_are_there_by_now_is_made_anew(out, cli, composed, damage):
    words = (*WORDS, f"out={out}")
    first = cli(*words)
    (file,) = kept(out)
    whole = file.read_text()
    file.write_text(damage)
    assert cli(*words) == first and len(composed) == 2 and file.read_text() == whole


def test_plans_that_more_decides_are_not_kept(out, cli, tmp_path, composed):
    for words in (
        ("method=explodes", f"--config-dir={EXTERNAL}"),
        ("hydra/launcher=parallel",),
        ("seed.eval=${oc.decode:'3'}",),
        ("model.checkpoint=" + str(tmp_path),),
    ):
        done = cli("run", "--dry-run", *words, f"out={out}")
        assert done.status == 0, done.err
    assert not kept(out) and len(composed) == 4


def test_no_more_than_the_newest_plans_are_kept(out, cli, monkeypatch):
    monkeypatch.setattr(plans, "MOST", 2)
    for seed in (1, 2, 3):
        assert cli("run", "--dry-run", f"seed.eval={seed}", f"out={out}").status == 0
    assert len(kept(out)) == 2


@pytest.mark.parametrize("sweep", SWEEPS)
def test_cells_are_what_hydra_composes(sweep):
    planner = Planner(catalog.config_dirs())
    with planner.composer.hydra():
        cells = split([*planner._sweep(parse([f"sweep={sweep}"])), *parse([f"sweep={sweep}"])])
        for cell in random.Random(sweep).sample(cells, 2):
            whole = check(planner.composer.compose(cell), cell, planner.dirs)
            assert planner._cell(cell, Known()) == whole
            moved = [*cell, "unlearning.batch_size=3", "seed.eval=${seed.forget}", "training.lr=0.01"]
            assert planner._cell(moved, Known()) == check(
                planner.composer.compose(moved), moved, planner.dirs
            )
            assert planner._cell(cell, Known()) == whole  # from a base that was changed and put back


@pytest.mark.parametrize(
    ("text", "nodes"),
    [("{'lr': 0.1}", set()), ("${training.lr}", {"training"}), ("${ optimizer }", {"optimizer"}),
     ("${mul:${training.lr},0.1}", {"training"}), ("a ${seed.train} b ${out}", {"seed", "out"}),
     ("${training[lr]}", {"training"}), ("${mul:2,3}", set()),
     ("${oc.select:training.lr}", None), ("${oc.env:HOME}", None), ("${.lr}", None), ("${..lr}", None),
     ("${${a}.b}", None), ("${mul:${oc.select:a},2}", None)],
)  # fmt: skip
def test_what_a_node_refers_to_is_known_or_it_may_be_anything(text, nodes):
    assert composing._references(text) == nodes


def test_nodes_that_read_a_changed_one_change_with_it(tmp_path):
    method = catalog.path_of("method", "salun", catalog.config_dirs()).read_text()
    method = method.replace("name: salun", "name: far").replace("  epochs: 5", "  epochs: ${trainer.threads}")
    mine = tmp_path / "method" / "far.yaml"
    mine.parent.mkdir()
    mine.write_text(f"{method}\ntrainer:\n  threads: ${{seed.eval}}\n")
    planner = Planner(catalog.config_dirs([tmp_path]))
    cells = planner.cells(["method=far", "seed.eval=3,5", "recipe=none"], multirun=True)
    assert [(cell.settings.trainer.threads, cell.settings.unlearning.epochs) for cell in cells] == [
        (3, 3), (5, 5)
    ]  # fmt: skip
