"""Mean ranks, Friedman's test and the critical difference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mubench.statistics import Undefined
from mubench.statistics.ranks import Ranking, critical_difference, ranking


def test_ranks_by_hand():
    found = ranking({"a": [3.0, 9.0], "b": [2.0, 9.0], "c": [1.0, 1.0]})
    assert found.ranks == {"a": 1.25, "b": 1.75, "c": 3.0} and list(found.ranks) == ["a", "b", "c"]
    assert found.blocks == 2


def test_the_test_is_scipys_friedman_and_ranks_follow_the_definition():
    rng = np.random.default_rng(0)
    for blocks, k in ((4, 3), (10, 6)):
        table = rng.integers(0, 5, (blocks, k)).astype(float)  # with ties
        found = ranking({f"m{place}": list(table[:, place]) for place in range(k)})
        expected = stats.friedmanchisquare(*table.T)
        assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
        better = (table[:, None, :] > table[:, :, None]).sum(2)
        equal = (table[:, None, :] == table[:, :, None]).sum(2)
        slow = (better + (equal + 1) / 2).mean(0)
        assert {f"m{place}": pytest.approx(slow[place]) for place in range(k)} == found.ranks


@pytest.mark.parametrize(
    ("k", "q"),
    # Demsar (2006), table 5(a): q at 5 % for the two-tailed Nemenyi test
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102),
     (10, 3.164)],
)  # fmt: skip
def test_the_critical_difference_has_the_published_quantiles(k, q):
    blocks = 14
    assert critical_difference(k, blocks) == pytest.approx(q * (k * (k + 1) / (6 * blocks)) ** 0.5, abs=0.001)


def test_groups_are_the_longest_runs_within_the_critical_difference():
    ranks = {"a": 1.0, "b": 1.5, "c": 2.4, "d": 2.6, "e": 5.0}
    found = Ranking(ranks, 10, critical_difference=1.2, statistic=None, p=None)
    assert found.groups == [("a", "b"), ("b", "c", "d")]
    assert Ranking(ranks, 10, 0.05, None, None).groups == []
    assert Ranking(ranks, 10, 9.0, None, None).groups == [tuple(ranks)]


def test_what_cannot_be_ranked_or_tested():
    for scores in ({"a": [1.0], "b": [2.0]}, {"a": [1.0, 2.0]}, {}):
        with pytest.raises(Undefined, match="two tables or more"):
            ranking(scores)
    two = ranking({"a": [1.0, 2.0], "b": [2.0, 3.0]})
    assert two.ranks == {"b": 1.0, "a": 2.0} and two.p is None
    tied = ranking({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0, 2.0]})
    assert tied.p is None and set(tied.ranks.values()) == {2.0}


def test_methods_of_equal_worth_are_seldom_told_apart():
    """Friedman's p below 5 % in about 5 % of random tables of ten blocks and five methods."""
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(200):
        table = rng.normal(size=(5, 10))
        found = ranking({str(place): list(row) for place, row in enumerate(table)})
        wrong += found.p is not None and found.p < 0.05
    assert 0.01 < wrong / 200 < 0.09
