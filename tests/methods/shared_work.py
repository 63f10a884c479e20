"""Methods on small problems, in one process or in several; what each ends with, in a file a process.

python shared_work.py FILE [--kill STEP] [METHOD/FAMILY[+NAME=VALUE...] ...]
python shared_work.py --compare ONE TWO        files of what was left: how far each value is from the other's

Without a choice every method on every family that it serves. STEP is one of the last of them. A family may
be a task and a network of the configs, as in finetune/mini/imdb:mini/albert.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import torch
from families import FAMILIES
from torch import Tensor

from mubench import catalog, prediction, processes
from mubench.curricula.superloss import SuperLoss
from mubench.engine import Engine
from mubench.methods.base import Method
from mubench.parts.gathered import state_of
from mubench.plan import Planner
from mubench.run import Run
from mubench.schema import Trainer
from mubench.sharded_run import kind
from mubench.typed import component
from mubench.verify.problem import SGD, Problem, of_config
from mubench.verify.subject import Subject, prepared

DIRS = catalog.config_dirs()
CHOICES = {  # of settings of a run, by what is typed of them
    "accumulate=2": {"accumulate": 2},
    "epochs=3": {"epochs": 3},
    "curriculum=superloss": {"curriculum": SuperLoss("superloss")},
}


@cache
def node(name: str):
    return Planner(DIRS).cells([f"method={name}"], multirun=False)[0].resolved["method"]


@cache
def problem(family: str, augment: str = "none") -> Problem:
    """Rows that are no multiples of the batch: the last one of D_f, and of D_r, is a single row."""
    if ":" in family:
        return of_task(*family.split(":"))
    case = FAMILIES[family]()
    forget, retain = (torch.tensor(rows) for rows in (case.forget[:5], case.retain[:9]))
    modality = replace(case.modality, augment=augment) if augment != "none" else case.modality
    return Problem(
        family, "tiny", modality, case.spec, case.train, case.validation, forget, retain, 1e-2,
        {"optimizer": SGD, "epochs": 1},
    )  # fmt: skip


def of_task(task: str, model: str) -> Problem:
    """A few dozen rows of a task, and a network as the configs have it."""
    out = Path(tempfile.gettempdir()) / "mubench-shared-work"  # of encoded data
    words = [f"task={task}", f"model={model}", f"out={out}"]
    config = Planner(DIRS).cells(words, multirun=False)[0]
    found = processes.main_first(lambda: of_config(config))
    return replace(found, lr=1e-2, recipe={"optimizer": SGD, "epochs": 1})


def every() -> list[str]:
    return [
        f"{name}/{family}"
        for name in catalog.names("method", DIRS)
        for family in FAMILIES
        if allowed(method := component(node(name), "method")) and problem(family).serves(method)
    ]


def allowed(method: Method) -> bool:
    return method.shardable if processes.sharded() else method.divisible


def end_of(case: str, checkpoints: Path | None, kill: int | None) -> dict[str, Tensor]:
    """Weights and buffers after unlearning, and of pictures the predictions of all training rows."""
    pair, *chosen = case.split("+")
    name, family = pair.split("/", 1)
    augment = "shift" if "augment=shift" in chosen else "none"
    settings = {key: value for word in chosen for key, value in CHOICES.get(word, {}).items()}
    subject = Subject(node(name), problem(family, augment))
    run = held(subject.problem.run(method := subject.build(), checkpoints=checkpoints, **settings), method)
    if kill is not None:
        run.hooks = replace(run.hooks, after_step=killing(run, kill))
    prepared(method, run)
    method.unlearn(run)
    found = predictions(run, subject.problem) if family == "image" else {}
    return {**state_of(run.model), **found, **(parts_of(run) if processes.sharded() else {})}


def parts_of(run: Run) -> dict[str, Tensor]:
    """How many numbers of the weights, and of what the last optimizer kept of them, are here, and in all."""
    kept = [] if run._fit is None else list(run._fit._optimizer.state.values())
    averages = [value for each in kept for value in each.values() if value.dim()]
    held = {"held.weights": list(run.model.parameters()), "held.optimizer": averages}
    return {
        name: torch.tensor([sum(v.to_local().numel() for v in values), sum(v.numel() for v in values)])
        for name, values in held.items()
    }


def held(run: Run, method: Method) -> Run:
    """The run as the processes of the command carry it out: with parts of every weight, if it says so."""
    if not processes.sharded():
        return run
    run = kind()(**{field.name: getattr(run, field.name) for field in fields(Run)})
    run.hooks = method.hooks(run)
    return run


def predictions(run, problem: Problem) -> dict[str, Tensor]:
    """In batches of four, shared out, and by the main process alone: the same bits."""

    def predict():
        return prediction.predict(
            run.model, problem.train, None, problem.modality, problem.spec.input, run.engine, 4
        )

    shared = predict()
    assert len(shared.losses) == len(problem.train)
    if not processes.sharded():
        alone = processes.shared(predict)
        assert (shared.losses == alone.losses).all() and (shared.targets == alone.targets).all()
    return {"losses": torch.from_numpy(shared.losses)}


def killing(run, step: int):
    """Every process ends itself when it has taken so many steps, and its checkpoint is written."""
    steps = iter(range(step))

    def after_step() -> None:
        if next(steps, None) is None:
            processes.shared(lambda: None)
            os.kill(os.getpid(), signal.SIGKILL)

    return after_step


def work(cases: list[str], checkpoints: Path | None = None, kill: int | None = None) -> dict:
    engine = Engine(Trainer(device="cpu", threads=1))
    engine.join()
    with engine.running():
        return {case: end_of(case, checkpoints, kill) for case in cases or every()}


def compare(first: str, second: str) -> None:
    """Tell of each case that both files hold the largest difference of a value, the smallest first."""
    one, two = (torch.load(file, weights_only=True) for file in (first, second))
    found = []
    for case in one.keys() & two.keys():
        apart = [(v.double() - two[case][n].double()).abs().max().item() for n, v in one[case].items()]
        found.append((max(apart), case))
    print("\n".join(f"{largest:.1e} {case}" for largest, case in sorted(found)))


if __name__ == "__main__":
    file, *words = sys.argv[1:]
    if file == "--compare":
        compare(*words)
        sys.exit()
    at = words.index("--kill") if "--kill" in words else None
    step = None if at is None else int(words[at + 1])
    cases = [word for word in words if "/" in word]
    folder = Path(f"{file}.checkpoints") if at is not None else None
    if step and cases[:-1]:
        torch.save(work(cases[:-1]), f"{file}.{processes.rank()}")
        cases = cases[-1:]
    torch.save(work(cases, folder, step if step else None), f"{file}.{processes.rank()}")
