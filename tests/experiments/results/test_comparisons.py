from dataclasses import replace

import numpy as np
import pytest

from dqgym.errors import BadInputError
from experiments.results.comparisons import Comparisons, Group
from experiments.results.rows import strata_of
from experiments.results.statistics import Bootstrap
from tests.experiments.made_rows import make_rows

COSTS = {
    ("tuned-rule", None): [2.0, 4.0, 3.0, 8.0],
    ("oracle", None): [1.0, 3.0, 2.0, 6.0],
    ("p", 1): [1.5, 4.0, 3.3, 6.0],
    ("p", 2): [1.0, 3.0, 3.0, 7.0],
}


def standings(rows, resamples=200):
    return Comparisons(strata_of(rows), Bootstrap(resamples))


def two_by_two():
    """Two suites, the second one of two migrations alone, at two preferences: costs times 1, 2, 3, 4."""
    return [
        row
        for factor, (suite, preference) in enumerate(
            [("s", 0.2), ("s", 0.6), ("u", 0.2), ("u", 0.6)], start=1
        )
        for row in make_rows(
            {name: np.multiply(costs[: 4 if suite == "s" else 2], factor).tolist() for name, costs in COSTS.items()},
            suite=suite,
            preference=preference,
        )
    ]  # fmt: skip


def test_one_stratum_by_hand():
    (found,) = standings(make_rows(COSTS)).against("tuned-rule", ["p"], [Group("s", 0.2)])
    ratios = [0.75, 1.0, 1.1, 0.75, 0.5, 0.75, 1.0, 0.875]
    assert (found.training_seeds, found.migrations) == (2, 8)
    assert found.mean_ratio.value == pytest.approx(np.mean(ratios))
    assert found.ratio_of_means.value == pytest.approx(28.8 / 34)
    assert found.improvement.value == pytest.approx((5 + 0.5 * 2) / 8)
    assert (found.median, found.percentile_95) == pytest.approx(tuple(np.percentile(ratios, (50, 95))))
    assert found.iqm.value == pytest.approx(np.mean([3.0, 3.0, 3.3, 4.0]))
    assert found.closed_gap.value == pytest.approx((34 - 28.8) / (34 - 24))


def test_groups_are_suites_and_preferences_and_what_pools_them():
    assert standings(two_by_two()).groups == [
        ("s", 0.2), ("s", 0.6), ("s", None), ("u", 0.2), ("u", 0.6), ("u", None),
        ("all", 0.2), ("all", 0.6), ("all", None),
    ]  # fmt: skip
    assert standings(make_rows(COSTS)).groups == [("s", 0.2)]


def test_pooled_every_suite_and_preference_has_the_same_weight_whatever_its_number_of_migrations():
    made = standings(two_by_two())
    parts = made.against("tuned-rule", ["p"], [Group(suite, c) for suite in "su" for c in (0.2, 0.6)])
    (pooled,) = made.against("tuned-rule", ["p"], [Group("all", None)])
    for field in ("iqm", "mean_ratio", "improvement"):
        expected = np.mean([getattr(part, field).value for part in parts])
        assert getattr(pooled, field).value == pytest.approx(expected)
    means = {name: (np.mean(costs) * 3 + np.mean(costs[:2]) * 7) / 4 for name, costs in COSTS.items()}
    own = (means["p", 1] + means["p", 2]) / 2
    rule, oracle = means["tuned-rule", None], means["oracle", None]
    assert pooled.ratio_of_means.value == pytest.approx(own / rule)
    assert pooled.closed_gap.value == pytest.approx((rule - own) / (rule - oracle))
    assert pooled.migrations == sum(part.migrations for part in parts) == 24


def test_preferences_share_their_scenarios_so_that_pooling_them_does_not_shrink_the_interval():
    costs = {("t", None): np.random.default_rng(1).gamma(2.0, size=30).tolist(), ("u", None): [1.0] * 30}
    rows = [row for c in (0.2, 0.6) for row in make_rows(costs, preference=c)]
    made = standings(rows)
    one, both = made.against("u", ["t"], [Group("s", 0.2), Group("s", None)])
    assert both.mean_ratio == pytest.approx(one.mean_ratio)


def test_the_opponent_stands_at_one_and_everybody_has_a_place():
    made = standings(make_rows(COSTS))
    found = made.against("p", made.throttles, made.groups)
    assert [one.throttle for one in found] == ["tuned-rule", "oracle", "p"]
    assert found[2].mean_ratio == pytest.approx((1.0, 1.0, 1.0))
    assert found[2].improvement == pytest.approx((0.5, 0.5, 0.5))


def test_the_gap_is_that_between_rule_and_oracle_whoever_is_the_opponent():
    made = standings(make_rows(COSTS))
    against_p, against_rule = (made.against(name, made.throttles, made.groups) for name in ("p", "tuned-rule"))
    assert [one.closed_gap for one in against_p] == [one.closed_gap for one in against_rule]
    assert [one.closed_gap is None for one in against_p] == [True, True, False]
    without = {name: costs for name, costs in COSTS.items() if name[0] != "oracle"}
    assert standings(make_rows(without)).against("p", ["p"], [Group("s", 0.2)])[0].closed_gap is None


def test_dominated_migrations_are_counted_over_all_training_seeds():
    rows = make_rows(COSTS)
    worse = [
        replace(row, time_over_t0=2.1, guest_runtime=0.4)
        if (row.throttle, row.training_seed, row.scenario) in [("p", 1, "m0"), ("p", 2, "m0"), ("p", 2, "m3")]
        else row
        for row in rows
    ]
    own, opponent = standings(worse).against("tuned-rule", ["p", "tuned-rule"], [Group("s", 0.2)])
    assert (own.dominated, opponent.dominated) == (3, 0)


def test_front_is_of_means_over_migrations_and_training_seeds_and_of_suites_with_the_same_weight():
    rows = [
        replace(
            row, time_over_t0=(1 if row.suite == "s" else 3) + row.preference, guest_runtime=0.5 + row.preference / 2
        )
        for row in two_by_two()
    ]
    fronts = {(front.suite, front.throttle): front for front in standings(rows).fronts()}
    front = fronts["all", "p"]
    assert front.preferences == (0.2, 0.6)
    assert front.time_over_t0 == pytest.approx((2.2, 2.6))
    assert front.guest_runtime == pytest.approx((0.6, 0.8))
    assert front.efficient == (True, True)
    assert front.monotone
    assert front.hypervolume == pytest.approx((20 - 2.2) * 0.6 + (20 - 2.6) * 0.2)
    assert fronts["s", "p"].time_over_t0 == pytest.approx((1.2, 1.6))


@pytest.mark.parametrize("missing", [{"throttle": "p", "scenario": "m1"}, {"throttle": "p", "suite": "u"}])
def test_throttles_without_the_same_migrations_are_not_compared(missing):
    rows = [row for row in two_by_two() if not all(getattr(row, name) == value for name, value in missing.items())]
    with pytest.raises(BadInputError, match=r"throttle 'p', suite '.', c = 0\.2: must have the same migrations"):
        standings(rows)
