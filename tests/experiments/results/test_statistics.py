import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap, trim_mean

from experiments.results.statistics import (
    RESAMPLES,
    TIE,
    Bootstrap,
    Estimate,
    Replicated,
    Sample,
    dominated,
    gap_closed,
    hypervolume,
    interquartile_mean,
    is_monotone,
    mean,
    mean_ratio,
    pareto_front,
    probability_of_improvement,
    ratios,
)

COSTS = st.floats(0.5, 50.0)
SHARES = st.floats(0.0, 1.0)


def sample(values, name="method", resamples=RESAMPLES, seed=0):
    """A stratum [S, N] of the suite ``s`` with its resamples."""
    values = np.atleast_2d(np.asarray(values, dtype=float))
    draws = Bootstrap(resamples, seed)
    return Sample(
        values,
        draws.training_seeds(name, len(values)),
        draws.migrations("s", [f"m{i}" for i in range(values.shape[1])]),
    )


def drawn_again(one):
    """[R, S*N] the values that each resample draws, for weights that are whole multiples of 1/S and 1/N."""
    seeds, migrations = one.values.shape
    return [
        np.repeat(
            one.values.ravel(),
            np.rint(np.outer(seed_weights * seeds, migration_weights * migrations)).astype(int).ravel(),
        )
        for seed_weights, migration_weights in zip(one.seeds, one.migrations, strict=True)
    ]


@pytest.mark.parametrize(("seeds", "migrations"), [(1, 4), (1, 100), (5, 8), (3, 24)])
def test_the_interquartile_mean_is_scipys_trimmed_mean_where_the_quartiles_cut_no_value(seeds, migrations):
    values = np.random.default_rng(3).gamma(2.0, size=(seeds, migrations))
    found = interquartile_mean(sample(values))
    assert found.value == pytest.approx(trim_mean(values.ravel(), 0.25))


def test_replicates_of_the_interquartile_mean_are_scipys_trimmed_means_of_what_was_drawn():
    one = sample(np.random.default_rng(4).gamma(2.0, size=(4, 6)), resamples=60)
    expected = [trim_mean(values, 0.25) for values in drawn_again(one)]
    np.testing.assert_allclose(interquartile_mean(one).replicates, expected)


def test_a_value_that_a_quartile_cuts_counts_in_part():
    # Of five values the middle half is 2.5 values wide: 3 in whole, 2 and 4 with three quarters each.
    assert interquartile_mean(sample([1.0, 2.0, 3.0, 4.0, 100.0])).value == pytest.approx(
        (0.75 * 2 + 3 + 0.75 * 4) / 2.5
    )


@given(arrays(float, (2, 7), elements=COSTS), COSTS)
@settings(max_examples=40, deadline=None)
def test_the_interquartile_mean_moves_with_the_values_and_lies_among_them(values, scale):
    found = interquartile_mean(sample(values, resamples=20))
    assert values.min() - 1e-9 <= found.value <= values.max() + 1e-9
    scaled = interquartile_mean(sample(values * scale, resamples=20))
    np.testing.assert_allclose(scaled.replicates, found.replicates * scale)
    assert scaled.value == pytest.approx(found.value * scale)


def test_replicates_of_mean_ratio_and_improvement_are_those_of_what_was_drawn():
    rng = np.random.default_rng(5)
    own, other = sample(rng.gamma(2.0, size=(3, 5)), resamples=40), sample(rng.gamma(2.0, size=5), "other", 40)
    cases = (
        (mean(own), own.values),
        (mean_ratio(own, other), own.values / other.values),
        (probability_of_improvement(own, other), (own.values < other.values) * 1.0),
    )
    for found, values in cases:
        expected = [drawn.mean() for drawn in drawn_again(Sample(values, own.seeds, own.migrations))]
        np.testing.assert_allclose(found.replicates, expected)
        assert found.value == pytest.approx(values.mean())


def test_hand_computed_comparison_of_two_migrations():
    own, other = sample([[2.0, 9.0]]), sample([[4.0, 9.0]], "other")
    assert mean_ratio(own, other).value == pytest.approx((0.5 + 1.0) / 2)
    assert (mean(own) / mean(other)).value == pytest.approx(11 / 13)
    assert probability_of_improvement(own, other).value == 0.75  # better in one, a tie in the other


def test_costs_that_differ_in_their_last_digits_alone_are_a_tie():
    own = sample([[2.0 - TIE / 2, 2.0 + TIE / 2, 2.0 - 2 * TIE, 2.0 + 2 * TIE]])
    other = sample([[2.0, 2.0, 2.0, 2.0]], "other")
    assert probability_of_improvement(own, other).value == (0.5 + 0.5 + 1.0 + 0.0) / 4


def test_an_opponent_with_several_training_seeds_counts_with_its_mean_in_ratios_and_with_each_in_improvement():
    own, other = sample([[3.0]]), sample([[2.0], [4.0]], "other")
    assert mean_ratio(own, other).value == 1.0
    assert ratios(own.values, other.values).tolist() == [[1.0]]
    assert probability_of_improvement(own, other).value == 0.5


@given(arrays(float, (3, 6), elements=COSTS), arrays(float, (2, 6), elements=COSTS))
@settings(max_examples=40, deadline=None)
def test_improvement_is_that_of_the_other_side_turned_round(values, others):
    own, other = sample(values, resamples=20), sample(others, "other", resamples=20)
    there, back = probability_of_improvement(own, other), probability_of_improvement(other, own)
    assert there.value + back.value == pytest.approx(1.0)
    np.testing.assert_allclose(there.replicates + back.replicates, 1.0)


@given(arrays(float, (3, 6), elements=COSTS))
@settings(max_examples=20, deadline=None)
def test_a_method_against_itself_differs_from_itself_in_no_resample(values):
    one = sample(values, resamples=20)
    np.testing.assert_allclose(mean_ratio(one, one).replicates, 1.0)
    np.testing.assert_allclose((mean(one) / mean(one)).replicates, 1.0)
    np.testing.assert_allclose(probability_of_improvement(one, one).replicates, 0.5)


def test_the_interval_of_one_seeds_mean_is_that_of_scipys_bootstrap():
    values = np.random.default_rng(6).gamma(2.0, size=200)
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1))
    found = mean(sample(values)).estimate
    low, high = expected.confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_interval_covers_the_truth_about_as_often_as_it_says_when_seeds_and_scenarios_both_matter():
    rng = np.random.default_rng(7)
    hits = 0
    for trial in range(100):
        values = 5 + rng.normal(0, 0.3, (12, 1)) + rng.normal(0, 1.0, (1, 60)) + rng.normal(0, 0.5, (12, 60))
        estimate = mean(sample(values, resamples=400, seed=trial)).estimate
        hits += estimate.low <= 5.0 <= estimate.high
    assert 86 <= hits <= 99


def test_training_seeds_widen_the_interval():
    scenarios = np.random.default_rng(8).normal(5, 0.1, (1, 200))
    alike, unlike = scenarios + np.zeros((5, 1)), scenarios + np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]])
    narrow, wide = (mean(sample(values)).estimate for values in (alike, unlike))
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_draws_depend_on_the_names_alone():
    first, second = Bootstrap(50), Bootstrap(50)
    second.training_seeds("another", 3)
    second.migrations("another suite", ["x"])
    np.testing.assert_array_equal(first.training_seeds("t", 4), second.training_seeds("t", 4))
    np.testing.assert_array_equal(first.migrations("s", ["a", "b"]), second.migrations("s", ["a", "b"]))
    assert not np.array_equal(first.training_seeds("t", 4), first.training_seeds("u", 4))


def test_repetitions_of_a_scenario_are_drawn_together():
    weights = Bootstrap(100).migrations("s", ["a", "b", "c", "a", "b", "c"])
    np.testing.assert_array_equal(weights[:, :3], weights[:, 3:])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert len(np.unique(weights[:, 0])) > 2


def test_pooled_statistics_give_each_part_the_same_weight():
    parts = [Replicated(1.0, np.array([1.0, 2.0])), Replicated(3.0, np.array([3.0, 6.0]))]
    pooled = Replicated.mean(parts)
    assert pooled.value == 2.0
    assert pooled.replicates.tolist() == [2.0, 4.0]


def test_the_estimate_holds_the_middle_95_percent_of_the_replicates():
    assert Replicated(7.0, np.arange(1001.0)).estimate == Estimate(7.0, 25.0, 975.0)


def test_share_of_the_gap_to_the_oracle_that_is_closed():
    rule, method, oracle = (mean(sample(values, name)) for name, values in
                            (("rule", [2.0, 4.0]), ("method", [1.9, 3.5]), ("oracle", [1.8, 3.0])))  # fmt: skip
    closed = gap_closed(rule, method, oracle)
    assert closed.value == pytest.approx((0.1 + 0.5) / (0.2 + 1.0))
    assert (closed.low, closed.high) == pytest.approx((0.5, 0.5))  # half of it on either migration
    assert gap_closed(rule, rule, oracle) == Estimate(0.0, 0.0, 0.0)
    assert gap_closed(rule, oracle, oracle) == Estimate(1.0, 1.0, 1.0)


def test_without_a_gap_no_share_of_it_is_closed():
    rule, method = mean(sample([2.0, 4.0])), mean(sample([1.0, 1.0], "other"))
    assert gap_closed(rule, method, rule) is None
    assert gap_closed(rule, method, mean(sample([3.0, 2.0], "oracle"))) is None  # better on one, worse on the other


def test_dominated_means_worse_in_time_and_runtime_by_more_than_the_margin():
    time, runtime = np.array([[1.01, 1.01, 1.004, 0.9]]), np.array([[0.98, 0.999, 0.9, 0.9]])
    ones = np.ones((1, 4))
    assert dominated(time, runtime, ones, ones, 0.005).tolist() == [[True, False, False, False]]


def test_front_of_hand_placed_points():
    #                  on it, slower and worse, on it, as good as the third, same time but worse
    time, runtime = np.array([1.0, 2.0, 3.0, 3.0, 1.0]), np.array([0.5, 0.4, 0.9, 0.9, 0.3])
    assert pareto_front(time, runtime) == [0, 2]
    assert hypervolume(time, runtime, 4.0, 0.0) == pytest.approx(3 * 0.5 + 1 * 0.4)


@given(st.lists(st.tuples(COSTS, SHARES), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_front_is_what_pairwise_comparison_says(points):
    time, runtime = np.array(points).T
    front = pareto_front(time, runtime)
    for k in range(len(points)):
        beaten = any(
            time[j] <= time[k] and runtime[j] >= runtime[k] and (time[j] < time[k] or runtime[j] > runtime[k])
            for j in range(len(points))
        )
        assert beaten == all((time[k], runtime[k]) != (time[j], runtime[j]) for j in front)
    assert len({points[k] for k in front}) == len(front)


@given(st.lists(st.tuples(st.floats(0.5, 25.0), SHARES), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_hypervolume_is_the_share_of_a_grid_that_some_point_dominates(points):
    time, runtime = np.array(points).T
    steps = 400
    grid_time = (np.arange(steps) + 0.5) * 20.0 / steps
    grid_runtime = (np.arange(steps) + 0.5) / steps
    dominates = (time[:, None, None] <= grid_time[:, None]) & (runtime[:, None, None] >= grid_runtime)
    expected = dominates.any(axis=0).mean() * 20.0
    assert hypervolume(time, runtime, 20.0, 0.0) == pytest.approx(expected, abs=20.0 * 2 * len(points) / steps)


@given(st.lists(st.tuples(COSTS, SHARES), min_size=1, max_size=6), COSTS, SHARES)
@settings(max_examples=40, deadline=None)
def test_a_further_point_never_makes_the_hypervolume_smaller(points, time, runtime):
    before, after = (np.array(some).T for some in (points, [*points, (time, runtime)]))
    assert hypervolume(*after, 20.0, 0.0) >= hypervolume(*before, 20.0, 0.0) - 1e-12


@pytest.mark.parametrize(
    ("time", "runtime", "monotone"),
    [([1, 2, 2], [0.1, 0.1, 0.5], True), ([1, 2, 1.9], [0.1, 0.2, 0.3], False), ([1, 2], [0.5, 0.4], False)],
)
def test_monotone_means_that_neither_ever_falls(time, runtime, monotone):
    assert is_monotone(np.array(time), np.array(runtime)) is monotone
