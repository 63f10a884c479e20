"""`mubench search`: spaces by hand, which trials come next, the real command killed and shared."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import pytest
from command_line import FAST, Done, Outputs, mubench, record_of, start

from mubench.errors import Diverged, RunFailed, UsageError
from mubench.progress import Reporter
from mubench.records import Record
from mubench.search.judging import DESTROYED, at_least, judged
from mubench.search.objective import Objective
from mubench.search.proposal import SPREAD, proposed
from mubench.search.searching import Budget, Search, ranked
from mubench.search.space import SHARE, STRATA, Choices, Range, read, size, spread
from mubench.search.study import JOURNAL, Outcome, Study, Tried

QUICK = [word for word in FAST if not word.startswith("unlearning")]
SMALL = ("search", "-m", "task=digits", "trials=3", *QUICK)
BOTH = (*SMALL, "method=neggrad,random_label")
ONE = (*SMALL, "method=neggrad")


# Spaces -------------------------------------------------------------------------------------------


def test_lists_are_choices_and_mappings_are_ranges():
    node = {"method.b": [0.5, "x", None], SHARE: {"low": 0.01, "high": 1, "log": True}, "method.a": []}
    space = read({**node, "unlearning.epochs": {"low": 1, "high": 8}})
    assert space == {
        "method.b": Choices((0.5, "x", None)),
        SHARE: Range(0.01, 1, True),
        "unlearning.epochs": Range(1, 8),
    }
    assert list(space) == sorted(space) and size(space) == math.inf
    assert size({"a": Choices((1, 2, 3)), "b": Range(1, 4)}) == 3 * 4 + 1 and size({}) == 0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (0.5, "search.a is a list of values or a range, such as [0.1, 0.5] or {low: 0.01"),
        ([[1], 2], "search.a lists plain values, not [1]"),
        ([1, 2, 1], "search.a lists a value twice: [1, 2, 1]"),
        ({"low": 1, "hihg": 2}, "search.a: a range has low, high, log; not 'hihg'. Did you mean 'high'?"),
        ({"low": 1}, "search.a: 'high' is a number; not 'None'"),
        ({"low": "x", "high": 2}, "search.a: 'low' is a number; not 'x'"),
        ({"low": 2, "high": 2}, "search.a: low must be below high, not 2 and 2"),
        ({"low": 0, "high": 2, "log": True}, "search.a: with log=true low must be above 0, not 0"),
        ({"low": 1, "high": 2, "log": "yes"}, "search.a: 'log' is true or false; not 'yes'"),
    ],
)
def test_a_wrong_space_is_told_in_one_sentence(values, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        read({"a": values})


def test_values_of_a_range_worked_out_by_hand():
    assert [Range(0.01, 1.0, True).at(share) for share in (0, 0.5, 1)] == [0.01, 0.1, 1.0]
    assert [Range(0.0, 3.0).at(share) for share in (0, 1 / 3, 1)] == [0.0, 1.0, 3.0]
    assert [Range(1, 4).at((place + 0.5) / 4) for place in range(4)] == [1, 2, 3, 4]
    assert Range(0.12345, 0.2).short(0.12346) == 0.12345  # three digits, but never outside


def test_trials_are_spread_over_every_part_of_a_range():
    space = {"a": Range(0.0, 8.0), "b": Range(1e-4, 1.0, True)}
    found = spread(space, 1 + STRATA)
    assert found[0] == {} and found == spread(space, 20)[: 1 + STRATA]
    assert sorted(int(trial["a"]) for trial in found[1:]) == list(range(8))
    assert sorted(int(2 * math.log10(trial["b"]) + 8) for trial in found[1:]) == list(range(8))


def test_the_trials_of_a_list_are_those_that_recipes_were_found_by():
    """Written down when the grid of mubench's own recipes was searched: their headers' commands stay true."""
    space = read({SHARE: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5], "unlearning.epochs": [3, 5, 8],
                  "method.redraw": ["once", "epoch"], "method.ratio": [0.3, 0.5, 0.7]})  # fmt: skip
    assert [trial.get(SHARE) for trial in spread(space, 8)] == [None, 0.2, 0.5, 0.02, 0.05, 0.01, 0.1, 0.2]
    assert [trial.get("method.ratio") for trial in spread(space, 6)] == [None, 0.7, 0.3, 0.5, 0.3, 0.7]


# Which trial comes next ---------------------------------------------------------------------------


class Hills:
    """An objective without runs: the score is the distance of x from 0.7, and of y, if any, from 20."""

    tasks = ("nothing",)
    cells = ()

    def __init__(self, *told: Outcome | Exception) -> None:
        self.told, self.asked = list(told), []

    def outcome(self, settings, best):
        self.asked.append(settings)
        found = self.told.pop(0) if self.told else self.distance(**settings)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Outcome) else Outcome("complete", found, 1, 30.0)

    @staticmethod
    def distance(x=0.0, y=20, **_) -> float:
        return abs(x - 0.7) + (abs(y - 20) / 30 if isinstance(y, int) else 0.0)


def search(folder: Path, objective: Hills, budget: Budget, space=None, **own) -> Search:
    space = space or {"x": Range(0.0, 1.0)}
    own = own or dict.fromkeys(space, 0.0)
    return Search("m", "image", objective, space, budget, folder, own, True, Reporter(quiet=True))


def test_a_search_is_repeated_to_the_digit_and_learns_after_its_first_trials(tmp_path):
    space = {"x": Range(0.0, 1.0), "y": Range(1, 50)}
    one, other = (search(tmp_path / name, Hills(), Budget(trials=30), space) for name in "ab")
    assert one.work(wait=True) and other.work(wait=True)
    scores = [trial.score for trial in one.trials()]
    assert one.objective.asked == other.objective.asked and len(scores) == 30
    assert mean(scores[SPREAD:]) < 0.85 * mean(scores[1:SPREAD])


def test_a_search_in_pieces_is_the_same_as_in_one(tmp_path):
    whole = search(tmp_path / "whole", Hills(), Budget(trials=13))
    whole.work(wait=True)
    for trials in (4, 11, 13):
        piece = search(tmp_path / "pieces", Hills(), Budget(trials=trials))
        piece.work(wait=True)
        assert len(piece.trials()) == trials
    assert [t.settings for t in piece.trials()] == [t.settings for t in whole.trials()]
    assert len(search(tmp_path / "pieces", Hills(), Budget(trials=4)).trials()) == 4  # the first of them


def test_a_small_space_is_tried_whole_and_each_trial_once(tmp_path):
    space = {"x": Choices((0.1, 0.2, 0.3, 0.4)), "y": Choices(("a", "b", "c"))}
    found = search(tmp_path, Hills(), Budget(trials=40), space, x=9.0, y="a")
    found.work(wait=True)
    tried = [json.dumps(trial.settings) for trial in found.trials()]
    assert len(tried) == len(set(tried)) == 13


def test_nothing_but_what_came_before_says_what_comes_next(tmp_path):
    space = {"x": Range(0.0, 1.0), "y": Range(1, 50)}
    earlier = spread(space, SPREAD)
    assert proposed(space, SPREAD, earlier, []) == proposed(space, SPREAD, earlier, [])
    assert proposed(space, SPREAD, earlier, []) != proposed(space, SPREAD + 1, earlier, [])


def test_minutes_are_counted_in_what_the_runs_took(tmp_path):
    """Thirty seconds a trial: the fourth begins when less than two minutes are spent."""
    found = search(tmp_path, Hills(), Budget(minutes=1.9))
    found.work(wait=True)
    assert len(found.trials()) == 4 and str(found.budget) == "1.9 minutes"


def test_a_diverged_trial_counts_as_failed_and_the_others_go_on(tmp_path):
    diverged = Outcome("failed", math.inf, 0, 1.0, "the loss is nan at step 3")
    found = search(tmp_path, Hills(diverged), Budget(trials=3))
    assert found.work(wait=True) and not found.failures
    states = [trial.state for trial in found.trials()]
    assert states == ["failed", "complete", "complete"] and ranked(found.trials())[-1].number == 0
    assert found.trials()[0].facts["reason"] == "the loss is nan at step 3"


def test_what_has_nothing_to_do_with_a_trial_leaves_it_to_the_same_command(tmp_path):
    first = search(tmp_path, Hills(RunFailed("the disk is full")), Budget(trials=3))
    assert first.work(wait=True) and first.failures == {0: "the disk is full"}
    assert [trial.state for trial in first.trials()] == ["running", "complete", "complete"]
    again = search(tmp_path, Hills(), Budget(trials=3))
    assert again.work(wait=True) and again.objective.asked == [{}]
    assert all(trial.state == "complete" for trial in again.trials())


def test_where_all_destroyed_a_model_gentler_trials_come_until_one_does_not(tmp_path):
    bad = [Outcome("complete", DESTROYED + score, 1, 1.0) for score in (3, 2, 1)]
    told = [*bad, Outcome("complete", DESTROYED + 1, 1, 1.0), Outcome("complete", 0.4, 1, 1.0)]
    found = search(tmp_path, Hills(*told), Budget(trials=3), {SHARE: Choices((0.4, 0.2))}, **{SHARE: 0.8})
    found.work(wait=True)
    assert [trial.settings.get(SHARE) for trial in found.trials()][3:] == [0.05, 0.0125]
    assert [trial.after for trial in found.trials()] == [None] * 3 + [3, 3]
    assert ranked(found.trials())[0].score == 0.4
    assert len(search(tmp_path, Hills(), Budget(trials=2), found.space, **found.own).trials()) == 2


def test_a_torn_last_line_of_the_journal_is_cut_off(tmp_path):
    found = search(tmp_path, Hills(), Budget(trials=2))
    found.work(wait=True)
    journal = found.folder / JOURNAL
    before = journal.read_bytes()
    journal.write_bytes(before + b'{"op_code": 4, "trial')
    assert [trial.state for trial in Study(found.folder).trials()] == ["complete"] * 2
    assert journal.read_bytes().startswith(before) and b'"trial\n' not in journal.read_bytes()


def test_ranks_put_complete_trials_first():
    trials = [Tried(0, {}, state="failed"), Tried(1, {}, state="pruned", score=0.1),
              Tried(2, {}, state="complete", score=2), Tried(3, {}, state="complete", score=1)]  # fmt: skip
    assert [trial.number for trial in ranked(trials)] == [3, 2, 1, 0]


def run_of(forget: float | None, accuracy: float = 0.9) -> Record:
    models = {"original": (0.01, 0.9), "retrained": (1.0, 0.9), "unlearned": (forget, accuracy)}
    return Record({}, "", {}, [], "", metrics={
        role: {"forget_loss": loss, "validation_loss": 1, "forget_accuracy": 1, "validation_accuracy": right}
        for role, (loss, right) in models.items()
    })  # fmt: skip


def test_a_bound_is_never_above_the_score():
    near, far = run_of(0.9), run_of(0.02)
    broken = run_of(0.9, accuracy=0.5)
    whole = (judged([near, far]) + judged([broken])) / 2
    steps = [[[near], []], [[near, far], []], [[near, far], [broken]]]
    bounds = [at_least(done, [2, 1]) for done in steps]
    assert bounds == sorted(bounds) and bounds[-1] == pytest.approx(whole) and bounds[0] < bounds[1] < whole
    assert at_least([[broken]], [2]) < DESTROYED < at_least([[broken, broken]], [2])


def objective(monkeypatch, *told: Record | Exception) -> Objective:
    """The runs of two seeds on a task, and of one on another, without carrying them out."""
    cells = [SimpleNamespace(key={"task": task}) for task in ("one", "one", "two")]
    runs = iter(told)

    def run(cell, reporter):
        found = next(runs)
        if isinstance(found, Exception):
            raise found
        return replace(found, key=cell.key, cost={"unlearn_seconds": 2.0, "evaluate_seconds": 1.0})

    monkeypatch.setattr("mubench.search.objective.run", run)
    return Objective(None, tuple(cells))


def test_a_trial_is_given_up_when_it_cannot_win_any_more_and_not_before(monkeypatch):
    near, far = run_of(0.9), run_of(0.02)
    score = (judged([near, far]) + judged([near])) / 2
    whole = objective(monkeypatch, near, far, near).outcome({}, score)
    assert (whole.state, whole.runs, whole.seconds) == ("complete", 3, 9.0)
    assert whole.score == pytest.approx(score)
    bound = at_least([[near, far], []], [2, 1])
    pruned = objective(monkeypatch, near, far, near).outcome({}, bound - 0.01)
    assert (pruned.state, pruned.runs, pruned.score) == ("pruned", 2, bound)
    assert objective(monkeypatch, near, far, near).outcome({}, bound + 0.01).state == "complete"


def test_a_run_that_diverged_ends_its_trial_and_any_other_failure_does_not_count(monkeypatch):
    near = run_of(0.9)
    ended = objective(monkeypatch, near, Diverged("the loss is nan")).outcome({}, math.inf)
    assert (ended.state, ended.runs, ended.reason) == ("failed", 1, "the loss is nan") and ended.seconds >= 3
    infinite = objective(monkeypatch, run_of(None)).outcome({}, math.inf)
    assert (infinite.state, infinite.reason) == ("failed", "a loss is not finite")
    with pytest.raises(RunFailed, match="full"):
        objective(monkeypatch, near, RunFailed("the disk is full")).outcome({}, math.inf)


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["method=saln"], "unknown method 'saln'. Did you mean 'salun'?"),
        (["trials=0"], "trials=0: a number of at least 1"),
        (["trials=2.5"], "trials=2.5: a whole number"),
        (["minutes=-1"], "minutes=-1: a number above 0"),
        (["trials=2", "minutes=1"], "a budget is trials=N or minutes=M, not both"),
        (["search.method.ratoi=[1]"], "method 'salun' has no setting 'ratoi'. Did you mean 'ratio' (0.5)?"),
        (["search.method.ratio=[0.5,1.5]"], "search.method.ratio=1.5: "),
        (["search.method.ratio=0.5"], "search.method.ratio is a list of values or a range"),
        (["search.unlearning.epochs={low: 1.5, high: 4}"], "search.unlearning.epochs=1.5: "),
        (["search.training.epochs=[1,2]"], "search.training.epochs: only settings of unlearning, method"),
        (["recipe=none"], "recipe=none does nothing here: a search starts from the method's own yaml"),
        (["evaluation.metrics=[loss]"], "evaluation.metrics=[loss] does nothing here"),
        (["sweep=seeds"], "sweep=seeds does nothing here: name the methods, tasks and seeds"),
        (["seed.forget=1042,1043"], "seed.forget=1042,1043 lists several values: add -m"),
        (["hydra/launcher=basic"], "hydra/launcher=basic does nothing here: to share a search start"),
        (["method=retrain"], "method 'retrain' has nothing to search"),
        (["method=unsir", "task=mini/tofu"], "method 'unsir' is for"),
        (["seed.forget=87"], "deletion=random on digits: reports use this forget set"),
        (["deletion=class", "deletion.classes=[0,1]"], "deletion=class on digits: reports use"),
    ],
)  # fmt: skip
def test_bad_input_is_told_before_any_work(cli, tmp_path, words, told):
    done = cli("search", *words, f"out={tmp_path / 'outputs'}")
    assert done.status == 2 and told in done.err, done.err
    assert not list(tmp_path.rglob("model.safetensors")) and not list(tmp_path.rglob(JOURNAL))


def test_without_optuna_the_extra_is_named(cli, monkeypatch):
    monkeypatch.setattr("mubench.extras.find_spec", lambda name: None)
    done = cli("search")
    assert done.status == 2 and "pip install 'mubench[search]'" in done.err


def test_a_plan_says_what_would_be_tried(cli, tmp_path):
    words = ["unlearning.epochs=2", "search.unlearning.lr={low: 0.01, high: 0.5, log: true}"]
    done = cli("search", "--dry-run", *words, f"out={tmp_path / 'outputs'}")
    assert done.status == 0 and done.out.splitlines() == [
        "salun on digits: 8 trials, 0 done, 1 run each, 2 shared models to train",
        "  unlearning.lr 0.025: 0.01 to 0.5, logarithmic",  # epochs were typed, and are not searched
        "  method.ratio 0.5: 0.3, 0.5, 0.7",
        "  method.redraw once: once, epoch",
    ]
    assert not (tmp_path / "outputs").exists()


# The real command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Two methods by three trials."""
    out = tmp_path_factory.mktemp("searched") / "outputs"
    done = mubench(*BOTH, f"out={out}")
    assert done.status == 0, done.err
    return Outputs(out / "searches", done)


@pytest.fixture
def models(searched: Outputs, tmp_path: Path) -> Path:
    """An outputs folder with the data and the models, but no run and no trial."""
    ignore = shutil.ignore_patterns("runs", "studies", "recipe")
    shutil.copytree(searched.folder, tmp_path / "outputs" / "searches", ignore=ignore)
    return tmp_path / "outputs"


def trials_of(outputs: Path, method: str) -> list[Tried]:
    (folder,) = (outputs / "studies" / method).iterdir()
    return Study(folder).trials()


def results(trials: list[Tried]) -> list[tuple]:
    return [(trial.number, trial.settings, trial.state, trial.score) for trial in trials]


def test_each_method_gets_the_same_budget_and_leaves_a_recipe(searched):
    for method in ("neggrad", "random_label"):
        trials = trials_of(searched.folder, method)
        assert len(trials) == 3 and trials[0].settings == {} and all(trial.finished for trial in trials)
        assert all(trial.facts["runs"] == 1 for trial in trials)
        recipe = (searched.folder / "recipe" / method / "image.yaml").read_text()
        assert recipe.startswith(f"# @package _global_\n# {method} on image: ")
        assert f"# mubench search method={method} -m task=digits trials=3" in recipe
        assert re.search(r"# \d{4}-\d\d-\d\d, 3 trials(, \d pruned)?: \d", recipe)
        assert "# digits: forget loss" in recipe and f"{method} on digits: 3 trials" in searched.printed.out
    assert not (searched.folder.parent / "runs").exists()  # tables of results hold no trials


def test_a_finished_search_prints_its_result_again(searched, cli):
    recipe = searched.folder / "recipe" / "neggrad" / "image.yaml"
    before = recipe.read_text()
    again = cli(*BOTH, f"out={searched.folder.parent}")
    assert (again.status, again.out) == (0, searched.printed.out) and ", trial " not in again.err
    assert recipe.read_text() == before


def test_the_recipe_can_be_run_and_gives_the_best_trials_numbers(searched, tmp_path):
    seeds = [f"seed.{level}=1042" for level in ("forget", "train", "unlearn")]
    scored = ["evaluation.metrics=[loss,accuracy]", "evaluation.retain_sample=100"]
    words = ["run", f"--config-dir={searched.folder}", "method=neggrad", *QUICK, *seeds, *scored]
    shutil.copytree(searched.folder / "models", tmp_path / "models")
    done = mubench(*words, f"out={tmp_path}")
    assert done.status == 0, done.err
    (folder,) = Outputs(tmp_path, done).runs("neggrad")
    best = ranked(trials_of(searched.folder, "neggrad"))[0]
    mine = {run["fingerprint"]: run for run in map(record_of, Outputs(searched.folder, done).runs("neggrad"))}
    run = record_of(folder)
    assert run["fingerprint"] in mine and run["metrics"] == mine[run["fingerprint"]]["metrics"]
    assert run["config"]["unlearning"]["epochs"] == best.settings.get("unlearning.epochs", 5)


def test_two_processes_go_on_where_one_was_killed_and_do_no_trial_twice(searched, models):
    process = start(*ONE, f"out={models}")
    until(lambda: list(models.rglob("runs/**/record.json")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in models.rglob("runs/**/record.json")}
    before = sum(trial.finished for trial in trials_of(models / "searches", "neggrad"))
    processes = [start(*ONE, f"out={models}") for _ in range(2)]
    told = [process.communicate(timeout=600) for process in processes]
    done = [Done(process.returncode, *texts) for process, texts in zip(processes, told, strict=True)]
    assert [one.status for one in done] == [0, 0], done
    assert all(path.stat().st_mtime_ns == modified for path, modified in kept.items())
    wanted = results(trials_of(searched.folder, "neggrad"))
    assert results(trials_of(models / "searches", "neggrad")) == wanted
    told = [re.findall(r"neggrad on digits, trial (\d): ", one.err) for one in done]
    assert len(told[0] + told[1]) == len({*told[0], *told[1]}) == 3 - before
    assert shown(done[0].out) == shown(done[1].out) == shown(searched.printed.out)[:3]


def shown(printed: str) -> list[str]:
    """The rows of the tables."""
    return [line for line in printed.splitlines() if line.startswith("│")]


def until(happens, process: subprocess.Popen) -> None:
    """Wait for it while the process lives."""
    for _ in range(3000):
        if happens():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    pytest.fail("it never happened")


def test_help_needs_neither_torch_nor_optuna():
    code = "import sys; from mubench.cli import main; main(['search', '--help']); " \
           "assert not {'torch', 'optuna', 'hydra'} & set(sys.modules)"  # fmt: skip
    environment = {**os.environ, "COLUMNS": "120"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
