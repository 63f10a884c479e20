"""What is printed of records: the closing table, tables over seeds, a run in full."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mubench.errors import UsageError
from mubench.metrics import METRICS, goal_of
from mubench.records import Record
from mubench.report.closing import HEADLINE, RELATIVE, number
from mubench.report.table import COLUMNS, cells, group, print_json, print_tables

GOLDEN = Path(__file__).parent / "golden" / "closing_table.txt"


def masked(text: str) -> str:
    """Digits as #, boxes and spaces narrowed: the shape without the numbers."""
    text = re.sub(r"-[0-9a-f]{8}$", "-…", re.sub(r"\S*/runs/", "…/runs/", text), flags=re.MULTILINE)
    text = re.sub(r"[━─]+", "─", re.sub(r" +", " ", re.sub(r"[-+]?\d[\d.,]*", "#", text)))
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def record(method: str, seed: int = 1, **changes: Any) -> Record:
    """A finished run; its accuracy is its seed."""
    key = {"task": "digits", "modality": "image", "model": "m", "method": method, "deletion": "random",
           "ratio": 5.0, "adapter": "none", "curriculum": "none", "optimizer": "adamw",
           "seed": {"unlearn": seed}}  # fmt: skip
    config = {"unlearning": {"epochs": 1}, "seed": seed}
    made = Record(key, f"{seed:02d}" * 32, config, [f"method={method}"], "now")
    made.metrics = {"unlearned": {"test_accuracy": float(seed), "mia_auc": None}, "relative": {"tow": 0.5}}
    made.cost = {"unlearn_seconds": 2.0}
    return replace(made, **changes)


def test_the_closing_table_has_this_shape(first):
    assert masked(first.printed.out) == GOLDEN.read_text(encoding="utf-8")


def test_every_shown_metric_exists_and_has_a_goal():
    for name in {*HEADLINE, *RELATIVE, *COLUMNS} - {"unlearn_seconds", "speedup"}:
        assert goal_of(name) in ("higher", "lower", "match"), name
    assert goal_of("forget_accuracy") == goal_of("forget_loss") == "match"
    assert METRICS and goal_of("no_such_metric") is None


def test_a_row_is_mean_and_spread_over_seeds():
    (rows,) = group([record("salun", seed) for seed in (1, 2, 3)]).values()
    shown = cells(rows, ["test_accuracy", "mia_auc", "tow", "unlearn_seconds"])["salun"]
    assert [str(cell) for cell in shown.values()] == ["2.000 ±1.000", "-", "0.500 ±0.000", "2.000 ±0.000"]
    assert shown["test_accuracy"].as_json() == {"mean": 2.0, "sd": 1.0, "n": 3}
    assert shown["mia_auc"].as_json() == {"mean": None, "sd": None, "n": 0}


def test_runs_that_differ_in_settings_are_not_averaged():
    typed = ["method=salun", "unlearning.epochs=9"]
    other = record("salun", 2, config={"unlearning": {"epochs": 9}}, overrides=typed)
    (rows,) = group([record("salun"), other, record("retrain"), record("original")]).values()
    assert list(rows) == ["original", "retrain", "salun", "salun unlearning.epochs=9"]


def test_shared_models_have_rows_once_for_each_of_their_seeds():
    def run(method: str, train: int, unlearn: int) -> Record:
        made = record(method, unlearn)
        made.key["seed"] = {"train": train, "forget": 1, "unlearn": unlearn}
        made.metrics |= {"original": {"test_accuracy": 10.0 * train}, "retrained": {"test_accuracy": 5.0}}
        return made

    records = [run("salun", 1, 1), run("salun", 1, 2), run("scrub", 2, 1)]
    (rows,) = group(records).values()
    assert list(rows) == ["original", "retrained", "salun", "scrub"]
    shown = {label: str(values["test_accuracy"]) for label, values in cells(rows, ["test_accuracy"]).items()}
    assert shown["original"] == "15.000 ±7.071" and shown["retrained"] == "5.000 ±0.000"
    (rows,) = group([*records, run("retrain", 1, 1)]).values()
    assert list(rows) == ["original", "retrain", "salun", "scrub"]
    other = replace(run("salun", 3, 1), config={"training": {"epochs": 9}})
    (rows,) = group([*records, other]).values()
    assert "original" not in rows


def test_other_ratios_are_other_tables(capsys):
    wide = record("salun", key={**record("salun").key, "ratio": 10.0})
    whole = record("salun", key={**record("salun").key, "deletion": "class", "ratio": None})
    print_tables([record("salun"), wide, whole], None)
    titles = [line.strip() for line in capsys.readouterr().out.splitlines() if "·" in line]
    assert titles == ["digits · m · class", "digits · m · random 5 %", "digits · m · random 10 %"]


def test_columns_can_be_chosen_and_a_wrong_one_is_named(capsys):
    print_json([record("salun")], ["tow"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["values"] == {"tow": {"mean": 0.5, "sd": None, "n": 1}} and row["runs"] == 1
    with pytest.raises(UsageError, match="no record has the metric 'two'"):
        print_json([record("salun")], ["two"])


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
    shown = [number(value) for value in (None, 0.12345, -3.0, 123.456, 99999.0)]
    assert shown == ["-", "0.123", "-3.000", "123", "99,999"]
