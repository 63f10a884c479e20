"""What records say of themselves by dotted name: to choose among them, and to tell two apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mubench.errors import UsageError, did_you_mean
from mubench.records import KEY, Outline, Record
from mubench.schema import Settings

KEYS = tuple(name for name in KEY if name != "seed")
PARTS = ("models", "forget_set", "data", "environment")
ROOTS = (*KEYS, *PARTS, "fingerprint", *Settings.__dataclass_fields__)
PLAIN = (str, int, float, type(None))
DIGITS = 8  # of a hash that are enough to name it


def check_name(name: str) -> None:
    """UsageError for a name that no record can have."""
    if name.split(".")[0] not in ROOTS:
        raise UsageError(f"there is no filter '{name}'.{did_you_mean(name, KEYS)}")


def choose(runs: Sequence[Outline], wanted: Mapping[str, str]) -> list[Outline]:
    """The runs whose values are among those wanted; UsageError for a setting that none has."""
    if not runs:
        return []
    left = list(runs)
    for name, text in wanted.items():
        values = [setting(run, name) for run in runs]
        if all(value is ... for value in values):
            known = {each for run in runs for each in settings(run)}
            raise UsageError(f"no record has the setting '{name}'.{did_you_mean(name, known)}")
        among = [any(_is(value, one) for one in text.split(",")) for value in values]
        fitting = {id(run) for run, fits in zip(runs, among, strict=True) if fits}
        left = [run for run in left if id(run) in fitting]
    return left


def setting(run: Record | Outline, name: str) -> Any:
    """What `settings` gives by one name, without the others; ... where it gives nothing."""
    if name == "fingerprint":
        return run.fingerprint
    if name in KEYS:
        return run.key[name]
    root, *inner = name.split(".")
    node = getattr(run, root) if root in PARTS else run.config.get(root, ...)
    while inner and isinstance(node, Mapping):
        node = node.get(inner.pop(0), ...)
    return ... if inner or isinstance(node, Mapping) else node


def settings(run: Record | Outline) -> dict[str, Any]:
    """A run's key, settings and identities by dotted name; a group's own name gives what was chosen."""
    parts = {name: getattr(run, name) for name in PARTS}
    chosen = {name: run.key[name] for name in KEYS}
    return {**flat({**run.config, **parts}), **chosen, "fingerprint": run.fingerprint}


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
    unlike = _unlike(labelled, under)
    if len({parts for _, parts in unlike}) < 2:
        return None
    runs = [(label, settings(record)) for label, record in unlike.values()]
    names = dict.fromkeys(name for _, values in runs for name in values)
    roots = tuple(f"{name}." for name in under)
    for name in names:
        if (name.startswith(roots) or name in under) and name not in left_out:
            for label, values in runs:
                labels = seen.setdefault(name, {}).setdefault(typed(values.get(name)), [])
                if label not in labels:
                    labels.append(label)
    return next(((name, values) for name, values in seen.items() if len(values) > 1), None)


def _unlike(
    labelled: Iterable[tuple[str, Record]], under: Sequence[str]
) -> dict[tuple[str, Any], tuple[str, Record]]:
    """The first run of each label with the very parts that it has under these names: by label and parts."""
    roots = [name.split(".")[0] for name in under]
    fields = [root for root in roots if root in Record.__dataclass_fields__]
    groups, keys = [root for root in roots if root not in fields], [root for root in roots if root in KEYS]
    found: dict[tuple[str, Any], tuple[str, Record]] = {}
    for label, record in labelled:
        parts = [getattr(record, field) for field in fields] + [record.config.get(root) for root in groups]
        same = (*map(_sameness, parts), *(record.key[root] for root in keys))
        found.setdefault((label, same), (label, record))
    return found


def _sameness(part: Any) -> Any:
    """Equal for the same mapping or an equal value."""
    return part if isinstance(part, PLAIN) else id(part)


def typed(value: Any) -> str:
    """A value as the command line takes it, hashes cut short."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str) and len(value) == 64:
        return value[:DIGITS]
    return f"{value:g}" if isinstance(value, float) else str(value)
