"""`mubench calibrate`: areas and intervals by hand, models that must be told apart, and the real command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import FAST, Outputs, mubench
from sklearn.metrics import roc_auc_score

from mubench.calibration.figures import absolute, figures, relative
from mubench.files import read_json
from mubench.statistics.separation import auc, interval

SMALL = ("calibrate", *FAST[:1], *FAST[2:], "shadows=3")


def test_the_area_is_scikit_learns():
    rng = np.random.default_rng(0)
    for n, m in ((3, 5), (20, 8)):
        first, second = rng.normal(1, 1, n).round(1), rng.normal(0, 1, m).round(1)
        labels = [1] * n + [0] * m
        assert auc(first, second) == pytest.approx(roc_auc_score(labels, np.concatenate([first, second])))


def test_the_interval_holds_the_areas_within_z_of_their_own_standard_errors():
    def error(t: float, n: int) -> float:
        """Hanley & McNeil (1982), equation 1, for two groups of n."""
        q1, q2 = t / (2 - t), 2 * t * t / (1 + t)
        return float(((t * (1 - t) + (n - 1) * (q1 - t * t + q2 - t * t)) / n**2) ** 0.5)

    for area in (0.5, 0.8, 0.96):
        for n in (8, 30):
            low, high = interval(area, n, n)
            assert area - low == pytest.approx(1.959964 * error(low, n), rel=1e-5)
            assert high - area == pytest.approx(1.959964 * error(high, n), rel=1e-5)
    low, high = interval(1.0, 8, 8)
    assert high == 1 and 1 - low == pytest.approx(1.959964 * error(low, 8), rel=1e-5)
    assert interval(0.0, 8, 8) == pytest.approx((0, 1 - low))


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth = 0.8413447  # P(X > Y) for X - Y ~ N(sqrt 2, 2): the normal distribution function at 1
    inside = 0
    for _ in range(400):
        low, high = interval(auc(rng.normal(2**0.5, 1, 10), rng.normal(0, 1, 10)), 10, 10)
        inside += low <= truth <= high
    assert 0.92 < inside / 400 < 0.99


def test_a_goal_decides_what_counts_as_worse():
    values = {"original": [1.0, 2.0], "retrained": [3.0, 4.0]}
    assert figures({"trained": absolute("higher", values, None)})["auc"] == 1
    assert figures({"trained": absolute("lower", values, None)})["auc"] == 0
    assert figures({"trained": absolute("lower", values, None)})["raw"] == 1


def test_a_match_is_looked_at_from_every_retrained_model():
    readings = absolute("match", {"original": [0.0, 9.0], "retrained": [4.0, 5.0]}, 6.0)
    # From the run's own, 6: originals 6 and 3 away, retrained 2 and 1: all four pairs.
    # From 4, number 0 left out: 5 against 1. From 5, number 1 left out: 5 against 1.
    assert readings.away["original"].tolist() == [[6, 3], [4, 5], [5, 4]]
    assert figures({"trained": readings})["auc"] == 1
    near = absolute("match", {"original": [6.0, 5.5], "retrained": [2.0, 9.0]}, 6.0)
    assert figures({"trained": near})["auc"] == 0  # from 6: 0, .5 against 4, 3; 3.5 against 7; 3 against 7


def test_a_value_that_compares_is_counted_without_the_model_compared_with():
    nothing = None
    values = {
        "original": [[5.0, 6.0], [nothing, 7.0], [8.0, nothing]],
        "retrained": [[1.0, 2.0], [nothing, 9.0], [3.0, nothing]],
    }
    found = figures({"trained": relative("lower", values)})
    assert found["auc"] == pytest.approx((1 + 0 + 1) / 3) and found["raw"] is None
    away = figures({"trained": relative("match", {"original": [[-5.0, 5.0]], "retrained": [[1.0, -1.0]]})})
    assert away["auc"] == 1


def test_what_is_moved_counts_in_spreads():
    before = absolute("higher", {"original": [0.0, 2.0], "retrained": [4.0, 6.0]}, None)
    after = absolute("higher", {"original": [1.0, 3.0], "retrained": [1.0, 3.0]}, None)
    found = figures({"trained": before, "int4": after})
    assert found["int4_moves"] == pytest.approx(2 / (20 / 3) ** 0.5)  # 1, 1, 3, 3 by the sd of 0, 2, 4, 6
    assert found["int4_auc"] == found["int4_raw"] == 0.5
    still = absolute("higher", {"original": [1.0, 1.0], "retrained": [1.0, 1.0]}, None)
    assert figures({"trained": still, "int4": after})["int4_moves"] is None  # no spread to count in


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_missing_value_is_no_figure(value):
    readings = absolute("match", {"original": [0.0, value], "retrained": [4.0, 5.0]}, 6.0)
    found = figures({"trained": readings, "int4": readings})
    assert all(found[name] is None for name in ("auc", "low", "high", "raw", "int4_auc", "int4_moves"))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """A calibration of six models that know their training examples by heart, or not at all."""
    out = tmp_path_factory.mktemp("calibrated") / "outputs"
    done = mubench(*SMALL, "training.epochs=4", f"out={out}")
    assert done.status == 0, done.err
    return Outputs(out, done)


def calibration(outputs: Path) -> Path:
    (found,) = outputs.glob("calibrations/digits/resnet-small/random-5/seed42-????????/calibration.json")
    return found


def test_the_command_scores_every_model_in_every_state(calibrated):
    found = read_json(calibration(calibrated.folder))
    assert (found["models"], found["key"]["task"]) == (3, "digits")
    rows = {row["name"]: row for row in found["metrics"]}
    assert {"forget_loss", "lira_auc", "avg_gap", "cka_forget", "tow"} <= set(rows)
    loss = rows["forget_loss"]["values"]
    assert set(loss) == {"trained", "int4", "relearned"}
    for of_state in loss.values():
        assert {role: len(some) for role, some in of_state.items()} == {"original": 3, "retrained": 3}
    assert loss["trained"] != loss["int4"] != loss["relearned"]
    assert sum(loss["trained"]["original"]) < sum(loss["trained"]["retrained"])  # they knew D_f
    assert rows["gap_forget_loss"]["auc"] == pytest.approx(rows["forget_loss"]["auc"])  # |v - v_r|, both
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_values_are_those_that_the_models_left(calibrated):
    from mubench import evidence

    rows = {row["name"]: row for row in read_json(calibration(calibrated.folder))["metrics"]}
    folders = sorted(calibrated.folder.glob("models/digits/resnet-small/shadows/original-*/[0-9]*"))
    tests = [evidence.load(folder / "predictions.safetensors")["test"] for folder in folders]
    shares = [float((test.logits.argmax(1) == test.targets).mean()) for test in tests]
    assert rows["test_accuracy"]["values"]["trained"]["original"] == pytest.approx(shares)


def test_the_table_says_the_best_first_and_how_to_read_it(calibrated):
    lines = calibrated.printed.out.splitlines()
    assert lines[0].strip() == "digits · resnet-small · 3 originals, 3 retrained models"
    areas = [line.split("│")[2].strip() for line in lines if line.startswith("│")]
    numbers = [float(area) for area in areas if area != "-"]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) > 30
    assert Path(lines[-1]).name == "calibration.json"


def test_what_is_complete_is_read(calibrated):
    path = calibration(calibrated.folder)
    before = path.stat().st_mtime_ns
    again = mubench(*SMALL, "training.epochs=4", f"out={calibrated.folder}")
    assert (again.status, again.out) == (0, calibrated.printed.out) and "already complete" in again.err
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["shadows=2"], "shadows=2: calibrate takes 3 or more"),
        (["method=salun"], "method=salun does nothing here: calibrate unlearns nothing"),
        (["unlearning.lr=1"], "unlearning.lr=1 does nothing here"),
        (["evaluation=robust"], "calibrate makes no attacks on the forgetting: leave out evaluation=robust"),
        (["evaluation.metrics=[lira_aucc]"], "unknown metric 'lira_aucc'"),
        (["task=digit"], "Did you mean 'digits'?"),
    ],
)
def test_bad_input_is_told_before_any_work(cli, tmp_path, words, told):
    done = cli("calibrate", *words, f"out={tmp_path / 'outputs'}")
    assert done.status == 2 and told in done.err, done.err
    assert not (tmp_path / "outputs").exists()
