"""Shadow models on disk: found, or trained by one process only; what is finished is kept, the rest resumed.

Of each its weights and its predictions on every split, per example; nothing is written or painted by them.
Shadow k of a role is trained from the seed `models.shadow_seed(seed.train, k)`, however many there are: but
for rounding, and for dropout where several are trained at once (`mubench.shadows.abreast`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from mubench import artifacts, costs, processes
from mubench.artifacts import Artifact, Role
from mubench.config import model_lock
from mubench.effort import Effort
from mubench.environment import now
from mubench.errors import RunFailed
from mubench.files import Corrupt, clear_leftovers, read_json, write_json, writing
from mubench.layout import laid_out
from mubench.meters import Cost, Meter
from mubench.models import shadow_seed
from mubench.shadows import abreast
from mubench.shadows.stack import Stack
from mubench.shadows.trial import Way, choose
from mubench.workbench import Workbench

ROLES: tuple[Role, ...] = ("original", "retrained")
UNCOUNTED = "operations are not counted where models are trained side by side"


def obtain(bench: Workbench, role: Role) -> list[Artifact]:
    """The run's shadow models of a role, in order; those that are not there whole are trained now."""
    found = _found(bench, role, warn=True)
    if len(found) == bench.config.settings.shadows:
        return list(found.values())
    first = bench.config.shadow_dirs(role)[0]
    home, say = first.parent, bench.reporter.say

    def waiting() -> None:
        say(f"Waiting for another process to train the {role} shadow models")

    with processes.locked(model_lock(first), waiting):
        there = _found(bench, role, warn=False)
        if missing := [n for n in range(bench.config.settings.shadows) if n not in there]:
            _train(bench, role, missing)
        processes.shared(lambda: _clear(home))
        found = _found(bench, role, warn=True)
    if len(found) < bench.config.settings.shadows:
        raise RunFailed(f"shadow models in {home} did not stay as they were written")
    return list(found.values())


def _clear(home: Path) -> None:
    """Remove what killed writers left, and checkpoints of numbers of models that nobody asks for any more."""
    with writing(home):
        clear_leftovers(home)
        for checkpoint in home.glob("*.pt"):
            checkpoint.unlink()


def _found(bench: Workbench, role: Role, warn: bool) -> dict[int, Artifact]:
    """The shadow models that are there whole, by number; damaged ones are named."""
    found = {}
    for number, folder in enumerate(bench.config.shadow_dirs(role)):
        title = f"the {role} shadow model {number}" if warn else None
        if (shadow := artifacts.read(bench, role, folder, title)) is not None:
            found[number] = shadow
    return found


def _train(bench: Workbench, role: Role, missing: Sequence[int]) -> None:
    rows = artifacts.rows_of(bench, role)
    say = bench.reporter.say
    plural = "" if len(missing) == 1 else "s"
    say(f"Training {len(missing)} {role} shadow model{plural} on {len(rows):,} examples")
    way = _way(bench, rows)
    say(f"  {way}")
    for group in _groups(missing, way.at_once):
        _make(bench, role, group, rows)


def _groups(missing: Sequence[int], size: int) -> Iterator[list[int]]:
    """Numbers that are trained together: the missing ones of 0 to size - 1, of size to 2 size - 1 ..."""
    for start in range(0, missing[-1] + 1, size):
        if group := [number for number in missing if start <= number < start + size]:
            yield group


def _way(bench: Workbench, rows: Tensor) -> Way:
    """How they are trained: tried once for a device and a number, so that resuming goes the same way."""
    if processes.count() > 1:
        return Way(1, f"{processes.count()} processes share each training")
    path = bench.config.shadow_dirs("original")[0].parent / "way.json"
    device, settings = bench.engine.device.type, bench.config.settings
    asked = {"device": device, "shadows": settings.shadows, "most": settings.trainer.at_once}
    with suppress(Corrupt):
        known = read_json(path) if path.is_file() else {}
        if known.get("asked") == asked:
            return Way(known["at_once"], known["why"])
    way = choose(bench, rows)
    write_json(path, {"asked": asked, "at_once": way.at_once, "why": way.why})
    return way


def _make(bench: Workbench, role: Role, numbers: Sequence[int], rows: Tensor) -> None:
    """Train some shadow models together, and seal them when all are kept: half of them is none."""
    config, started, meter = bench.config, now(), Meter(bench.engine.device)
    folders = [config.shadow_dirs(role)[number] for number in numbers]
    for folder in folders:
        processes.shared(partial(artifacts.begin, folder))
    seeds = [shadow_seed(config.settings.seed.train, number) for number in numbers]
    checkpoint = folders[0].parent / f"{zlib.crc32(str(seeds).encode()):08x}.pt"
    models, effort = _trained(bench, seeds, rows, checkpoint, f"{role} shadow {_told(numbers)}")
    bench.engine.synchronise()
    cost = _cost(effort, meter, len(numbers))
    for folder, model in zip(folders, models, strict=True):
        artifacts.keep(bench, folder, model)
    fingerprint = config.model_fingerprint(role, shadow=True)
    facts = {"role": f"{role} shadow", "fingerprint": fingerprint, "examples": len(rows), "started": started}
    for folder, seed in zip(folders, seeds, strict=True):
        artifacts.finish(bench, folder, cost, {**facts, "seed": seed, "together": len(numbers)})
    processes.shared(lambda: checkpoint.unlink(missing_ok=True))


def _told(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _trained(
    bench: Workbench, seeds: Sequence[int], rows: Tensor, checkpoint: Path, title: str
) -> tuple[Iterator[nn.Module], Effort]:
    """The models, made into networks one by one, and the effort of them all."""
    place = bench.engine.place
    if len(seeds) == 1:
        model = laid_out(place(bench.spec.start(seeds[0])))
        effort = artifacts.fit(bench, model, rows, checkpoint, title, seeds[0])
        return iter([model]), effort
    stack = Stack([bench.spec.start(seed).to(bench.engine.device) for seed in seeds])
    effort = abreast.training(bench, stack, seeds, rows, checkpoint, title).run()
    networks = (place(bench.spec.fresh(seed)) for seed in seeds)
    return (stack.copy_to(number, network) for number, network in enumerate(networks)), effort


def _cost(effort: Effort, meter: Meter, count: int) -> Cost:
    """One model's share of what a training of several took; the memory is that of all."""
    shared = replace(effort, examples=effort.examples // count, seconds=effort.seconds / count)
    cost = costs.of_training(shared, meter)
    if cost.numbers["energy_joules"] is not None:
        cost.numbers["energy_joules"] /= count
    if count > 1:
        cost.add("flops", None, UNCOUNTED)
    return cost
