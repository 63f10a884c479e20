"""Shared models trained ahead of the runs that need them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mubench import artifacts
from mubench.artifacts import Artifact
from mubench.config import RunConfig
from mubench.progress import Reporter
from mubench.shadows import store
from mubench.workbench import lay_out


def prepare(cell: RunConfig, wanted: set[Path]) -> None:
    """Train or find those of a run's shared models that are wanted; print their folders.

    Shadow models of a role are one matter: all of them, as soon as one is wanted.
    """
    roles = [role for role in store.ROLES if cell.model_dir(role) in wanted]
    shadowed = [role for role in store.ROLES if wanted & set(cell.shadow_dirs(role))]
    if not roles and not shadowed:
        return
    bench = lay_out(cell, Reporter())
    with bench.engine.running():
        for role in roles:
            _tell([artifacts.obtain(bench, role)])
        for role in shadowed:
            _tell(store.obtain(bench, role))


def _tell(found: Iterable[Artifact]) -> None:
    for artifact in found:
        print(artifact.folder, flush=True)
