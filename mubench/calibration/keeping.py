"""Calibrations on disk: one file for the models, the deletion and the metrics that it is of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mubench.config import NUMERICS, RunConfig
from mubench.environment import now, versions
from mubench.files import Corrupt, read_json, write_json
from mubench.shadows.store import ROLES
from mubench.workbench import Workbench

SCHEMA = 1


def place(config: RunConfig) -> Path:
    """calibrations/<task>/<model>/<deletion>/seed<train>-<fingerprint8>/calibration.json."""
    key, deletion = config.key, config.run_dir.parent.name
    leaf = f"seed{config.settings.seed.train}-{fingerprint(config)[:8]}"
    return config.out.joinpath("calibrations", key["task"], key["model"], deletion, leaf, "calibration.json")


def fingerprint(config: RunConfig) -> str:
    """Hash (hex) of all that decides a calibration: models, how many, and what is read of them."""
    models = [
        config.model_fingerprint(role, shadow) for role in ROLES for shadow in (False, True)
    ]  # fmt: skip
    evaluation = {**config.resolved["evaluation"], "name": None}
    content = [NUMERICS, models, config.settings.shadows, config.settings.seed.eval, evaluation]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def read(path: Path) -> dict[str, Any] | None:
    """What `keep` left, None where there is nothing whole of this version."""
    try:
        found: dict[str, Any] = read_json(path) if path.is_file() else {}
    except Corrupt:
        return None
    return found if found.get("schema") == SCHEMA else None


def keep(path: Path, bench: Workbench, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Write what was measured, and what of, in one step."""
    config = bench.config
    content = {
        "schema": SCHEMA,
        "fingerprint": fingerprint(config),
        "key": {
            name: config.key[name] for name in ("task", "modality", "model", "deletion", "ratio", "seed")
        },
        "forget_set": {"size": len(bench.split.forget), "sha256": bench.split.sha256},
        "models": config.settings.shadows,
        "overrides": list(config.overrides),
        "environment": {**versions(), **bench.engine.describe()},
        "finished": now(),
        "metrics": metrics,
    }
    write_json(path, content)
    return content
