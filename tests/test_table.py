"""Tables over seeds: what is averaged, what is called best or tied, what is refused, what is warned of."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mubench.errors import UsageError
from mubench.records import Record
from mubench.report.printed import print_tables
from mubench.report.ranking import rankings
from mubench.report.sheets import Sheet, sheets
from mubench.report.table import print_json, printed
from mubench.statistics.paired import holm

SEEDS = {"train": 1, "forget": 1, "unlearn": 1, "eval": 1}


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def record(
    method: str, values: dict[str, float | None], seeds: dict[str, int] | None = None,
    key: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **changes: Any,
) -> Record:  # fmt: skip
    """A finished run of the method with these metrics; the retrained model has .5 of everything."""
    seed = {**SEEDS, **(seeds or {})}
    whole = {"task": "digits", "modality": "image", "model": "m", "method": method, "deletion": "random",
             "ratio": 5.0, "adapter": "none", "curriculum": "none", "optimizer": "adamw", "seed": seed,
             **(key or {})}  # fmt: skip
    made = {
        "training": {"epochs": 1},
        "deletion": {"name": whole["deletion"]},
        "seed": seed,
        **(config or {}),
    }
    return replace(Record(
        whole, sha((whole, made)), made, [f"method={method}"], "now",
        metrics={"unlearned": dict(values), "original": dict.fromkeys(values, 0.9),
                 "retrained": dict.fromkeys(values, 0.5), "relative": {"tow": 0.5}},
        cost={"unlearn_seconds": 2.0, "retrain_seconds": 9.0},
        forget_set={"size": 1, "retain": 9, "sha256": sha(("set", seed["forget"], whole["ratio"]))},
        models={"original": sha(("original", seed["train"])), "retrained": sha(("retrained", seed))},
    ), **changes)  # fmt: skip


def over_seeds(
    method: str, numbers: Sequence[float], name: str = "test_accuracy", **changes: Any
) -> list[Record]:
    return [record(method, {name: value}, {"train": seed}, **changes) for seed, value in enumerate(numbers)]


def only(records: Sequence[Record], *metrics: str, test: Any = "t") -> Sheet:
    (sheet,) = sheets(records, list(metrics) or ["test_accuracy"], test)
    return sheet


def test_a_cell_is_the_mean_and_t_interval_over_training_seeds(capsys):
    runs = [record("salun", {"test_accuracy": value, "mia_auc": None}, {"train": train, "unlearn": unlearn})
            for train, unlearn, value in ((1, 1, 0.0), (1, 2, 2.0), (2, 1, 3.0), (3, 1, 8.0))]  # fmt: skip
    print_json(sheets(runs, ["test_accuracy", "mia_auc", "tow"]))
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["original", "retrained", "salun"]
    row = rows["salun"]
    assert (row["runs"], row["n"]) == (4, 3)
    assert row["seeds"] == {"train": [1, 2, 3], "forget": [1], "unlearn": [1, 2], "eval": [1]}
    cell = row["values"]["test_accuracy"]
    low, high = stats.ttest_1samp([1.0, 3.0, 8.0], 0).confidence_interval(0.95)
    assert (cell["mean"], cell["n"], cell["goal"]) == (4.0, 3, "higher")
    assert cell["half_width"] == pytest.approx((high - low) / 2)
    assert cell["repeats"] == {"train": 3, "forget": 1, "unlearn": 2, "eval": 1}
    assert row["values"]["mia_auc"] == {"mean": None, "n": 0, "reason": None}
    assert (rows["original"]["runs"], rows["original"]["values"]["test_accuracy"]["sd"]) == (3, 0.0)


def test_settings_of_one_method_are_rows_of_one_table(capsys):
    other = record("salun", {"test_accuracy": 0.6}, config={"method": {"ratio": 0.3}})
    other.overrides = ["method=salun", "method.ratio=0.3"]
    print_tables([printed(sheets([record("salun", {"test_accuracy": 0.5}), other], ["test_accuracy"]))])
    out = capsys.readouterr().out
    assert "│ salun  " in out and "│ salun method.ratio=0.3 " in out


def test_why_a_number_is_missing_stands_in_the_json(capsys):
    run = record("salun", {"mia_auc": None}, reasons={"unlearned.mia_auc": "there is no test set"})
    print_json(sheets([run], ["mia_auc"]))
    row = json.loads(capsys.readouterr().out)[-1]
    assert row["values"]["mia_auc"] == {"mean": None, "n": 0, "reason": "there is no test set"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "0.5"])
def test_what_is_no_finite_number_counts_as_missing(bad):
    sheet = only([*over_seeds("salun", [0.5, 0.7]), record("salun", {"test_accuracy": bad}, {"train": 9})])
    summary = sheet.columns[0].summaries["salun"]
    assert summary is not None and (summary.n, summary.mean, sheet.n("salun")) == (2, pytest.approx(0.6), 3)


def test_the_best_is_marked_and_what_is_not_told_apart_from_it(capsys):
    noise = np.random.default_rng(0).normal(0, 0.01, 6)
    runs = [*over_seeds("salun", 0.90 + noise), *over_seeds("scrub", 0.899 + noise[::-1]),
            *over_seeds("ssd", 0.5 + noise), *over_seeds("one", [0.89])]  # fmt: skip
    sheet = only(runs)
    column = sheet.columns[0]
    assert {label: column.standing(label) for label in sheet.rows} == {
        "original": None, "retrained": None,
        "one": "untested", "salun": "best", "scrub": "tied", "ssd": "worse",
    }  # fmt: skip
    raw = [float(stats.ttest_rel(0.90 + noise, 0.899 + noise[::-1]).pvalue), 0.0, 0.0]
    pair = column.against_best("scrub")
    assert (
        pair is not None and pair.adjusted == pytest.approx(holm(raw)[0]) and pair.p == pytest.approx(raw[0])
    )
    print_tables([printed([sheet])])
    out = capsys.readouterr().out
    lines = {
        line.split("│")[1].strip(): line.split("│")[3].rstrip(" ") for line in out.splitlines() if "│" in line
    }
    assert lines["salun"].endswith("*") and lines["scrub"].endswith("=") and lines["one"].endswith("?")
    assert lines["ssd"].strip()[-1].isdigit() and lines["retrained"].strip()[-1].isdigit()
    assert "! n = 1 has no interval and decides nothing" in out and "rows stand on different seeds" in out
    assert "one 0; salun 0, 1, 2, 3, 4, 5" in out


@pytest.mark.parametrize(
    ("name", "best"), [("test_accuracy", "high"), ("test_loss", "low"), ("mia_auc", "mid")]
)
def test_the_best_goes_by_the_goal(name, best):
    """The retrained model has .5: nearest are runs that are .05 away each, not runs whose mean is right."""
    runs = [*over_seeds("high", [0.9, 0.9, 0.9], name), *over_seeds("low", [0.1, 0.1, 0.1], name),
            *over_seeds("mid", [0.55, 0.55, 0.55], name), *over_seeds("wild", [0.2, 0.5, 0.8], name),
            *over_seeds("retrain", [0.5] * 3, name), *over_seeds("original", [0.99] * 3, name)]  # fmt: skip
    column = only(runs, name).columns[0]
    assert column.best == best and set(column.scores) == {"high", "low", "mid", "wild"}
    assert column.standing("retrain") is column.standing("original") is None


def test_a_number_without_a_goal_has_no_best():
    cost = {"unlearn_seconds": 2.0, "steps": 5}
    runs = [record(method, {"test_accuracy": 0.5}, cost=cost) for method in ("salun", "scrub")]
    steps, seconds = only(runs, "steps", "unlearn_seconds").columns
    assert steps.best is None and steps.standing("salun") is None and seconds.best == "salun"


def test_equal_methods_are_seldom_told_apart_in_a_table():
    """Null simulation through the table: four methods of equal worth, five seeds, the best against others."""
    rng, wrong, tables = np.random.default_rng(1), 0, 200
    for _ in range(tables):
        shared = rng.normal(0, 0.05, 5)
        runs = [one for name in "abcd" for one in over_seeds(name, shared + rng.normal(0.8, 0.01, 5))]
        column = only(runs).columns[0]
        wrong += any(column.standing(name) == "worse" for name in "abcd")
    assert 0.01 <= wrong / tables <= 0.09


def test_wilcoxon_takes_the_place_of_the_t_test():
    a, b = np.array([0.9, 0.8, 0.85, 0.7, 0.95, 0.9, 0.8]), np.array([0.8, 0.79, 0.8, 0.72, 0.9, 0.7, 0.6])
    column = only([*over_seeds("salun", a), *over_seeds("scrub", b)], test="wilcoxon").columns[0]
    expected = stats.wilcoxon(a - b).pvalue
    pair = column.against_best("scrub")
    assert pair is not None and pair.p == pytest.approx(expected)


def test_runs_that_differ_in_settings_are_not_averaged():
    other = record("salun", {"test_accuracy": 1.0}, config={"unlearning": {"epochs": 9}})
    other.overrides.append("unlearning.epochs=9")
    runs = [record(name, {"test_accuracy": 0.5}) for name in ("salun", "retrain", "original")]
    assert list(only([*runs, other]).rows) == ["original", "retrain", "salun", "salun unlearning.epochs=9"]


def test_other_ratios_are_other_tables(capsys):
    kinds = ({"ratio": 5.0}, {"ratio": 10.0}, {"deletion": "class", "ratio": None})
    print_tables([printed(sheets([record("salun", {"test_accuracy": 0.5}, key=key) for key in kinds], None))])
    titles = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("digits ·")]
    assert titles == ["digits · m · class", "digits · m · random 5 %", "digits · m · random 10 %"]


def test_a_wrong_column_is_named():
    with pytest.raises(UsageError, match="no record has the metric 'two'"):
        sheets([record("salun", {"test_accuracy": 0.5})], ["two"])


LOW = {"test_accuracy": 0.5}
LABEL = {"deletion": {"name": "random", "label": 3}}
TWICE = {"training": {"epochs": 2}}
REFUSED = [
    # other training of the original, whatever the seed
    (record("scrub", LOW, config=TWICE), "were made differently: training.epochs is 1 (salun) or 2 (scrub); "
     "`mubench table training.epochs=1` shows one of them"),
    (record("scrub", LOW, {"train": 2}, config=TWICE), "training.epochs is 1 (salun) or 2 (scrub)"),
    (record("scrub", LOW, config={"trainer": {"precision": "bf16"}}),
     "trainer.precision is null (salun) or bf16 (scrub)"),
    # other data or version
    (record("scrub", LOW, models={"original": sha("x")}, environment={"mubench": "2"}),
     "original models of seed.train=1 are not the same: environment.mubench is null (salun) or 2 (scrub)"),
    (record("scrub", LOW, models={"original": sha("x")}),
     f"models.original is {sha(('original', 1))[:8]} (salun)"),
    # other examples
    (record("scrub", LOW, forget_set={"sha256": sha("y")}, config=LABEL),
     "the forget sets of seed.forget=1 are not the same: deletion.label is null (salun) or 3 (scrub)"),
    (record("scrub", LOW, forget_set={"sha256": sha("y")}), f"or {sha('y')[:8]} (scrub)"),
    (record("scrub", LOW, {"forget": 2}),
     "salun and scrub share no forget set: seed.forget is 1 (salun) or 2 (scrub)"),
    # the same run twice, by another version
    (replace(record("salun", LOW), fingerprint=sha("again")),
     "salun has two runs of the same settings and seeds: fingerprint is"),
]  # fmt: skip


@pytest.mark.parametrize(("other", "sentence"), REFUSED)
def test_rows_on_other_originals_or_forget_sets_are_refused(other, sentence):
    with pytest.raises(UsageError) as refused:
        sheets([record("salun", LOW), other], None)
    assert str(refused.value).startswith("digits · m · random 5 %: ") and sentence in str(refused.value)
    filtered = {**other.key, "ratio": 10.0}
    assert len(sheets([record("salun", LOW), replace(other, key=filtered)], None)) == 2  # another table


def test_what_may_differ_is_not_refused():
    places = {"task": {"source": "/elsewhere"}, "trainer": {"device": "cuda"}, "model": {"checkpoint": "/x"}}
    runs = [record("salun", LOW, {"forget": forget}) for forget in (1, 2)]
    runs += [record("scrub", LOW, config=places), record("old", LOW, models={})]
    sheet = only(runs)
    assert {label: sheet.columns[0].summaries[label].n for label in ("salun", "scrub", "old")} == {
        "salun": 1, "scrub": 1, "old": 1
    }  # fmt: skip


def test_methods_are_ranked_over_tables():
    rng, runs = np.random.default_rng(2), []
    for task in ("a", "b", "c"):
        for place, method in enumerate(("salun", "scrub", "ssd")):
            numbers = 0.9 - 0.1 * place + rng.normal(0, 0.001, 3)
            runs += over_seeds(method, numbers, key={"task": task})
    runs += over_seeds("rare", [1.0, 1.0, 1.0], key={"task": "a"})
    found, absent = rankings(sheets(runs, ["test_accuracy"]))["test_accuracy"]
    assert (
        found.ranks == {"salun": 1.0, "scrub": 2.0, "ssd": 3.0} and found.blocks == 3 and absent == ["rare"]
    )
    with pytest.raises(UsageError, match="ranks take two tables or more"):
        rankings(sheets(over_seeds("salun", [0.1, 0.2]), None))


def write(out: Path, records: Sequence[Record]) -> None:
    for one in records:
        folder = out / "runs" / one.key["task"] / one.fingerprint[:12]
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        (folder / "record.json").write_text(json.dumps(asdict(one)), encoding="utf-8")


def views() -> list[Record]:
    """Two tasks, three methods, three training and two unlearning seeds."""
    rng = np.random.default_rng(3)
    return [
        record(method, {"test_accuracy": rng.normal(0.8, 0.01), "mia_auc": rng.normal(0.5, 0.01)},
               {"train": train, "unlearn": unlearn}, {"task": task})
        for task in ("digits", "letters") for method in ("salun", "scrub", "ssd")
        for train in (1, 2, 3) for unlearn in (1, 2)
    ]  # fmt: skip


def test_every_view_prints_and_says_the_same_as_json(tmp_path, cli):
    write(tmp_path, views())
    out, metrics = f"out={tmp_path}", "metrics=[test_accuracy,mia_auc]"
    plain, sd = cli("table", metrics, out), cli("table", "--sd", metrics, out)
    assert plain.status == 0 and plain.err == "" and "t interval over n training seeds" in plain.out
    assert sd.out != plain.out and "± standard deviation over n training seeds" in sd.out
    pairs = json.loads(cli("table", "--pairs", "--format=json", metrics, out).out)
    assert len(pairs) == 2 * 2 * 3 and {one["n"] for one in pairs} == {3}
    shown = cli("table", "--pairs", metrics, out).out
    assert all(f"{one['difference']:.3f} ±{one['half_width']:.3f}" in shown for one in pairs)
    ranks = json.loads(cli("table", "--ranks", "--format=json", metrics, out).out)
    assert [one["metric"] for one in ranks] == ["test_accuracy", "mia_auc"]
    assert all(sum(one["ranks"].values()) == 6 and one["blocks"] == 2 for one in ranks)
    shown = cli("table", "--ranks", metrics, out).out
    assert f"{ranks[0]['critical_difference']:.2f}" in shown and "not independent" not in shown
    spread = json.loads(cli("table", "--spread", "--format=json", metrics, out).out)
    (one,) = [s for s in spread if (s["task"], s["metric"], s["method"]) == ("digits", "mia_auc", "ssd")]
    assert one["repeats"] == {"train": 3, "forget": 1, "unlearn": 2, "eval": 1}
    values = np.array([r.metrics["unlearned"]["mia_auc"] for r in views()
                       if r.key["task"] == "digits" and r.key["method"] == "ssd"]).reshape(3, 2)  # fmt: skip
    assert one["sd"]["unlearn"] == pytest.approx(values.var(1, ddof=1).mean() ** 0.5)
    assert "3 x 1 x 2 x 1" in cli("table", "--spread", metrics, out).out


def test_any_setting_is_a_filter(tmp_path, cli):
    runs = [record("salun", LOW), record("scrub", LOW, config=TWICE), record("ssd", LOW, {"train": 2}),
            record("old", LOW, {"train": 2}, status="failed")]  # fmt: skip
    write(tmp_path, runs)
    out = f"out={tmp_path}"

    def methods(*filters: str) -> list[str]:
        found = json.loads(cli("table", *filters, "--format=json", out).out)
        return [row["method"] for row in found if row["method"] not in ("original", "retrained")]

    assert cli("table", out).status == 2
    assert methods("training.epochs=1") == ["salun", "ssd"] == methods("training.epochs=1.0", "ratio=5")
    assert methods("training.epochs=2") == ["scrub"]
    assert methods("seed.train=2,7") == ["ssd"]
    assert methods(f"models.original={sha(('original', 2))[:8]}") == ["ssd"]
    assert methods(f"fingerprint={runs[1].fingerprint[:10]}") == ["scrub"]
    assert methods("method=salun,ssd") == ["salun", "ssd"]
    wrong = cli("table", "training.epoch=1", out)
    assert (
        wrong.err == "mubench: no record has the setting 'training.epoch'. Did you mean 'training.epochs'?\n"
    )
    assert wrong.status == 2


def test_what_is_left_out_is_said(tmp_path, cli):
    write(tmp_path, [record("salun", LOW), record("scrub", LOW, status="diverged"),
                     record("ssd", LOW, metrics={}), record("gone", LOW, forget_set={}),
                     record("bad", LOW, {"train": 3})])  # fmt: skip
    (broken,) = [
        f
        for f in (tmp_path / "runs").rglob("record.json")
        if json.loads(f.read_text())["key"]["method"] == "bad"
    ]
    broken.write_text(json.dumps({**json.loads(broken.read_text()), "schema": 9}))
    done = cli("table", f"out={tmp_path}")
    assert done.status == 0 and "salun" in done.out
    lines = done.err.splitlines()
    assert len(lines) == 4 and all(line.startswith("mubench: left out: ") for line in lines)
    assert "has schema 9, not 1" in done.err and done.err.count("has no metrics or no forget set") == 2
    assert lines[-1] == "mubench: left out: 1 run that failed or diverged (mubench status)"


def test_one_seed_and_no_reference_are_warned_of(capsys):
    alone = record("salun", {"test_accuracy": 0.5, "mia_auc": 0.5})
    alone.metrics["retrained"] = None
    print_tables([printed(sheets([alone], None))])
    out = capsys.readouterr().out
    assert "! n = 1 has no interval and decides nothing: run 3 training seeds or more" in out
    assert "! digits · m · random 5 %: there is no retrained model, so ≈ columns have no goal" in out
    print_tables([printed(sheets(over_seeds("salun", [0.5, 0.6]), None))])
    assert "! n = 2 gives wide intervals and no tests" in capsys.readouterr().out
    print_tables([printed(sheets(over_seeds("salun", [0.5, 0.6, 0.7]), None))])
    assert "!" not in capsys.readouterr().out


def test_a_thousand_records_are_a_table_in_a_moment(tmp_path, cli):
    rng = np.random.default_rng(4)
    values = [f"metric{place}" for place in range(40)] + ["test_accuracy", "forget_accuracy", "mia_auc"]
    runs = [
        record(f"method{method}", dict(zip(values, rng.normal(size=43).tolist(), strict=True)),
               {"train": train}, {"ratio": float(ratio)})
        for ratio in range(1, 11) for method in range(20) for train in range(5)
    ]  # fmt: skip
    write(tmp_path, runs)
    cli("table", f"out={tmp_path}", "ratio=1")  # imports
    started = time.process_time()
    done = cli("table", f"out={tmp_path}")
    assert done.status == 0 and done.out.count("method19") == 10
    assert time.process_time() - started < 2
