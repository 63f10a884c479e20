"""Two processes that hold a part of every weight each (FSDP) unlearn as one does."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from several import launch
from shared_work import work
from torch import Tensor

from mubench import catalog
from mubench.compatibility import check
from mubench.errors import NotApplicable, UsageError
from mubench.plan import Planner
from mubench.processes import SHARDED

WORK = str(Path(__file__).parent / "shared_work.py")
# Noise on weights, frozen and fresh teachers, weights that share a network with others at rest, hooks.
CASES = (
    "weight_distortion/image+augment=shift", "bad_teaching/text_generation+accumulate=2",
    "cf_k/image_text", "multi_delete/image_text",
)  # fmt: skip
KILLED = "neggrad/text_generation+epochs=3"  # in the second of three passes
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture(scope="module")
def one():
    return work(list(CASES))


@dataclass
class Two:
    """What each of two processes ended with, and where they left it."""

    file: Path
    ends: list[dict[str, dict[str, Tensor]]]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """All cases to their ends, and then one that is killed."""
    file = tmp_path_factory.mktemp("sharded") / "two"
    done = launch(WORK, str(file), "--kill", "2", *CASES, KILLED, **{SHARDED: "true"})
    assert [each.status for each in done] == [-signal.SIGKILL] * 2, done[0].err + done[1].err
    return Two(file, [torch.load(f"{file}.{rank}", weights_only=True) for rank in range(2)])


@pytest.mark.parametrize("case", CASES)
def test_two_processes_with_parts_of_every_weight_unlearn_as_one_does(one, two, case):
    first, second = (found[case] for found in two.ends)
    for name, value in one[case].items():
        assert torch.equal(first[name], second[name]), f"{name} differs between them"
        assert torch.allclose(first[name], value, **CLOSE), name


@pytest.mark.parametrize("case", CASES)
def test_each_process_holds_about_half_of_the_weights_and_of_what_the_optimizer_keeps(two, case):
    for kind in ("held.weights", "held.optimizer"):
        (mine, whole), (theirs, _) = (found[case][kind].tolist() for found in two.ends)
        assert mine + theirs == whole > 0, kind
        assert 0.4 < mine / whole < 0.6, kind


def test_one_process_goes_on_from_the_checkpoint_of_two_with_parts(two):
    folder = two.file.with_name("two.checkpoints")
    (file,) = folder.glob("*.pt")
    assert torch.load(file, weights_only=True)["state"]["steps"] == 2
    resumed = work([KILLED], folder)[KILLED]
    for name, value in work([KILLED])[KILLED].items():
        assert torch.allclose(resumed[name], value, **CLOSE), name


def test_what_needs_whole_weights_is_refused_before_any_work(monkeypatch):
    planner = Planner(catalog.config_dirs())
    words = ("method=salun", "method=finetune", "optimizer._target_=torch.optim.Adamax")
    ranked, served, odd = (planner.cells(["method=finetune", each], multirun=False)[0] for each in words)
    for name, value in {SHARDED: "true", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    check(served)
    with pytest.raises(NotApplicable, match="method 'salun' reads or sets whole weights or gradients"):
        check(ranked)
    with pytest.raises(UsageError, match="optimizer 'adamw' is not known to move each number of a weight"):
        check(odd)
