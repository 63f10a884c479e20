"""docs/metrics.md, `mubench ls metrics` and `mubench show metric` say what metrics declare."""

from __future__ import annotations

import re

import pytest
from pages import script

from mubench.metrics import METRICS, SPLITS
from mubench.report import cards


def test_the_page_is_what_the_metrics_declare():
    table = script("metrics_table")
    written = table.PAGE.read_text(encoding="utf-8")
    assert table.page() == written, "run: python scripts/metrics_table.py"
    rows = [line for line in written.splitlines() if line.startswith("| `")]
    assert {line.split("`")[1] for line in rows} == set(METRICS)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in rows)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_card(name, cli):
    """Definition, goals of all that it declares, needs; a value's range stands in words in the definition."""
    metric = METRICS[name]
    shown = cli("show", "metric", name).out
    assert shown.startswith(metric.summary)
    for label in ("goal", "computed", "reads", "needs", "source"):
        assert re.search(rf"^{label} {{2,}}\S", shown, re.MULTILINE), label
    flat = " ".join(shown.split())
    if not isinstance(metric.goal, str):
        assert all(value in flat for value in metric.goal)
    for need in metric.needs:
        assert cards.NEEDS[need] in flat
    assert metric.scope != "cell" or "runs of several training seeds" in flat


def test_needs_and_goals_in_ls(cli):
    listed = dict(
        re.findall(r"^(\w+) +(\S+ {2,}[A-Z-](?: [A-Z])*) {2,}", cli("ls", "metrics").out, re.MULTILINE)
    )
    assert set(listed) == set(METRICS)
    expected = {
        "lira": "≈ S",
        "tow": "↑ R",
        "overall": "↑ O",
        "zrf": "≈ I",
        "mia_auc": "≈ -",
        "epsilon": "↑↓ R C",
    }
    for name, facts in expected.items():
        assert " ".join(listed[name].split()) == facts


def test_goals_in_words():
    assert cards.goals(METRICS["tow"]) == "↑ higher"
    assert cards.goals(METRICS["epsilon"]) == "↑ higher: epsilon_quality; ↓ lower: epsilon, epsilon_separable"
    split = cards.card(METRICS["accuracy"])
    assert split["computed"] == "for each model and split, as <split>_accuracy"
    assert set(METRICS["accuracy"].goal) <= set(SPLITS)
