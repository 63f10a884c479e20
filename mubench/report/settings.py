"""What records say of themselves by dotted name: to choose among them, and to tell two apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mubench.errors import UsageError, did_you_mean
from mubench.records import KEY, Record
from mubench.schema import Settings

KEYS = tuple(name for name in KEY if name != "seed")
PARTS = ("models", "forget_set", "data", "environment")
ROOTS = (*KEYS, *PARTS, "fingerprint", *Settings.__dataclass_fields__)
DIGITS = 8  # of a hash that are enough to name it


def check_name(name: str) -> None:
    """UsageError for a name that no record can have."""
    if name.split(".")[0] not in ROOTS:
        raise UsageError(f"there is no filter '{name}'.{did_you_mean(name, KEYS)}")


def choose(records: Sequence[Record], wanted: Mapping[str, str]) -> list[Record]:
    """The records whose values are among those wanted; UsageError for a setting that none has."""
    if not wanted or not records:
        return list(records)
    told = [settings(record) for record in records]
    known = {name for one in told for name in one}
    for name in wanted:
        if name not in known:
            raise UsageError(f"no record has the setting '{name}'.{did_you_mean(name, known)}")

    def fits(values: Mapping[str, Any]) -> bool:
        return all(
            any(_is(values.get(name, ...), one) for one in text.split(",")) for name, text in wanted.items()
        )

    return [record for record, values in zip(records, told, strict=True) if fits(values)]


def settings(record: Record) -> dict[str, Any]:
    """A record's key, settings and identities by dotted name; a group's own name gives what was chosen."""
    parts = {name: getattr(record, name) for name in PARTS}
    chosen = {name: record.key[name] for name in KEYS}
    return {**flat({**record.config, **parts}), **chosen, "fingerprint": record.fingerprint}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _is(value: Any, text: str) -> bool:
    """Whether a value is the one typed; eight digits name a hash."""
    if isinstance(value, bool) or value is None:
        return text.lower() == {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    named = len(text) >= DIGITS and isinstance(value, str) and len(value) == 64 and value.startswith(text)
    return named or text == str(value)


def first_difference(
    labelled: Iterable[tuple[str, Record]], under: Sequence[str], left_out: Sequence[str] = ()
) -> tuple[str, dict[str, list[str]]] | None:
    """The first setting under these names in which runs differ: its name, and labels by the value's text."""
    seen: dict[str, dict[str, list[str]]] = {}
    runs = [(label, settings(record)) for label, record in labelled]
    names = dict.fromkeys(name for _, values in runs for name in values)
    roots = tuple(f"{name}." for name in under)
    for name in names:
        if (name.startswith(roots) or name in under) and name not in left_out:
            for label, values in runs:
                labels = seen.setdefault(name, {}).setdefault(typed(values.get(name)), [])
                if label not in labels:
                    labels.append(label)
    return next(((name, values) for name, values in seen.items() if len(values) > 1), None)


def typed(value: Any) -> str:
    """A value as the command line takes it, hashes cut short."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str) and len(value) == 64:
        return value[:DIGITS]
    return f"{value:g}" if isinstance(value, float) else str(value)
