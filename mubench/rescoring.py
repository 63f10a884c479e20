"""Metrics computed after a run: into its record, or over the runs of a cell into a record of that."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mubench import environment, records
from mubench.archive import Run
from mubench.config import IRRELEVANT, run_lock, without
from mubench.errors import NotApplicable, UsageError
from mubench.files import Corrupt, locked, read_json, write_json
from mubench.metrics import METRICS, Metric
from mubench.metrics.base import Cell
from mubench.records import SCHEMA, Record
from mubench.scoring import Values, check_names, chosen, score, score_cell

UNKEPT = {"texts", "pictures", "gradients", "penultimate"}  # of shared models; see archive.py
ASIDE = (*IRRELEVANT, "seed", "shadows", "evaluation")  # settings in which runs of a cell may differ


def check(names: Iterable[str]) -> tuple[list[str], list[Metric]]:
    """Names of metrics of a run, and the metrics of a cell; UsageError for what nobody can score again."""
    wanted = list(names)
    check_names(wanted)
    for name in wanted:
        if name != "all" and (why := _unkept(METRICS[name])):
            raise UsageError(f"metric '{name}' reads {why}: only a run itself scores it")
    cells = [m for m in METRICS.values() if m.scope == "cell" and ("all" in wanted or m.name in wanted)]
    return [name for name in wanted if name == "all" or METRICS[name].scope != "cell"], cells


def _unkept(metric: Metric) -> str:
    if "incompetent" in metric.needs:
        return "an untrained model's predictions, which no run keeps"
    return f"{metric.reads}, which are not kept of every model" if metric.reads in UNKEPT else ""


def rescore(run: Run, names: Sequence[str]) -> dict[str, Values]:
    """Compute metrics of a run and put them into its record; their values by group.

    Nothing else in the record changes but `scored`, which says when and by which version. Of all metrics
    those that read what is not kept are left as they are. NotApplicable for one that does not apply.
    """
    keeps = ", ".join(sorted(run.gives))
    for name in names:
        if name != "all" and METRICS[name].reads not in run.gives:
            raise NotApplicable(f"metric '{name}' reads {METRICS[name].reads}; {run.folder} keeps {keeps}")
    metrics = [metric for metric in chosen(names, run.gives, run.attacks) if not _unkept(metric)]
    found, reasons = score(run.view, metrics)
    with locked(run_lock(run.folder), lambda: None):
        record = records.finished(run.folder)
        if record is None or record.fingerprint != run.record.fingerprint:
            raise UsageError(f"{run.folder} is another run by now")
        _merge(record, found, reasons)
        record.scored |= _note(metrics)
        record.write(run.folder)
    return {group: values for group, values in found.items() if values}


def _merge(record: Record, found: Mapping[str, Values | None], reasons: Mapping[str, str]) -> None:
    """The new values in the place of the old, with their reasons."""
    for group, values in found.items():
        if values is not None:
            record.metrics[group] = {**(record.metrics.get(group) or {}), **values}
            for name in values:
                record.reasons.pop(f"{group}.{name}", None)
    record.reasons |= reasons


def _note(metrics: Iterable[Metric]) -> dict[str, dict[str, str | None]]:
    """When metrics were scored and by which version."""
    made = environment.versions()
    note = {"when": environment.now(), "mubench": made["mubench"], "git": made["git"]}
    return {metric.name: note for metric in metrics}


def cells(runs: Iterable[tuple[Path, Record]]) -> list[list[Path]]:
    """Directories of runs that differ in seeds only and have one forget set, one for each training seed.

    Of several with one training seed that of the smallest unlearning seed: more of those never stand in
    for training seeds. Runs without a retrained model are left out.
    """
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    seeds = [(record.key["seed"], folder, record) for folder, record in runs]
    for seed, folder, record in sorted(seeds, key=lambda one: (one[0]["unlearn"], one[0]["eval"])):
        if record.models.get("retrained"):
            found[cell_fingerprint(record)].setdefault(seed["train"], folder)
    return [[cell[seed] for seed in sorted(cell)] for cell in found.values()]


def cell_fingerprint(record: Record) -> str:
    """Hash (hex) of a run's settings but seeds and places, and of its forget set."""
    settings, forget_set = without(record.config, ASIDE), record.forget_set.get("sha256")
    text = json.dumps([settings, forget_set], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def rescore_cell(runs: Sequence[Run], metrics: Iterable[Metric]) -> tuple[Path, Values]:
    """Compute metrics of a cell, and write them below outputs/cells/; the file and what it holds.

    Other metrics of the same runs are kept; those of other runs of the cell are not. Metrics that read
    what the runs do not keep are left out.
    """
    seeds = [run.record.key["seed"] for run in runs]
    cell = Cell(
        [run.view.models["unlearned"] for run in runs],
        [run.view.models["retrained"] for run in runs],
        seeds[0]["eval"],
    )
    gives = frozenset.intersection(*(run.gives for run in runs))
    applying = [metric for metric in metrics if metric.reads in gives]
    values, reasons = score_cell(cell, applying)
    first, path = runs[0].record, _place(runs[0])
    with locked(path.with_suffix(".lock"), lambda: None):
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "key": {**first.key, "seed": {level: [seed[level] for seed in seeds] for level in records.SEEDS}},
            "fingerprint": cell_fingerprint(first),
            "runs": [run.record.fingerprint for run in runs],
            "forget_set": first.forget_set,
        }
        kept = _kept(path, content["runs"])
        content["metrics"] = {**kept.get("metrics", {}), **values}
        others = {name: why for name, why in kept.get("reasons", {}).items() if name not in values}
        content["reasons"] = {**others, **reasons}
        content["scored"] = {**kept.get("scored", {}), **_note(applying)}
        write_json(path, content)
    return path, values


def _kept(path: Path, runs: Sequence[str]) -> dict[str, Any]:
    """The record of a cell if it is of the same runs, else nothing."""
    with suppress(Corrupt):
        known = read_json(path) if path.is_file() else {}
        if known.get("schema") == SCHEMA and known.get("runs") == runs:
            return known
    return {}


def _place(run: Run) -> Path:
    """outputs/cells/<task>/<model>/<method>/<deletion>/<fingerprint8>.json, beside outputs/runs/."""
    key, deletion = run.record.key, run.folder.absolute().parent
    below = Path(key["task"], key["model"], key["method"], deletion.name)
    out = deletion.parents[len(below.parts)]
    return out / "cells" / below / f"{cell_fingerprint(run.record)[:8]}.json"
