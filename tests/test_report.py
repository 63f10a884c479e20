"""What is printed of records: the closing table, tables over seeds, a run in full."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mubench.metrics import METRICS, goal_of
from mubench.report.closing import HEADLINE, RELATIVE, number
from mubench.report.rows import COSTS
from mubench.report.sheets import COLUMNS

GOLDEN = Path(__file__).parent / "golden" / "closing_table.txt"


def masked(text: str) -> str:
    """Digits as #, boxes and spaces narrowed: the shape without the numbers."""
    text = re.sub(r"-[0-9a-f]{8}$", "-…", re.sub(r"\S*/runs/", "…/runs/", text), flags=re.MULTILINE)
    text = re.sub(r"[━─]+", "─", re.sub(r" +", " ", re.sub(r"[-+]?\d[\d.,]*", "#", text)))
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def test_the_closing_table_has_this_shape(first):
    assert masked(first.printed.out) == GOLDEN.read_text(encoding="utf-8")


def test_every_shown_metric_exists_and_has_a_goal():
    for name in {*HEADLINE, *RELATIVE, *COLUMNS} - set(COSTS):
        assert goal_of(name) in ("higher", "lower", "match"), name
    assert goal_of("forget_accuracy") == goal_of("forget_loss") == "match"
    assert METRICS and goal_of("no_such_metric") is None


def test_table_filters_by_key(first, cli):
    out = f"out={first.folder}"
    for filters in (["method=neggrad,salun"], ["ratio=5"], ["ratio=5.0", "task=digits"], []):
        assert "neggrad" in cli("table", *filters, out).out
    done = cli("table", "ratio=6", out)
    sentence = f"mubench: no finished run in {first.folder} matches (1 are there)\n"
    assert (done.status, done.err) == (2, sentence)


def test_a_run_is_shown_in_full(first, cli):
    (run,) = first.runs()
    shown = cli("show", "run", str(run)).out
    content = json.loads((run / "record.json").read_text(encoding="utf-8"))
    measured = [name for name, value in content["metrics"]["unlearned"].items() if value is not None]
    for name in (*measured, *content["cost"], *content["environment"], *content["reasons"]):
        assert name in shown, name
    assert f"{run}\nstatus: complete\n" in shown


def test_numbers_are_short():
    shown = [number(value) for value in (None, 0.12345, -3.0, 123.456, 99999.0, 2.0682e10)]
    assert shown == ["-", "0.123", "-3.000", "123", "99,999", "2.07e+10"]
