"""What a run's work cost, as its record tells it: numbers, and reasons where there are none."""

from __future__ import annotations

from mubench.effort import Effort
from mubench.meters import Cost, Meter

RESUMED = "the work was interrupted and resumed: what its first part took is not known"


def of_training(effort: Effort, meter: Meter) -> Cost:
    """A training's effort, and what the meter saw of it; `seconds` are the loop's own."""
    cost = meter.read()
    if effort.earlier_seconds:
        cost.add("energy_joules", None, RESUMED)
    for name in ("seconds", "steps", "examples"):
        cost.add(name, getattr(effort, name))
    speed = effort.examples / effort.seconds if effort.examples and effort.seconds else None
    cost.add("examples_per_second", speed, "no example went through the model")
    cost.add("flops", effort.flops, "a compiled model hides its operations (trainer.compile)")
    return cost


def of_unlearning(effort: Effort, meter: Meter, started: float, ended: float) -> Cost:
    """A method's work between two readings of time.perf_counter.

    `unlearn_seconds` is all of it, with what processes that were interrupted spent; `prepare_seconds` the
    part before weights moved.
    """
    cost = of_training(effort, meter)
    del cost.numbers["seconds"]
    cost.add("unlearn_seconds", ended - started + effort.earlier_seconds)
    cost.add("prepare_seconds", (ended if effort.moved is None else effort.moved) - started)
    return cost


def beside_training(cost: Cost, original: Cost, retrained: Cost | None, inherits: bool, works: bool) -> Cost:
    """The cost of unlearning beside that of the models that it is measured by.

    A method that `inherits` starts from the retrained model: what that took is its own. One that does not
    `works` (the original itself) has no speedup.
    """
    none = "there is no retrained model (evaluation.reference)"
    known = retrained or Cost({"seconds": None, "flops": None}, dict.fromkeys(("seconds", "flops"), none))
    if inherits and retrained is not None:
        own = cost.numbers["unlearn_seconds"] or 0.0
        for name, value in retrained.numbers.items():
            if name != "seconds":
                cost.add(name, value, retrained.reasons.get(name, ""))
        cost.add("unlearn_seconds", own + (retrained.numbers["seconds"] or 0.0))
    cost.add("original_seconds", original.numbers["seconds"])
    for name in ("seconds", "flops"):
        cost.add(f"retrain_{name}", known.numbers[name], known.reasons.get(name, ""))
    retrain, unlearn = known.numbers["seconds"], cost.numbers["unlearn_seconds"]
    reason = none if retrained is None else "nothing was unlearned"
    cost.add("speedup", retrain / unlearn if retrain and unlearn and works else None, reason)
    return cost
