"""What W&B keeps on disk below <out>/wandb: a folder for each time that a run was tracked or replayed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mubench.files import Corrupt, read_json, sha256_of_file, write_json
from mubench.records import Record

NOTE = "mubench.json"  # in such a folder, written when W&B has taken everything: what that was
HISTORY = "history.jsonl"


@dataclass(frozen=True)
class Kept:
    """One such folder, made by W&B as offline-run-<time>-<id> or run-<time>-<id>."""

    folder: Path

    @property
    def uploaded(self) -> bool:
        """Whether the server has all of it: told by W&B's own mark, or by the run that was online."""
        marked = any(self.folder.glob("*.wandb.synced"))
        return marked or bool(self.note().get("online"))

    def note(self) -> dict[str, Any]:
        """What a finished run has left here; nothing if it was not tracked to its end."""
        path = self.folder / NOTE
        try:
            return read_json(path) if path.is_file() else {}
        except Corrupt:
            return {}

    def seal(self, record: Record, run: Path, online: bool) -> None:
        """Note that this holds all of a run's record and history, and whether the server has it."""
        write_json(self.folder / NOTE, {**contents_of(record, run), "online": online})


def contents_of(record: Record, run: Path) -> dict[str, str | None]:
    """Hashes of what there is to tell of a run in its directory."""
    return {"record": sha256_of_file(run / "record.json"), "history": record.files.get(HISTORY)}


def of_run(out: Path, run_id: str) -> list[Kept]:
    """The folders of one W&B run, the oldest first."""
    found = [path.parent for path in (out / "wandb").glob(f"*-{run_id}/run-{run_id}.wandb")]
    return [Kept(folder) for folder in sorted(found, key=_time)]


def _time(folder: Path) -> str:
    """When a folder was made, as W&B wrote it in its name."""
    return folder.name.partition("run-")[2]
