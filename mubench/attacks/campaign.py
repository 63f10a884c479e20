"""The attacks of an evaluation, made on every model; what each leaves is kept until the record stands."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from mubench.artifacts import Artifact
from mubench.attacks.base import Attack, Target
from mubench.config import NUMERICS
from mubench.files import Corrupt, read_json, write_json
from mubench.metrics.base import Curves
from mubench.typed import component
from mubench.workbench import Workbench


def carry_out(
    bench: Workbench, unlearned: nn.Module, original: Artifact, retrained: Artifact | None
) -> dict[str, dict[str, Curves]]:
    """What every attack leaves of every model, by role and attack; nothing where none is wanted.

    An adapter is merged into the network first: a model is attacked as it would be handed on. What an
    attack left lies beside a shared model, and of the unlearned one among the run's checkpoints.
    """
    nodes = bench.config.settings.evaluation.attacks
    if not nodes:
        return {}
    attacks: dict[str, Attack] = {name: component(node, name) for name, node in nodes.items()}
    artifacts = [original, *([retrained] if retrained else [])]
    networks: dict[str, nn.Module] = {a.role: a.model(bench).eval() for a in artifacts}
    networks["unlearned"] = _like(bench.adapter.merged(unlearned).eval(), networks["original"])
    folders = {a.role: a.folder for a in artifacts} | {"unlearned": bench.config.run_dir / "checkpoints"}
    digests = {role: digest(network) for role, network in networks.items()}
    shared: dict[str, nn.Module] = {a.role: networks[a.role] for a in artifacts}
    return {
        role: {
            name: _curves(Target(bench, role, network, shared), name, attack, folders[role], digests)
            for name, attack in attacks.items()
        }
        for role, network in networks.items()
    }


def _curves(target: Target, name: str, attack: Attack, folder: Path, digests: Mapping[str, str]) -> Curves:
    """What one attack leaves of one model: read if it was made before, else made now and kept."""
    path = folder / "attacked" / f"{name}-{_key(target, name, digests)}.json"
    try:
        if path.is_file():
            kept: Curves = read_json(path)
            return kept
    except Corrupt as error:
        target.bench.reporter.warn(f"{error}; the attack is made again")
    started = time.perf_counter()
    found = attack.curves(target)
    write_json(path, found)
    seconds = time.perf_counter() - started
    target.bench.reporter.say(f"  attack {name} on the {target.role} model: {seconds:.1f} s")
    return found


def _key(target: Target, name: str, digests: Mapping[str, str]) -> str:
    """A name for everything that decides what an attack leaves."""
    settings, resolved = target.bench.config.settings, target.bench.config.resolved
    evaluation = settings.evaluation
    content = [
        NUMERICS, evaluation.attacks[name], evaluation.batch_size, evaluation.retain_sample, target.seed,
        digests[target.role], {role: digests[role] for role in target.others}, target.bench.split.sha256,
        target.bench.data.facts["identity"], {part: resolved[part] for part in ("modality", "training")},
    ]  # fmt: skip
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def digest(network: nn.Module) -> str:
    """The hash of all weights and buffers."""
    whole = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        whole.update(name.encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        whole.update(flat.view(torch.uint8).numpy().tobytes() if len(flat) else b"")
    return whole.hexdigest()


def _like(network: nn.Module, other: nn.Module) -> nn.Module:
    """The network, its weights held or free to move as those of another one are."""
    moving = {name: weight.requires_grad for name, weight in other.named_parameters()}
    for name, weight in network.named_parameters():
        weight.requires_grad_(moving.get(name, True))
    return network
