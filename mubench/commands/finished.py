"""Which finished runs a table or a plot is of."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mubench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from mubench.files import Corrupt
    from mubench.records import Outline, Record
    from mubench.report.kept_tables import Run

    Found = tuple[Path, Outline | Corrupt | None]

MOST = 3  # damaged records that are named
GROUP = "group"  # the filter that no record knows: whose run it is
OWN = "-"  # the group of one's own runs


def filters(verb: str, words: Sequence[str], own: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The filters, and the verb's own settings; UsageError for what is neither."""
    from mubench.report.settings import KEYS, check_name

    wanted: dict[str, str] = {}
    settings: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            hint = did_you_mean(word, KEYS)
            raise UsageError(f"{verb} takes filters such as method=salun, not '{word}'.{hint}")
        if name in own:
            settings[name] = value
        else:
            if name != GROUP:
                check_name(name)
            wanted[name] = value
    return wanted, settings


def records(out: Path, wanted: Mapping[str, str]) -> list[Record]:
    """The complete records that match; what is left out of them is said on stderr."""
    return [record for _, record in runs(out, wanted)]


def runs(out: Path, wanted: Mapping[str, str]) -> list[tuple[Path, Record]]:
    """The same, each with its run's directory; one's own and those that `mubench import` has taken."""
    from mubench.index import records_of

    return records_of(out, chosen(out, wanted))


def chosen(out: Path, wanted: Mapping[str, str]) -> list[Run]:
    """The same in outline."""
    from mubench.index import outlines
    from mubench.submissions.found import once, submitted

    filters = {name: text for name, text in wanted.items() if name != GROUP}
    others = list(submitted(out))
    everybody: list[Found] = [*outlines(out, _kinds(wanted)), *others]
    among = _of_groups(everybody, wanted[GROUP].split(",")) if GROUP in wanted else everybody
    found = _matching(once(among), out, filters, lambda: once([*outlines(out), *others]))
    if others:
        _tell_of_others([folder for folder, _ in found])
    return found


def _of_groups(found: Sequence[Found], names: Sequence[str]) -> list[Found]:
    """The runs of these groups; UsageError for one that has none."""
    from mubench.submissions.found import group_of

    groups = [group_of(folder) or OWN for folder, _ in found]
    for name in names:
        if name not in groups:
            raise UsageError(f"there is no run of the group '{name}'.{did_you_mean(name, set(groups))}")
    return [run for run, group in zip(found, groups, strict=True) if group in names]


def _tell_of_others(folders: Sequence[Path]) -> None:
    """Whose numbers are not one's own is never left unsaid."""
    from mubench.submissions.found import group_of

    groups = Counter(group for folder in folders if (group := group_of(folder)) is not None)
    if groups:
        told = ", ".join(f"{name} {count}" for name, count in sorted(groups.items()))
        print(
            f"mubench: {groups.total()} of {len(folders)} runs are what others say: {told}", file=sys.stderr
        )


def own(out: Path, wanted: Mapping[str, str]) -> list[tuple[Path, Record]]:
    """The same without imported ones."""
    from mubench.index import outlines, records_of

    return records_of(out, _matching(outlines(out, _kinds(wanted)), out, wanted, lambda: outlines(out)))


def _kinds(wanted: Mapping[str, str]) -> dict[str, list[str]]:
    """The filters that the index can tell without the settings of a run."""
    return {name: wanted[name].split(",") for name in ("task", "model", "method") if name in wanted}


def _matching(
    found: Sequence[Found], out: Path, wanted: Mapping[str, str], everybody: Callable[[], Sequence[Found]]
) -> list[Run]:
    """Those of the found that match; `everybody` gives all that there are, to count where none does."""
    from mubench.files import Corrupt
    from mubench.records import Outline
    from mubench.report.settings import choose

    damaged = [str(one) for _, one in found if isinstance(one, Corrupt)]
    folders = {id(one): folder for folder, one in found}
    runs = [one for _, one in found if isinstance(one, Outline)]
    done = [one for one in runs if one.complete]
    lacking = [one for one in done if not one.measured]
    damaged += [f"the run {one.fingerprint[:8]} has no metrics or no forget set" for one in lacking]
    matching = choose([one for one in runs if not one.complete or one.measured], wanted)
    chosen = [one for one in matching if one.complete]
    _warn(damaged, len(matching) - len(chosen))
    if not chosen:
        there = sum(isinstance(one, Outline) and one.complete for _, one in everybody())
        raise UsageError(f"no finished run in {out} matches ({there} are there)")
    return [(folders[id(one)], one) for one in chosen]


def _warn(damaged: Sequence[str], failed: int) -> None:
    for text in damaged[:MOST]:
        print(f"mubench: left out: {text}", file=sys.stderr)
    if len(damaged) > MOST:
        print(f"mubench: left out: {len(damaged) - MOST} more damaged records", file=sys.stderr)
    if failed:
        told = "1 run that" if failed == 1 else f"{failed} runs that"
        print(f"mubench: left out: {told} failed or diverged (mubench status)", file=sys.stderr)
