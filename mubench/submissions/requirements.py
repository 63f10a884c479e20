"""What a run's record must be to become a row of a leaderboard."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from mubench.records import KEY, LATER, SCHEMA, SEEDS, Record
from mubench.submissions.strict import Refused, shown

NAME = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)*", re.ASCII)  # of tasks, models, methods …
METRIC = re.compile(r"[A-Za-z_][\w@.+%-]*", re.ASCII)
GROUP = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")  # names that mean no file on some systems
HASH = re.compile(r"[0-9a-f]{64}")
LONGEST = 64  # characters of a name
SHARES = ("accuracy", "auc")  # metrics whose names end so are shares of one
SETTINGS = ("task", "modality", "model", "deletion", "method", "adapter", "curriculum")
GROUPS = (*SETTINGS, "optimizer", "training", "unlearning", "trainer", "evaluation", "seed")


def check_group(name: object) -> str:
    """A group's name, which becomes a folder; Refused for one that cannot."""
    if not isinstance(name, str) or len(name) > 40 or not GROUP.fullmatch(name) or DEVICES.fullmatch(name):
        raise Refused(f"{shown(name)} is no name of a group: 1 to 40 of a-z, 0-9 and - between them")
    return name


def check(content: Mapping[str, Any]) -> Record:
    """The record that a row needs; Refused with the first thing that is wrong with it."""
    _schema(content)
    known = [name for name in Record.__dataclass_fields__ if name in content or name not in LATER]
    record = Record(**{name: content[name] for name in known})
    for test in (_names, _whole, _settings, *ROW, _numbers, _times):
        test(record)
    return record


def lacks(record: Record) -> str | None:
    """What a finished run lacks to stand on a leaderboard; None for a whole one."""
    try:
        for test in ROW:
            test(record)
    except Refused as error:
        return str(error)
    return None


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of record.json: inside an installed package, in docs/ of a checkout."""
    package = Path(__file__).parents[1]
    inside, beside = (folder / "record.schema.json" for folder in (package, package.parent / "docs"))
    found: dict[str, Any] = json.loads((inside if inside.is_file() else beside).read_text(encoding="utf-8"))
    return found


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def _schema(content: Mapping[str, Any]) -> None:
    if content.get("schema") != SCHEMA:
        raise Refused(f"its schema is {shown(content.get('schema'))}, not {SCHEMA}")
    for error in _validator().iter_errors(content):
        where = ".".join(map(str, error.absolute_path)) or "it"
        raise Refused(f"{shown(where)} is not as the schema says: {shown(error.message, 120)}")


def _names(record: Record) -> None:
    named = {name: record.key[name] for name in KEY if name not in ("seed", "ratio")}
    for what, name in named.items():
        _check_name(NAME, name, f"key.{what}")
    for values in record.metrics.values():
        for name in values or {}:
            _check_name(METRIC, name, "a metric")


def _check_name(pattern: re.Pattern[str], name: str, what: str) -> None:
    if len(name) > LONGEST or not pattern.fullmatch(name):
        raise Refused(f"{what} cannot be named {shown(name)}: up to {LONGEST} letters, digits and marks")


def _whole(record: Record) -> None:
    if not record.complete or record.error is not None:
        raise Refused(f"the run is {record.status if not record.complete else 'complete, but has an error'}")
    if "predictions.safetensors" not in record.files:
        raise Refused("it has no hash of its predictions")
    for name in record.files:
        _check_name(NAME, name, "a file")


def _settings(record: Record) -> None:
    """What tables compare by must not be at odds with the settings."""
    for name in GROUPS:
        if not isinstance(record.config.get(name, {}), dict):
            raise Refused(f"config.{name} is no group of settings")
    for name in SETTINGS:
        told = record.config.get(name, {}).get("name")
        if told is not None and told != record.key[name]:
            raise Refused(f"key.{name} is {shown(record.key[name])}, config.{name} is {shown(told)}")
    if record.config.get("seed", record.key["seed"]) != record.key["seed"]:
        raise Refused("key.seed and config.seed differ")
    seeds = [record.key["seed"][level] for level in SEEDS]
    if not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise Refused("key.seed holds what is no seed")


def _forgotten(record: Record) -> None:
    found, ratio = record.forget_set, record.key["ratio"]
    if not HASH.fullmatch(str(found.get("sha256"))):
        raise Refused("it has no hash of the forget set")
    if not found.get("size", 0) > 0 or found.get("retain", 0) < 0 or not 0 <= found.get("percent", 0) <= 100:
        raise Refused("its forget set has no size")
    if ratio is not None and not 0 < ratio <= 100:
        raise Refused(f"key.ratio is {ratio:g}, no share in percent")


def _reference(record: Record) -> None:
    if not _values(record, "unlearned"):
        raise Refused("it has no metrics of the unlearned model")
    if not _values(record, "retrained") or not record.models.get("retrained"):
        raise Refused("it has no retrained model beside it (evaluation.reference=retrain)")
    if not record.models.get("original"):
        raise Refused("it does not say which original model it started from")


def _values(record: Record, role: str) -> list[float]:
    return [value for value in (record.metrics.get(role) or {}).values() if value is not None]


def _costs(record: Record) -> None:
    for name in ("unlearn_seconds", "retrain_seconds"):
        if record.cost.get(name) is None:
            raise Refused(f"it has no cost.{name}")
    for name, value in record.cost.items():
        if value is not None and value < 0:
            raise Refused(f"cost.{name} is below 0")


ROW = (_forgotten, _reference, _costs)  # what a leaderboard asks of one's own runs too


def _numbers(record: Record) -> None:
    """Shares lie in their range; `strict.parse` has refused what is not finite."""
    for role in ("unlearned", "original", "retrained"):
        for name, value in (record.metrics.get(role) or {}).items():
            if value is not None and name.endswith(SHARES) and not 0 <= value <= 1:
                raise Refused(f"{role} {name} is {value:g}, no share of 1")


def _times(record: Record) -> None:
    for name in ("started", "finished"):
        try:
            moment = datetime.fromisoformat(str(getattr(record, name)))
        except ValueError as error:
            raise Refused(f"{name} is {shown(getattr(record, name))}, no time") from error
        if moment.tzinfo is None:
            raise Refused(f"{name} names no time zone")
