"""What stands below tables: what the signs mean, and what to be wary of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mubench.report.sheets import Sheet, grounds
from mubench.statistics.paired import FEWEST
from mubench.statistics.seeds import LEVEL

SURE, DOUBT = f"{100 * LEVEL:g} %", f"{100 * (1 - LEVEL):.2g} %"  # of intervals, and of tests
SIGNS = "±*=✓"  # in the order that they are explained in
NAMES = {"t": "paired t test", "wilcoxon": "Wilcoxon signed-rank test"}


class Told(NamedTuple):
    """What there is to say below some tables."""

    signs: dict[str, str]  # what each sign means that they show
    fewest: int  # training seeds of any row
    warnings: list[str]


def told(sheets: Sequence[Sheet], verified: bool, sd: bool, test: str) -> Told:
    """What to say below these tables."""
    fewest = min((sheet.n(label) for sheet in sheets for label in sheet.rows), default=FEWEST)
    warnings = [f"{sheet.place.title}: {text}" for sheet in sheets for text in _warnings_of(sheet)]
    return Told(dict(_signs(sheets, verified, sd, test)), fewest, warnings)


def listed(several: Sequence[Told]) -> Iterator[tuple[str, str]]:
    """What to say below all of the tables: each sign and what it means, then `!` and what to be wary of."""
    signs = {sign: text for one in several for sign, text in one.signs.items()}
    yield from ((sign, signs[sign]) for sign in SIGNS if sign in signs)
    if (doubt := few(min((one.fewest for one in several), default=FEWEST))) is not None:
        yield "!", f"{doubt}: run {FEWEST} training seeds or more (mubench run sweep=seeds)"
    yield from (("!", text) for one in several for text in one.warnings)


def _signs(sheets: Sequence[Sheet], verified: bool, sd: bool, test: str) -> Iterator[tuple[str, str]]:
    columns = [column for sheet in sheets for column in sheet.columns]
    summaries = [one for column in columns for one in column.summaries.values() if one is not None]
    if any(summary.n > 1 for summary in summaries):
        shown = "standard deviation" if sd else f"half of the {SURE} t interval"
        yield "±", f"{shown} over n training seeds; runs of one training seed are averaged first"
    if any(column.best is not None for column in columns):
        yield "*", "best mean of a metric, task and deletion; ≈: nearest to the retrained model, run by run"
    if any(column.pairs.tested for column in columns):
        yield (
            "=",
            f"not told apart from the best ({NAMES[test]} over shared training seeds, Holm over all pairs "
            f"of a column, {DOUBT}); ? too few shared seeds to test",
        )
    if verified:
        yield "✓", "the method's code and settings, as they are now, passed every check of mubench verify"


def few(n: int) -> str | None:
    """What so few training seeds do to a row; None if they are enough."""
    doubt = "has no interval and decides nothing" if n == 1 else "gives wide intervals and no tests"
    return f"n = {n} {doubt}" if n < FEWEST else None


def _warnings_of(sheet: Sheet) -> Iterator[str]:
    matching = [column for column in sheet.columns if column.goal == "match"]
    if matching and not any(column.scores for column in matching):
        yield "there is no retrained model, so ≈ columns have no goal (evaluation.reference=retrain)"
    found = grounds(sheet)
    if len(set(found.values())) > 1:
        grounds_of = "; ".join(f"{label} {_stands_on(ground)}" for label, ground in found.items())
        yield f"rows stand on different seeds, tests only on those shared: {grounds_of}"


def _stands_on(ground: frozenset[tuple[int, str]]) -> str:
    """ "1, 2, 3", and how many forget sets if several"""
    seeds = ", ".join(str(seed) for seed in sorted({train for train, _ in ground}))
    sets = len({forget for _, forget in ground})
    return seeds if sets == 1 else f"{seeds} × {sets} forget sets"
