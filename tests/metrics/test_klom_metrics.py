"""KLOM against histograms of NumPy and divergences of SciPy, one example at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predictions_by_hand import from_probabilities, random_outputs
from scipy import stats

from mubench.metrics import klom
from mubench.metrics.base import Cell, Outputs, Unavailable


def slow(p: np.ndarray, q: np.ndarray) -> float:
    """The authors' procedure for one example, by numpy.histogram, whose last bin is closed."""
    p, q = np.clip(p, -100, 100), np.clip(q, -100, 100)
    ends = (min(p.min(), q.min()), max(p.max(), q.max()))
    ends = ends if ends[0] < ends[1] else (ends[0], ends[0] + 1)
    shares = [np.histogram(values, bins=20, range=ends)[0] / len(values) for values in (p, q)]
    q = [max(b, 1e-5) if a else b for a, b in zip(*shares, strict=True)]
    return float(stats.entropy(shares[0], q))


def cell(unlearned, retrained, splits=klom.SPLITS) -> Cell:
    """Cells whose models have these margins (models, N) of two classes, the label being 0."""

    def outputs(margins: np.ndarray) -> Outputs:
        logits = np.stack([margins, np.zeros_like(margins)], axis=1)
        return Outputs(np.logaddexp(0, -margins), np.zeros(len(margins), int), logits)

    sides = [[{name: outputs(row) for name in splits} for row in part] for part in (unlearned, retrained)]
    return Cell(*sides)


def draws(models: int, shift: float, seed: int = 0, examples: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (models, examples))


def test_a_margin_is_the_log_odds_of_the_label():
    outputs = from_probabilities([[0.8, 0.1, 0.1], [0.25, 0.5, 0.25]], [0, 1])
    assert klom.margins(outputs) == pytest.approx([np.log(4), 0])


def test_margins_of_a_certain_model_are_finite():
    outputs = Outputs(np.zeros(1), np.zeros(1, int), np.array([[5000.0, 0.0, 0.0]], np.float32))
    assert klom.margins(outputs) == pytest.approx([5000 - np.log(2)])


def test_agrees_with_histograms_of_numpy():
    p, q = draws(30, 0.0, 1), draws(30, 0.7, 2)
    p[3] *= 200  # beyond the clip
    expected = [slow(p[:, i], q[:, i]) for i in range(p.shape[1])]
    assert klom.divergence(p, q) == pytest.approx(expected)
    assert min(expected) > 0


def test_the_largest_margin_is_counted():
    """One unlearned margin of four is the largest: without it p is certain of the first bin, KL is ln 2."""
    p, q = np.array([[0.0], [0.0], [0.0], [1.0]]), np.array([[0.0], [0.0], [0.5], [0.5]])
    half, rest = 0.5 / (1 + 1e-5), 1e-5 / (1 + 1e-5)
    by_hand = 0.75 * np.log(0.75 / half) + 0.25 * np.log(0.25 / rest)
    assert klom.divergence(p, q) == pytest.approx([by_hand])
    assert by_hand > np.log(2) + 1


def test_equal_models_score_nothing_and_apart_ones_the_most_there_is():
    same = draws(5, 0.0)
    assert klom.divergence(same, same) == pytest.approx(np.zeros(40), abs=1e-12)
    flat = np.zeros((5, 3))
    assert klom.divergence(flat, flat) == pytest.approx(np.zeros(3), abs=1e-12)
    assert klom.divergence(flat, flat + 1) == pytest.approx(np.full(3, -np.log(1e-5)), abs=1e-3)


def test_tells_which_models_have_mass_where_retrained_ones_have_none():
    """KL of unlearned from retrained: a narrow p within a wide q is cheap, the reverse is not."""
    wide, narrow = draws(200, 0.0), 0.1 * draws(200, 0.0, 1)
    assert klom.divergence(narrow, wide).mean() < klom.divergence(wide, narrow).mean() / 2


def test_gives_means_percentiles_and_what_few_models_bound():
    p, q = draws(12, 0.0, 1), draws(12, 2.0, 2)
    found = klom.klom(cell(p, q))
    per_example = np.array([slow(p[:, i], q[:, i]) for i in range(40)])
    for split in ("forget", "retain", "test"):
        assert found[f"klom_{split}"] == pytest.approx(per_example.mean())
        assert found[f"klom_{split}_p95"] == pytest.approx(np.percentile(per_example, 95))
    assert found["klom_models"] == 12
    assert found == klom.klom(cell(p, q))


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (-30.0, 7.0)])
def test_the_floor_is_what_models_of_one_kind_score_whatever_their_margins(mean, sd):
    """Bins follow the range, so the floor depends on the number of models alone."""
    rng = np.random.default_rng(3)
    for models in (4, 30):
        p, q = rng.normal(mean, sd, (2, models, 2000))
        expected = np.mean([slow(p[:, i], q[:, i]) for i in range(2000)])
        assert klom.floor(models, np.random.default_rng(4)) == pytest.approx(expected, rel=0.06)


def test_more_models_lower_the_floor():
    floors = [klom.floor(models, np.random.default_rng(0)) for models in (2, 5, 20, 100)]
    assert floors == sorted(floors, reverse=True) and floors[0] > 5 and floors[-1] < 1


def test_one_training_seed_has_no_distribution():
    with pytest.raises(Unavailable, match="two training seeds"):
        klom.klom(cell(draws(1, 0), draws(1, 0)))


def test_diverged_models_and_other_examples_make_it_unavailable():
    whole = cell(draws(3, 0), draws(3, 0))
    forget = whole.unlearned[1]["forget"]
    bad = replace(forget, logits=np.where(np.arange(40)[:, None] == 7, np.nan, forget.logits))
    other = replace(forget, targets=1 - forget.targets)
    for outputs, said in ((bad, "1 of 40 rows of logits"), (other, "different forget examples")):
        models = [whole.unlearned[0], {**whole.unlearned[1], "forget": outputs}, whole.unlearned[2]]
        with pytest.raises(Unavailable, match=said):
            klom.klom(replace(whole, unlearned=models))


def test_a_split_that_is_missing_is_named():
    with pytest.raises(Unavailable, match="retain"):
        klom.klom(cell(draws(3, 0), draws(3, 0), splits=("forget", "test")))


def test_a_class_that_no_example_has_changes_nothing():
    outputs = random_outputs(30, 0)
    more = replace(outputs, logits=np.concatenate([outputs.logits, np.full((30, 1), -np.inf)], axis=1))
    assert np.isfinite(klom.margins(outputs)).all()
    with pytest.raises(Unavailable, match="not finite"):
        klom.margins(more)
