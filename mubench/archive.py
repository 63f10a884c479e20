"""What a finished run can be scored by again, without torch: all predictions that it and its models left.

Shared models are found by the fingerprints in the run's record. What is not kept of all models (texts,
pictures, gradients, features, an untrained model's predictions) cannot be scored again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mubench import evidence, facts, records
from mubench.config import model_folder, models_home, outputs_of, shadows_folder
from mubench.errors import UsageError
from mubench.files import Corrupt, unseal
from mubench.metrics.base import Outputs, Splits, View
from mubench.records import Record

ROLES = ("original", "retrained")
# By what metrics read: the field of predictions that tells whether it is there, of every model.
KEPT = {"classes": "logits", "tokens": "log_probs", "alternatives": "alternatives", "positives": "negative"}


@dataclass(frozen=True)
class Run:
    """A finished run: its directory, its record, what there is to read of it."""

    folder: Path
    record: Record
    view: View

    @property
    def gives(self) -> frozenset[str]:
        """What metrics can read here."""
        forget = self.view.outputs("forget", "unlearned")
        found = {reads for reads, name in KEPT.items() if getattr(forget, name) is not None}
        weights = {"weights"} if self.view.distances is not None else set()
        return frozenset({"losses"} | found | weights)

    @property
    def attacks(self) -> frozenset[str]:
        """The attacks on the forgetting whose curves are here."""
        return frozenset(attack for of_role in self.view.curves.values() for attack in of_role)


def open_run(folder: Path) -> Run:
    """A complete run with all that it can be scored by; UsageError, in one sentence, for any other."""
    try:
        record = _finished(folder)
        return Run(folder, record, _view(folder, record))
    except Corrupt as error:
        raise UsageError(f"{error}; run it again with force=true") from error


def _finished(folder: Path) -> Record:
    record = records.finished(folder)
    if record is None:
        found = records.read(folder)
        told = f"is {found.status}: only complete runs" if found else "holds no record: only finished runs"
        raise UsageError(f"{folder} {told} can be scored (mubench status)")
    for name, what in ((evidence.PREDICTIONS, "predictions"), (evidence.ROWS, "rows of its forget set")):
        if not (folder / name).is_file():
            raise UsageError(f"{folder} holds no {what} ({name}): run it again with force=true")
    return record


def _view(folder: Path, record: Record) -> View:
    rows, out = evidence.load_rows(folder), _out(folder, record)
    named = {role: known for role in ROLES if (known := record.models.get(role))}
    models = {"unlearned": evidence.load(folder / evidence.PREDICTIONS)} | {
        role: _cut(_shared(model_folder(out, record.key, role, known)), rows) for role, known in named.items()
    }
    return View(
        "unlearned", models, _ascends(record), record.key["seed"]["eval"], _shadows(out, record, rows),
        records.curves(folder), evidence.load_distances(folder),
    )  # fmt: skip


def _out(folder: Path, record: Record) -> Path:
    """The outputs folder of a run; UsageError where its models are not: its directory was moved away."""
    out = outputs_of(folder, record.key)
    home = models_home(out, record.key)
    if not record.models or not home.is_dir():
        raise UsageError(f"the models of {folder} are not in {home}: run it again with force=true")
    return out


def _shared(folder: Path) -> Splits:
    """A shared model's predictions; UsageError where there are none any more."""
    if unseal(folder) is None:
        raise UsageError(f"there is no model in {folder}, whose predictions are read (mubench prepare)")
    return _predictions(folder / evidence.PREDICTIONS)


@lru_cache(maxsize=32)
def _predictions(path: Path) -> Splits:
    """Of a model that many runs share, once."""
    return evidence.load(path)


def _cut(predictions: Splits, rows: Mapping[str, np.ndarray]) -> Splits:
    """A shared model's predictions on the run's D_f and D_r, which are rows of train, and on other splits."""
    train = predictions["train"]
    if max(int(some.max(initial=0)) for some in rows.values()) >= len(train):
        raise UsageError("the run's rows are not of the data that its models were predicted on")
    cut: dict[str, Outputs] = {name: evidence.take(train, some) for name, some in rows.items()}
    return {**{name: part for name, part in predictions.items() if name != "train"}, **cut}


def _shadows(out: Path, record: Record, rows: Mapping[str, np.ndarray]) -> dict[str, list[Splits]]:
    """Shadow models by role: as many as the run asked for, else all that are there."""
    found: dict[str, list[Splits]] = {}
    for role in ROLES:
        fingerprint = record.models.get(f"{role}_shadow") or ""
        folders = sorted(shadows_folder(out, record.key, role, fingerprint).glob("[0-9]*"))
        whole = [folder for folder in folders if folder.is_dir() and unseal(folder) is not None]
        count = record.config.get("shadows") or len(whole)
        found[role] = [_cut(_predictions(folder / evidence.PREDICTIONS), rows) for folder in whole[:count]]
    return {role: models for role, models in found.items() if models}


def _ascends(record: Record) -> bool:
    """Whether the method ascends on D_f, which `overall` asks; its class is read, not imported."""
    target = record.config["method"]["_target_"]
    known = facts.of(target).get("ascends")
    if known is None:
        raise UsageError(f"the method's class {target} cannot be read: --config-dir=DIR, its folder")
    return bool(known)
