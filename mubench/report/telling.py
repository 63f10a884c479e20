"""What there is to say below tables, told from their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mubench.report.notes import DOUBT, NAMES, SURE, Told
from mubench.report.sheets import Sheet, grounds
from mubench.statistics import FEWEST


def told(sheets: Sequence[Sheet], verified: bool, sd: bool, test: str) -> Told:
    """What to say below these tables."""
    fewest = min((sheet.n(label) for sheet in sheets for label in sheet.rows), default=FEWEST)
    warnings = [f"{sheet.place.title}: {text}" for sheet in sheets for text in _warnings_of(sheet)]
    return Told(dict(_signs(sheets, verified, sd, test)), fewest, warnings)


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
