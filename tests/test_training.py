"""The loop: what it computes, what it resumes, what it refuses to go on with."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from mubench.data import Batch, Columns, Stream
from mubench.engine import Engine, available_threads
from mubench.errors import Diverged, RunFailed
from mubench.optimization import factor
from mubench.progress import Reporter
from mubench.schema import Recipe, Trainer
from mubench.training import Fit, Hooks, Pass

ADAMW = {"name": "adamw", "_target_": "torch.optim.AdamW"}
SGD = {"name": "sgd", "_target_": "torch.optim.SGD"}


class Net(nn.Module):
    """Dropout and batch statistics: everything that a resumed training must restore."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
        )

    def forward(self, x):
        return self.layers(x)


def columns(count: int = 70) -> Columns:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 5, generator=generator)
    return Columns({"x": x}, (x[:, 0] > 0).long(), torch.arange(count).numpy())


def noisy(batch: Batch, generator: torch.Generator) -> Batch:
    """An augmentation: its draws must resume too."""
    x = batch.inputs["x"]
    return Batch({"x": x + 0.1 * torch.randn(x.shape, generator=generator)}, batch.targets, batch.index)


def plain(batch: Batch, generator: torch.Generator) -> Batch:
    return batch


def build(model, checkpoint=None, hooks=None, prepare=noisy, minutes=0.0, passes=4, **recipe) -> Fit:
    settings = {"batch_size": 8, "lr": 1e-2, "schedule": "cosine", "warmup": 0.2, "optimizer": ADAMW}
    recipe = Recipe(**{**settings, **recipe})
    stream = Stream(columns(), torch.arange(70), recipe.batch_size, torch.device("cpu"))

    def loss(batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch.inputs["x"]), batch.targets)

    engine = Engine(Trainer(device="cpu", checkpoint_minutes=minutes))
    return Fit(
        model, [Pass(stream, loss)] * passes, recipe, engine, 5, Reporter(quiet=True), "fit", prepare,
        hooks or Hooks(), checkpoint,
    )  # fmt: skip


def net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net()


def bits(model: nn.Module) -> list[torch.Tensor]:
    return [weight.clone() for weight in model.state_dict().values()]


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


class Stopper:
    """Interrupts the training after some optimizer steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("steps", [1, 9, 10, 17])  # within the first pass, at its end, later
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, monkeypatch, steps, accumulate):
    monkeypatch.setattr("mubench.training.LOOK_EVERY", 3)
    whole = net()
    effort = build(whole, accumulate=accumulate).run()
    model, path = net(), tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        build(model, path, Hooks(after_step=Stopper(steps)), accumulate=accumulate).run()
    resumed = net()
    again = build(resumed, path, accumulate=accumulate).run()
    assert same(bits(whole), bits(resumed))
    assert (again.steps, again.examples) == (effort.steps, effort.examples)


def test_a_damaged_checkpoint_is_named_and_removed(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"half a check")
    with pytest.raises(RunFailed, match=r"checkpoint\.pt cannot be read and was removed"):
        build(net(), path).run()
    assert not path.exists()


def test_accumulated_batches_step_as_one_large_batch():
    """A mean of means over equal parts; batch statistics and dropout would differ, so a linear model."""
    models = [nn.Linear(5, 3), nn.Linear(5, 3)]
    models[1].load_state_dict(models[0].state_dict())
    for model, size, accumulate in ((models[0], 35, 1), (models[1], 7, 5)):
        build(model, prepare=plain, batch_size=size, accumulate=accumulate, optimizer=SGD, clip=None).run()
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(first, second)


def test_a_group_that_is_smaller_at_the_end_of_a_pass_counts_by_its_own_size():
    """Three batches, two to a step: the third's gradient is not halved."""
    model, seen = nn.Linear(5, 3), []
    hooks = Hooks(after_backward=lambda: seen.append((model.weight.grad.clone(), bits(model))))
    fit = build(
        model, hooks=hooks, prepare=plain, passes=1, batch_size=30, accumulate=2, optimizer=SGD, clip=None
    )
    fit.run()
    assert len(seen) == 2
    gradient, (weight, bias) = seen[1]
    *_, last = fit.passes[0].stream.batches(torch.Generator().manual_seed(5))
    weight.requires_grad_()
    nn.functional.cross_entropy(last.inputs["x"] @ weight.T + bias, last.targets).backward()
    torch.testing.assert_close(gradient, weight.grad)


def test_the_norm_of_the_gradient_is_clipped_after_the_methods_hook():
    model, norms = nn.Linear(5, 3), []

    def scale() -> None:
        for p in model.parameters():
            p.grad.mul_(1000)

    def record(*_) -> None:
        norms.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm())

    fit = build(model, hooks=Hooks(after_backward=scale), prepare=plain, optimizer=SGD, clip=0.5)
    fit._optimizer.register_step_pre_hook(record)
    fit.run()
    assert max(norms) <= 0.5 + 1e-4 and min(norms) > 0.49


def test_divergence_names_the_batch_at_which_the_loss_ceased_to_be_finite():
    model, seen = nn.Linear(5, 3), [0]

    def poison() -> None:
        seen[0] += 1
        if seen[0] == 12:
            model.weight.data[0, 0] = float("nan")

    with pytest.raises(Diverged, match=r"the loss became nan at batch 13 "):
        build(model, hooks=Hooks(after_step=poison), prepare=plain).run()


def test_divergence_in_the_last_step_is_seen_in_the_weights():
    model = nn.Linear(5, 3)
    hooks = Hooks(after_pass=lambda number: model.bias.data.fill_(float("inf")) if number == 3 else None)
    with pytest.raises(Diverged, match="bias is not finite after the last step"):
        build(model, hooks=hooks, prepare=plain).run()


def test_schedules_warm_up_and_fall():
    recipe = partial(Recipe, warmup=0.2)
    linear = [factor(step, 10, recipe(schedule="linear")) for step in range(10)]
    assert linear == [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    cosine = [factor(step, 10, recipe(schedule="cosine")) for step in (2, 6, 10)]
    assert cosine == pytest.approx([1.0, 0.5, 0.0])
    assert factor(9, 10, recipe(schedule="constant")) == 1.0


def test_effort_counts_steps_examples_and_operations():
    """A linear layer 5 -> 3 takes 2*15 operations forward and 2*15 for its weights' gradient."""
    model = nn.Linear(5, 3)
    effort = build(model, prepare=plain, passes=2, batch_size=8).run()
    assert (effort.steps, effort.examples) == (18, 140)
    assert effort.flops == 140 * (30 + 30)
    assert effort.seconds > 0


def test_no_passes_leave_the_model_alone():
    model = net()
    before = bits(model)
    effort = build(model, passes=0).run()
    assert same(before, bits(model)) and effort.steps == 0


def test_threads_follow_the_launcher(monkeypatch):
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert available_threads() == 8
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    assert available_threads() == 6
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert available_threads() == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert available_threads() == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_in_bf16_and_deterministically():
    engine = Engine(Trainer(device="cuda", deterministic="error"))
    assert engine.bf16 == torch.cuda.is_bf16_supported()
    models = []
    for _ in range(2):
        model = net().cuda()
        fit = build(model, prepare=plain)
        fit.engine = engine
        fit.passes = [Pass(Stream(columns().to(engine.device), torch.arange(70), 8, engine.device), p.loss)
                      for p in fit.passes]  # fmt: skip
        with engine.running():
            fit.run()
        models.append(bits(model))
    assert same(*models)
