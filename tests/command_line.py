"""The real command in a process of its own, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXTERNAL = Path(__file__).parent / "external"
# Two epochs of training, one of unlearning: seconds, and enough to tell a trained model from a fresh one.
FAST = ("training.epochs=2", "unlearning.epochs=1", "trainer.threads=1", "trainer.device=cpu")
FIRST = ("run", "method=neggrad", *FAST)
ALONE = "evaluation.reference=none"  # without the retrained model
# What a run leaves in its directory.
LEFT = {
    "config.yaml", "overrides.yaml", "record.json", "predictions.safetensors", "forget_ids.npy", "log.txt",
    "history.jsonl", "weights.safetensors", "rows.safetensors",
}  # fmt: skip


@dataclass(frozen=True)
class Done:
    """A finished process."""

    status: int
    out: str
    err: str


def start(*words: str) -> subprocess.Popen[str]:
    """Start `mubench` as users do, in a process of its own."""
    command = [sys.executable, "-m", "mubench", *words]
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def mubench(*words: str) -> Done:
    """Run `mubench` to its end."""
    process = start(*words)
    out, err = process.communicate(timeout=300)
    return Done(process.returncode, out, err)


@dataclass(frozen=True)
class Outputs:
    """An outputs folder, and what the run that filled it printed."""

    folder: Path
    printed: Done

    def runs(self, method: str = "*") -> list[Path]:
        """The directories of a method's runs."""
        return sorted(p.parent for p in self.folder.glob(f"runs/*/*/{method}/*/*/config.yaml"))


def record_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return content


def names(folder: Path) -> set[str]:
    """Files of a folder, but the lock that says who works there."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {".lock"}
