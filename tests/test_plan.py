"""How a command becomes cells: lists, globs, named sweeps."""

from __future__ import annotations

import json

import pytest

from mubench import catalog
from mubench.checking import check
from mubench.commands.run import check_all
from mubench.errors import UsageError
from mubench.overrides import parse, split
from mubench.plan import Planner
from mubench.report.plan import duration, plan_lines


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner(catalog.config_dirs())


def test_lists_become_their_product_in_the_order_typed(planner):
    cells = planner.cells(["method=salun,scrub", "deletion.ratio=2,6"], multirun=True)
    pairs = [(cell.key["method"], cell.key["ratio"]) for cell in cells]
    assert pairs == [("salun", 2.0), ("salun", 6.0), ("scrub", 2.0), ("scrub", 6.0)]


def test_a_cell_that_stands_there_twice_runs_once(planner):
    assert len(planner.cells(["deletion.ratio=5,5.0", "seed.unlearn=1,1"], multirun=True)) == 1


def test_globs_choose_by_name(planner):
    assert planner.overrides(["method=glob(neg*)"]) == ["method=neggrad,neggrad_plus"]
    assert planner.overrides(["method=glob(neg*,exclude=*plus)"]) == ["method=neggrad"]
    with pytest.raises(UsageError, match="no method has such a name"):
        planner.overrides(["method=glob(zz*)"])


def test_a_glob_in_a_named_sweep_counts_in_the_choices_of_a_folder_of_ones_own(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "few.yaml").write_text(
        "# @package _global_\n# A few\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      method: glob(neg*)\n      deletion.ratio: 2,4\n"
    )
    (tmp_path / "method").mkdir()
    mine = (
        (catalog.packaged_dir() / "method" / "neggrad.yaml")
        .read_text()
        .replace("name: neggrad", "name: neg_mine")
    )
    (tmp_path / "method" / "neg_mine.yaml").write_text(mine)
    planner = Planner(catalog.config_dirs([tmp_path]))
    cells = planner.cells(["sweep=few"], multirun=False)
    assert {cell.key["method"] for cell in cells} == {"neg_mine", "neggrad", "neggrad_plus"}
    assert len(cells) == 6


def test_a_named_sweep_adds_its_lists_to_those_typed(planner):
    cells = planner.cells(["sweep=seeds", "deletion.ratio=2,4"], multirun=False)
    assert sorted((cell.key["ratio"], cell.key["seed"]["train"]) for cell in cells) == [
        (ratio, seed) for ratio in (2.0, 4.0) for seed in (42, 43, 44)
    ]


def test_a_list_as_a_value_is_no_sweep(planner):
    (cell,) = planner.cells(["deletion=class", "deletion.classes=[3,4]"], multirun=False)
    assert cell.settings.deletion["classes"] == [3, 4]


def test_an_optimizer_may_be_chosen_for_unlearning_alone(planner):
    (cell,) = planner.cells(["optimizer=sgd", "optimizer.momentum=0"], multirun=False)
    assert cell.key["optimizer"] == "sgd" and cell.settings.training.optimizer["name"] == "adamw"
    assert cell.settings.unlearning.optimizer["momentum"] == 0
    with pytest.raises(UsageError, match="unknown optimizer 'sdg'"):
        planner.cells(["optimizer@training.optimizer=sdg"], multirun=False)


@pytest.mark.parametrize("typed", ["a", "=3", "method=[", "method='salun"])
def test_what_is_not_an_override_is_refused(planner, typed):
    with pytest.raises(UsageError):
        planner.cells([typed], multirun=False)


def test_the_plan_counts_runs_and_shared_models(planner, tmp_path):
    words = ["method=salun,scrub", "deletion.ratio=2,6", f"out={tmp_path / 'o'}"]
    first, *rest = plan_lines(planner.cells(words, multirun=True))
    assert first == "4 runs: 0 complete, 4 to do, 3 shared models to train"
    assert rest[0] == "time unknown: no earlier record of these tasks, models and methods"
    assert [line[:12] for line in rest[1:]] == ["  to train  "] * 3 + ["  to do     "] * 4
    alone = planner.cells([*words, "evaluation.reference=none"], multirun=True)
    assert plan_lines(alone)[0] == "4 runs: 0 complete, 4 to do, 1 shared model to train"


def test_a_plan_takes_its_time_from_earlier_records(planner, first, cli):
    words = ["method=neggrad,salun", "seed.unlearn=1,2", "training.epochs=2", f"out={first.folder}"]
    cost = json.loads((first.runs()[0] / "record.json").read_text(encoding="utf-8"))["cost"]
    lines = plan_lines(planner.cells(words, multirun=True))
    told = 2 * (cost["unlearn_seconds"] + cost["evaluate_seconds"])
    assert lines[0] == "4 runs: 0 complete, 4 to do, 0 shared models to train"
    assert lines[1] == (
        f"about {duration(told)} one after another, by earlier records; no earlier record of 2 runs, "
        "which come on top"
    )
    retrain = planner.cells(["method=retrain", "seed.train=7", *words[2:]], multirun=True)
    told = cost["original_seconds"] + cost["retrain_seconds"]
    assert plan_lines(retrain)[1].startswith(f"about {duration(told)} one after another")
    assert [duration(t) for t in (0.5, 119, 120, 7200, 4e5)] == [
        "0.5 s",
        "119 s",
        "2 min",
        "2 h",
        "4.63 days",
    ]


@pytest.mark.parametrize("name", ["smoke", "ratios", "seeds", "methods"])
def test_named_sweeps_are_planned(name, cli, tmp_path):
    done = cli("run", "--dry-run", f"sweep={name}", f"out={tmp_path / 'o'}")
    cells = {
        "smoke": 3,
        "ratios": 5,
        "seeds": 3,
        "methods": len(catalog.names("method", catalog.config_dirs())),
    }
    assert done.status == 0 and done.out.startswith(f"{cells[name]} runs: 0 complete")
    assert not (tmp_path / "o").exists()


def test_the_papers_sweep_is_its_whole_grid(planner):
    with planner.composer.hydra():
        cells = split(planner._sweep(parse(["sweep=paper"])))
    assert len(cells) == 9 * 17 * 5 * 5
    corners = [
        "task=celeb_profile,tiny_imagenet",
        "method=salun,multi_delete",
        "deletion.ratio=2",
        "seed.train=13",
    ]
    few = planner.cells(["seed.unlearn=${seed.train}", *corners], multirun=True)
    assert [cell.key["seed"]["unlearn"] for cell in few] == [13] * 4
    assert len(check_all(few)) == 2


def test_cells_are_what_hydra_composes(planner):
    words = ["task=digits,mini/imdb", "deletion.ratio=2,4", "unlearning.lr=1e-3,1e-4", "seed.eval=5"]
    cells = planner.cells(words, multirun=True)
    assert len(cells) == 8
    with planner.composer.hydra():
        for cell in cells:
            assert check(planner.composer.compose(cell.overrides), cell.overrides).resolved == cell.resolved
