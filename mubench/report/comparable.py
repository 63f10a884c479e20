"""The one rule of tables: rows side by side started from the same models and forgot the same examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from mubench.config import IRRELEVANT, PLACES, SHARED
from mubench.errors import UsageError
from mubench.records import Record
from mubench.report.places import Place
from mubench.report.rows import Row
from mubench.report.settings import first_difference

Run = tuple[str, Record]  # the row's label and one of its records
# What may tell apart runs whose settings are the same.
IDENTITIES = (*PLACES.values(), "task.source", "data.identity", "environment.mubench", "environment.git")
BY_CONTENT = (*IRRELEVANT, *PLACES.values())  # paths and such: fingerprints tell what lies there


def refuse_unlike(tables: Mapping[Place, Mapping[str, Row]]) -> None:
    """UsageError unless in each table

    all originals were made by the same settings, and those of one seed.train are the same model;
    all forget sets of one seed.forget are the same examples, and any two rows share a forget set;
    no row has two runs of the same seeds.
    """
    found = {place: sentence for place, rows in tables.items() if (sentence := _unlike(rows)) is not None}
    if found:
        place, sentence = next(iter(found.items()))
        others = "1 more table has" if len(found) == 2 else f"{len(found) - 1} more tables have"
        more = f" ({others} such rows)" if len(found) > 1 else ""
        raise UsageError(f"{place.title}: {sentence}{more}")


def _unlike(rows: Mapping[str, Row]) -> str | None:
    """Why the rows of a table cannot be compared, and which filter would part them."""
    runs = [(label, r) for label, row in rows.items() if row.role == "unlearned" for r in row.records]
    return _recipes(runs) or _originals(runs) or _forget_sets(runs) or _twins(runs) or _apart(runs)


def _recipes(runs: list[Run]) -> str | None:
    difference = first_difference(runs, SHARED, BY_CONTENT)
    if difference is None:
        return None
    return f"the original models were made differently: {_shown(*difference)}"


def _originals(runs: list[Run]) -> str | None:
    def of_seed(record: Record) -> tuple[Any, ...]:
        return record.key["seed"]["train"], record.models.get("original")

    clash = _clash(runs, of_seed)
    if clash is None:
        return None
    seed, those = clash
    return _told(f"the original models of seed.train={seed} are not the same", those, IDENTITIES, ["models"])


def _forget_sets(runs: list[Run]) -> str | None:
    def of_seed(record: Record) -> tuple[Any, ...]:
        return record.key["seed"]["forget"], record.forget_set["sha256"]

    clash = _clash(runs, of_seed)
    if clash is None:
        return None
    seed, those = clash
    what = f"the forget sets of seed.forget={seed} are not the same"
    return _told(what, those, ["deletion"], ["data.identity"], ["forget_set.sha256"])


def _clash(runs: Iterable[Run], look: Callable[[Record], tuple[Any, ...]]) -> tuple[Any, list[Run]] | None:
    """A seed with two identities, and the runs of it; records that do not tell theirs are passed over."""
    by_seed: dict[Any, dict[Any, list[Run]]] = {}
    for run in runs:
        seed, identity = look(run[1])
        if identity is not None:
            by_seed.setdefault(seed, {}).setdefault(identity, []).append(run)
    for seed, identities in by_seed.items():
        if len(identities) > 1:
            return seed, [run for several in identities.values() for run in several]
    return None


def _twins(runs: list[Run]) -> str | None:
    seen: dict[tuple[Any, ...], Run] = {}
    for label, record in runs:
        seeds = (label, *sorted(record.key["seed"].items()))
        if seeds in seen:
            both = [seen[seeds], (f"{label} again", record)]
            return _told(f"{label} has two runs of the same settings and seeds", both, ["fingerprint"])
        seen[seeds] = (label, record)
    return None


def _apart(runs: list[Run]) -> str | None:
    sets: dict[str, dict[str, int]] = {}
    for label, record in runs:
        sets.setdefault(label, {})[record.forget_set["sha256"]] = record.key["seed"]["forget"]
    for first, second in combinations(sets, 2):
        if not sets[first].keys() & sets[second].keys():
            those = [run for run in runs if run[0] in (first, second)]
            return _told(f"{first} and {second} share no forget set", those, ["deletion"], ["seed.forget"])
    return None


def _told(what: str, runs: Sequence[Run], *under: Sequence[str]) -> str:
    """What is wrong, and the setting that parts the runs: the first under the first names that know one."""
    found = next(filter(None, (first_difference(runs, names) for names in under)), None)
    return what if found is None else f"{what}: {_shown(*found)}"


def _shown(name: str, values: Mapping[str, list[str]]) -> str:
    """ "training.epochs is 10 (salun, scrub) or 2 (neggrad); training.epochs=10 shows the one" """
    told = " or ".join(f"{value} ({', '.join(labels)})" for value, labels in values.items())
    most = max(values, key=lambda value: len(values[value]))
    return f"{name} is {told}; `mubench table {name}={most}` shows one of them"
