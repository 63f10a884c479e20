"""What does not go together with a task: refused alone, left out of a sweep and counted there as "n/a"."""

from __future__ import annotations

import pytest
from command_line import ALONE, EXTERNAL, FAST, FIRST

from mubench.commands.run import check_all
from mubench.compatibility import check
from mubench.errors import NotApplicable
from mubench.evaluation import chosen
from mubench.methods.rum import Rum, Stratum
from mubench.modalities.image import Image
from mubench.plan import Planner
from mubench.typed import component

MINE = f"--config-dir={EXTERNAL}"
REASON = "method 'writes' is for texts; task 'digits' is image"


def test_a_single_run_is_refused_before_any_work(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for verb in ("run", "prepare"):
        done = cli(verb, "method=writes", MINE)
        assert (done.status, done.out, done.err) == (2, "", f"mubench: {REASON}\n")
    assert not list(tmp_path.iterdir())


IDLE = {
    ("ssd", "curriculum=superloss"): "takes no losses",
    ("original", "curriculum=superloss"): "takes no losses",
    ("ssd", "optimizer=sophia"): "takes no steps",
    ("l_codec", "optimizer.eps=1e-7"): "takes no steps",
}


@pytest.mark.parametrize(("method", "option"), IDLE, ids=" ".join)
def test_an_option_that_would_do_nothing_is_refused(method, option, cli, tmp_path, monkeypatch):
    """A row under its name would say more than was done."""
    monkeypatch.chdir(tmp_path)
    done = cli("run", f"method={method}", option)
    reason = f"{option} does nothing for method '{method}': it {IDLE[method, option]}"
    assert (done.status, done.out, done.err) == (2, "", f"mubench: {reason}\n")


@pytest.mark.parametrize(
    "option",
    [
        "unlearning.batch_size=16",
        "unlearning.lr=0.1",
        "optimizer@training.optimizer=sgd",
        "curriculum=none",
        "training.lr=1e-3",
    ],
)
def test_what_acts_on_a_method_without_steps_or_on_nobody_is_not(option, cli):
    assert cli("run", "--dry-run", "method=ssd", option).status == 0


def test_what_is_typed_of_the_recipe_in_vain_is_told_and_may_be_meant_for_others(outputs, cli):
    """A baseline stays in a sweep that gives all methods the same epochs."""
    words = ["-m", "method=original,neggrad", *FAST, "unlearning.batch_size=64", f"out={outputs.folder}"]
    done = cli("run", *words)
    assert done.status == 0 and done.err.endswith("2 runs: 2 complete, 0 failed\n")
    told = [line for line in done.err.splitlines() if "does nothing" in line]
    assert told == ["  unlearning.epochs=1 does nothing for method 'original': it takes no steps"]


def test_rum_takes_the_steps_of_its_parts():
    still = Stratum({"name": "original", "_target_": "mubench.methods.original.Original"})
    assert Rum().takes_steps and Rum(medium=still).takes_steps
    assert not Rum(medium=still, high=still).takes_steps


def test_a_sweeps_plan_counts_and_lists_what_does_not_apply(cli, tmp_path):
    words = ["-m", "method=writes,neggrad", "deletion.ratio=2,4", MINE, f"out={tmp_path / 'o'}"]
    first, *lines = cli("run", "--dry-run", *words).out.splitlines()
    rest = [line for line in lines if "/runs/" in line]
    assert first == "4 runs: 0 complete, 2 to do, 2 n/a, 3 shared models to train"
    assert [line.split()[0] for line in rest] == ["to", "to", "n/a", "n/a"]
    assert all(line.endswith(f": {REASON}") for line in rest[2:])
    assert cli("prepare", "--dry-run", *words).out.startswith(first)


def test_a_sweep_runs_the_others_and_is_no_failure(outputs, cli, monkeypatch):
    checked = []
    for place in ("mubench.compatibility.check", "mubench.experiment.check"):
        monkeypatch.setattr(
            place, lambda cell, *known: (checked.append(cell.key["method"]), check(cell, *known))
        )
    words = ["method=writes,neggrad", *FIRST[2:], MINE, f"out={outputs.folder}"]
    done = cli("run", "-m", *words)
    assert done.status == 0
    *_, closing, listed = done.err.splitlines()
    assert closing == "2 runs: 1 complete, 0 failed, 1 n/a"
    assert listed.startswith("  n/a  ") and listed.endswith(f": {REASON}")
    assert checked.count("writes") == 1
    assert done.err.count(REASON) == 1 and not outputs.runs("writes")
    assert len(cli("prepare", "-m", *words).out.splitlines()) == 2


def test_a_set_that_only_the_data_shows_to_be_empty_is_left_out_too(outputs, cli):
    words = ["-m", "method=scrub", "method.rewind=true", "task.validation=0", *FAST, ALONE]
    done = cli("run", *words, f"out={outputs.folder}")
    assert done.status == 0 and "1 runs: 0 complete, 0 failed, 1 n/a" in done.err
    assert "method 'scrub' reads the validation set, which is empty here" in done.err


@pytest.mark.parametrize(
    ("families", "fits"),
    [({"any"}, True), ({"image"}, True), ({"classes"}, True), ({"texts", "classes"}, True),
     ({"text"}, False), ({"tokens", "texts"}, False)],
)  # fmt: skip
def test_families_are_names_of_modalities_or_what_they_give(families, fits, monkeypatch):
    from mubench import catalog

    (cell,) = Planner(catalog.config_dirs()).cells(["method=salun"], multirun=False)
    kind = type(component(cell.settings.method, "method"))
    monkeypatch.setattr(kind, "families", frozenset(families))
    assert [reason for _, reason in check_all([cell])] == [] or not fits
    if not fits:
        with pytest.raises(NotApplicable, match=" or ".join(sorted(families))):
            check(cell)


def test_a_metric_of_another_kind_does_not_apply():
    with pytest.raises(NotApplicable, match="metric 'accuracy' reads classes; this task gives losses"):
        chosen(["accuracy"], frozenset({"losses"}))
    assert chosen(["accuracy"], Image("image").gives)
