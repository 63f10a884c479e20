"""What runs cost: operations by hand, energy by a counter, preparation apart, reasons for nulls."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from command_line import EXTERNAL, mubench
from torch import Tensor, nn

from mubench import costs, meters
from mubench.data import Batch
from mubench.effort import Effort
from mubench.engine import Engine
from mubench.index import query
from mubench.meters import Cost, Meter, energy_counter, opened
from mubench.modalities.image import Image
from mubench.schema import Trainer
from mubench.tally import Tally

CPU = torch.device("cpu")


# Energy ----------------------------------------------------------------------------------------


@dataclass
class Driver:
    """NVML as far as it is used: one device, whose total is read from a list."""

    totals: list[int]  # thousandths of a joule
    refuses: str = ""
    asked: list[str] = field(default_factory=list)

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:  # noqa: N802
        if self.refuses == "init":
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> object:  # noqa: N802
        self.asked.append(uuid)
        return SimpleNamespace(uuid=uuid)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: N802
        if self.refuses == "energy":
            raise self.NVMLError("Not Supported")
        return self.totals.pop(0)


def test_energy_is_the_difference_of_a_running_total_in_joules(monkeypatch):
    driver = Driver([1_000_000, 1_002_500, 1_009_000])
    counter = opened(driver, "GPU-1")  # reads once, to know that it can
    assert driver.asked == ["GPU-1"]
    monkeypatch.setattr(meters, "energy_counter", lambda device: counter)
    found = Meter(CPU).read()
    assert found.numbers["energy_joules"] == 6.5 and "energy_joules" not in found.reasons


@pytest.mark.parametrize(("refuses", "said"), [("init", "Driver Not Loaded"), ("energy", "Not Supported")])
def test_a_driver_that_does_not_tell_is_quoted(refuses, said, monkeypatch):
    reason = opened(Driver([], refuses), "GPU-1")
    assert isinstance(reason, str) and said in reason
    monkeypatch.setattr(meters, "energy_counter", lambda device: reason)
    found = Meter(CPU).read()
    assert found.numbers["energy_joules"] is None and found.reasons["energy_joules"] == reason


def test_energy_needs_a_device_and_a_package(monkeypatch):
    assert "not of cpu" in energy_counter(CPU)
    monkeypatch.setattr(meters, "find_spec", lambda name: None)
    assert "mubench[energy]" in energy_counter(torch.device("cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_that_works_takes_energy():
    pytest.importorskip("pynvml")
    meter, values = Meter(torch.device("cuda")), torch.randn(4096, 4096, device="cuda")
    for _ in range(200):
        values = values @ values / 64
    torch.cuda.synchronize()
    joules = meter.read().numbers["energy_joules"]
    assert joules is None or 0 < joules < 10_000


# What a method cost ----------------------------------------------------------------------------


def test_preparation_is_what_came_before_weights_moved_and_is_part_of_the_whole():
    effort = Effort(steps=3, examples=60, seconds=2.0, flops=5e9, moved=14.0)
    cost = costs.of_unlearning(effort, Meter(CPU), started=10.0, ended=20.0)
    assert (cost.numbers["unlearn_seconds"], cost.numbers["prepare_seconds"]) == (10.0, 4.0)
    assert cost.numbers["examples_per_second"] == 30 and "seconds" not in cost.numbers
    still = costs.of_unlearning(Effort(), Meter(CPU), started=10.0, ended=11.0)
    assert still.numbers["prepare_seconds"] == 1.0 and still.numbers["examples_per_second"] is None
    assert "no example" in still.reasons["examples_per_second"]


def test_a_resumed_run_counts_the_time_before_and_knows_no_energy(monkeypatch):
    monkeypatch.setattr(meters, "energy_counter", lambda device: opened(Driver([0, 0, 5000]), "GPU-1"))
    effort = Effort(seconds=9.0, earlier_seconds=7.0, moved=1.0)
    cost = costs.of_unlearning(effort, Meter(CPU), started=0.0, ended=3.0)
    assert cost.numbers["unlearn_seconds"] == 10.0 and cost.numbers["energy_joules"] is None
    assert "resumed" in cost.reasons["energy_joules"]


def test_uncounted_operations_stay_unknown_with_a_reason():
    effort = Effort(flops=1.0)
    effort.add(Effort(flops=None))
    effort.add(Effort(flops=2.0))
    cost = costs.of_training(effort, Meter(CPU))
    assert cost.numbers["flops"] is None and "trainer.compile" in cost.reasons["flops"]


def own(seconds: float) -> Cost:
    return Cost({"unlearn_seconds": seconds, "prepare_seconds": 1.0, "flops": 3.0, "energy_joules": None},
                {"energy_joules": "no device"})  # fmt: skip


ORIGINAL = Cost({"seconds": 70.0, "flops": 90.0})
RETRAINED = Cost({"seconds": 60.0, "flops": 80.0, "energy_joules": 9.0})


def test_speedup_is_retraining_by_unlearning_with_its_preparation():
    cost = costs.beside_training(own(5.0), ORIGINAL, RETRAINED, inherits=False, works=True)
    assert cost.numbers["speedup"] == 12.0 and cost.numbers["flops"] == 3.0
    assert [cost.numbers[f"{name}_seconds"] for name in ("original", "retrain")] == [70.0, 60.0]
    assert cost.numbers["retrain_flops"] == 80.0 and set(cost.reasons) == {"energy_joules"}


def test_a_method_that_inherits_the_retrained_model_pays_for_it():
    cost = costs.beside_training(own(5.0), ORIGINAL, RETRAINED, inherits=True, works=True)
    assert cost.numbers["unlearn_seconds"] == 65.0 and cost.numbers["speedup"] == 60 / 65
    assert cost.numbers["flops"] == 80.0 and cost.numbers["energy_joules"] == 9.0 and not cost.reasons


def test_without_a_retrained_model_or_work_there_is_no_speedup():
    alone = costs.beside_training(own(5.0), ORIGINAL, None, inherits=False, works=True)
    assert {name for name, value in alone.numbers.items() if value is None} == set(alone.reasons)
    assert "no retrained model" in alone.reasons["speedup"]
    idle = costs.beside_training(own(0.1), ORIGINAL, RETRAINED, inherits=False, works=False)
    assert idle.numbers["speedup"] is None and "nothing was unlearned" in idle.reasons["speedup"]


# Operations ------------------------------------------------------------------------------------


class Flat(nn.Module):
    """Two linear layers, 6 to 5 to 3."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.calls = nn.Linear(6, 5), nn.Linear(5, 3), 0

    def forward(self, pixel_values: Tensor) -> Tensor:
        self.calls += 1
        return self.second(self.first(pixel_values.flatten(1)))


def batch(count: int, side: int = 2) -> Batch:
    return Batch(
        {"pixel_values": torch.ones(count, 3, side, 1)}, torch.zeros(count).long(), torch.arange(count)
    )


def test_operations_of_linear_layers_by_hand():
    """Forward 2 in out; backward as much for the weights, and as much for the inputs but the first's."""
    model, effort = Flat().eval(), Effort()
    tally = Tally(effort, Engine(Trainer(device="cpu")), Image("image"), model)
    forward, gradient = 2 * (30 + 15), 2 * (30 + 15) + 2 * 15
    model.first.weight.grad = torch.full((5, 6), 7.0)
    tally.scores(batch(8), times=3)
    assert effort.flops == 8 * 3 * forward and model.calls == 1
    assert list(tally.through([batch(8), batch(4)])) and model.calls == 2  # once for each shape
    assert effort.flops == 24 * forward + 12 * (forward + gradient)
    assert torch.equal(model.first.weight.grad, torch.full((5, 6), 7.0)) and model.second.weight.grad is None
    assert (effort.steps, effort.examples) == (0, 0)


def test_gradients_are_counted_where_nobody_else_records_any():
    """WoodFisher asks for per-example gradients under no_grad, of shapes that may be new."""
    model, effort = Flat().eval(), Effort()
    tally = Tally(effort, Engine(Trainer(device="cpu")), Image("image"), model)
    with torch.no_grad():
        tally.gradient(batch(8))
    assert effort.flops == 8 * (2 * 2 * (30 + 15) + 2 * 15)


def test_a_compiled_model_is_not_counted():
    model, effort = Flat().eval(), Effort()
    engine = Engine(Trainer(device="cpu", compile=True))
    Tally(effort, engine, Image("image"), model).scores(batch(8))
    assert effort.flops is None and model.calls == 0


def test_runs_of_a_linear_model_tell_their_operations(tmp_path):
    """64 pixels to 10 classes: 1,280 operations forward, and as many for the gradient of the weights.

    neggrad: two epochs over D_f. salun: a gradient over D_f for its mask, then two epochs over both sets.
    ssd: the gradient of each example of D_f and D_r, no step. finetune: two epochs over D_r.
    """
    words = ["run", "-m", "method=neggrad,salun,ssd,finetune,original,retrain", "model=flat",
             f"--config-dir={EXTERNAL}", f"out={tmp_path}", "training.epochs=3", "unlearning.epochs=2",
             "evaluation.metrics=[accuracy]", "trainer.device=cpu", "trainer.threads=1"]  # fmt: skip
    done = mubench(*words)
    assert done.status == 0, done.err
    records = {record.key["method"]: record for _, record in query(tmp_path)}
    sizes = records["neggrad"].forget_set
    forget, retain, each = sizes["size"], sizes["retain"], 2 * 1280
    wanted = {
        "neggrad": 2 * forget, "salun": forget + 2 * (forget + retain), "ssd": forget + retain,
        "finetune": 2 * retain, "original": 0, "retrain": 3 * retain,
    }  # fmt: skip
    for method, examples in wanted.items():
        cost, reasons = records[method].cost, records[method].reasons
        assert cost["flops"] == examples * each, method
        assert cost["examples"] == examples, method
        assert cost["retrain_flops"] == 3 * retain * each
        assert 0 <= cost["prepare_seconds"] <= cost["unlearn_seconds"]
        assert cost["encode_seconds"] > 0 and cost["peak_memory_bytes"] > 0
        missing = {f"cost.{name}" for name, value in cost.items() if value is None}
        assert missing == {name for name in reasons if name.startswith("cost.")}
        assert "not of cpu" in reasons["cost.energy_joules"]
        if method not in ("original", "retrain"):
            assert cost["speedup"] == cost["retrain_seconds"] / cost["unlearn_seconds"]
    assert records["ssd"].cost["prepare_seconds"] > records["ssd"].cost["unlearn_seconds"] / 2
    assert records["original"].reasons["cost.speedup"] == "nothing was unlearned"
    shown = mubench("table", f"out={tmp_path}", "metrics=[flops,peak_memory_bytes,speedup,encode_seconds]")
    assert shown.status == 0 and "flops" in shown.out and "encode" in shown.out
