"""Several processes unlearn as one does: methods on small problems, and what each process takes of them."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from several import launch
from shared_work import work

from mubench import catalog
from mubench.compatibility import check
from mubench.data import Columns, Stream
from mubench.errors import NotApplicable, UsageError
from mubench.parts.cut import part_of, taken
from mubench.parts.normalisation import of_whole_batches
from mubench.plan import Planner

WORK = str(Path(__file__).parent / "shared_work.py")
# A method of each stream, of each way that a loss or a step hangs on other rows, and of those without steps.
CASES = (
    "finetune/image", "finetune/image+augment=shift", "neggrad/text_generation+accumulate=2",
    "neggrad/image_text+curriculum=superloss", "scrub/image_text", "bad_teaching/text_generation",
    "salun/image", "fcs/image", "pdu/text_generation", "rum/image", "ssd/text_generation",
)  # fmt: skip
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture
def as_process(monkeypatch):
    """Stand where one of several processes stands."""

    def stand(rank: int, count: int) -> None:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(count))

    return stand


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("total", [1, 2, 4, 7, 32])
def test_parts_cover_a_batch_once_and_in_order(as_process, count, total):
    rows, shares = [], 0.0
    for rank in range(count):
        as_process(rank, count)
        part = part_of(total)
        own = list(range(total))[part.rows]
        assert own and part.counted in (0, len(own))
        rows += own[: part.counted]
        shares += float(part.weighed(torch.tensor(1.0, dtype=torch.float64)))
    assert rows == list(range(total)) and shares == pytest.approx(1)


def test_a_batch_too_small_to_normalise_fails_as_in_one_process(as_process):
    layer, values = torch.nn.BatchNorm2d(2), torch.ones(1, 2, 1, 1)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        layer(values)
    as_process(0, 2)
    with (
        of_whole_batches(layer), taken(part_of(1)),
        pytest.raises(ValueError, match="Expected more than 1 value per channel"),
    ):  # fmt: skip
        layer(values)


def test_batches_to_predict_are_shared_out_as_many_to_each_process(as_process):
    columns = Columns({"x": torch.arange(23)}, torch.arange(23), np.arange(23))
    stream = Stream(columns, torch.arange(23), 4, torch.device("cpu"))
    found: list[tuple[int, list[int]]] = []
    for rank in range(4):
        as_process(rank, 4)
        found += [(number, batch.index.tolist()) for number, batch in stream.shared_out()]
        assert len(found) == 2 * (rank + 1)
    assert [row for _, rows in sorted(dict(found).items()) for row in rows] == list(range(23))


def test_what_one_process_alone_can_do_is_refused_before_any_work(as_process):
    planner = Planner(catalog.config_dirs())
    (jit,) = planner.cells(["method=jit"], multirun=False)
    (compiled,) = planner.cells(["method=salun", "trainer.compile=true"], multirun=False)
    check(jit)
    as_process(0, 2)
    with pytest.raises(NotApplicable, match="method 'jit' works in one process"):
        check(jit)
    with pytest.raises(UsageError, match=r"trainer\.compile=true works in one process"):
        check(compiled)


def test_two_processes_unlearn_as_one_does(tmp_path):
    done = launch(WORK, str(tmp_path / "two"), *CASES)
    assert [one.status for one in done] == [0, 0], done[0].err + done[1].err
    first, second = (torch.load(tmp_path / f"two.{rank}", weights_only=True) for rank in range(2))
    alone = work(list(CASES))
    for case in CASES:
        for name, value in alone[case].items():
            assert torch.equal(first[case][name], second[case][name]), f"{case}: {name} differs between them"
            assert torch.allclose(first[case][name], value, **CLOSE), f"{case}: {name}"


def test_two_processes_killed_at_once_go_on_from_their_checkpoint(tmp_path):
    case = "neggrad/text_generation+epochs=3"
    words = (WORK, str(tmp_path / "two"), "--kill")
    killed = launch(*words, "2", case)  # in the second of three passes
    assert [one.status for one in killed] == [-signal.SIGKILL] * 2, killed[0].err
    assert len(list((tmp_path / "two.checkpoints").glob("*.pt"))) == 1
    resumed = launch(*words, "0", case)
    assert [one.status for one in resumed] == [0, 0], resumed[0].err
    found = torch.load(tmp_path / "two.0", weights_only=True)[case]
    for name, value in work([case])[case].items():
        assert torch.allclose(found[name], value, **CLOSE), name
