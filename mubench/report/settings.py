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
    if not records:
        return []
    left = list(records)
    for name, text in wanted.items():
        values = [setting(record, name) for record in records]
        if all(value is ... for value in values):
            known = {each for record in records for each in settings(record)}
            raise UsageError(f"no record has the setting '{name}'.{did_you_mean(name, known)}")
        among = [any(_is(value, one) for one in text.split(",")) for value in values]
        fitting = {id(record) for record, fits in zip(records, among, strict=True) if fits}
        left = [record for record in left if id(record) in fitting]
    return left


def setting(record: Record, name: str) -> Any:
    """What `settings` gives by one name, without the others; ... where it gives nothing."""
    if name == "fingerprint":
        return record.fingerprint
    if name in KEYS:
        return record.key[name]
    root, *inner = name.split(".")
    node = getattr(record, root) if root in PARTS else record.config.get(root, ...)
    while inner and isinstance(node, Mapping):
        node = node.get(inner.pop(0), ...)
    return ... if inner or isinstance(node, Mapping) else node


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
    runs = [(label, settings(record)) for label, record in _unlike(labelled, under)]
    names = dict.fromkeys(name for _, values in runs for name in values)
    roots = tuple(f"{name}." for name in under)
    for name in names:
        if (name.startswith(roots) or name in under) and name not in left_out:
            for label, values in runs:
                labels = seen.setdefault(name, {}).setdefault(typed(values.get(name)), [])
                if label not in labels:
                    labels.append(label)
    return next(((name, values) for name, values in seen.items() if len(values) > 1), None)


def _unlike(labelled: Iterable[tuple[str, Record]], under: Sequence[str]) -> list[tuple[str, Record]]:
    """The runs but those that hold, under these names, the very parts of an earlier one of their label."""
    roots = [name.split(".")[0] for name in under]
    found: dict[tuple[Any, ...], tuple[str, Record]] = {}
    for label, record in labelled:
        parts = [getattr(record, root, None) or record.config.get(root) for root in roots]
        chosen = [record.key[root] for root in roots if root in KEYS]
        found.setdefault((label, *(_sameness(part) for part in parts), *chosen), (label, record))
    return list(found.values())


def _sameness(part: Any) -> Any:
    """Equal for the same mapping or an equal value."""
    return part if isinstance(part, str | int | float | None) else id(part)


def typed(value: Any) -> str:
    """A value as the command line takes it, hashes cut short."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str) and len(value) == 64:
        return value[:DIGITS]
    return f"{value:g}" if isinstance(value, float) else str(value)
