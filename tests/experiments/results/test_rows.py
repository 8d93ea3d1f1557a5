import math

import numpy as np
import pytest

from dqgym.backends.base import Outcomes
from dqgym.errors import BadInputError
from experiments.results.rows import json_safe, rows_from_outcomes, strata_of, summarise, typical_row
from tests.experiments.made_rows import make_row, make_rows


def make_outcomes():
    """Two migrations: one of 20 s with T0 = 10 s, one that missed its deadline of 200 s and has one vCPU."""
    return Outcomes(
        converged=np.array([True, False]),
        total_time_s=np.array([20.0, 200.0]),
        downtime_s=np.array([0.2, np.nan]),
        guest_runtime_per_vcpu=np.array([[0.25, 0.75], [1.0, np.nan]]),
        guest_runtime=np.array([0.5, 1.0]),
        bytes_sent=np.array([3e9, 4e9]),
        rounds=np.array([2, 9]),
        max_throttle_percent=np.array([0.0, 99.0]),
        stall_s=np.array([5.0, 0.0]),
        pass_time_s=np.array([10.0, 10.0]),
        deadline_s=np.array([200.0, 200.0]),
        forced=np.array([True, False]),
    )


def test_rows_hold_the_outcomes_and_the_cost_at_each_preference():
    rows = rows_from_outcomes(make_outcomes(), "s", ["a", "b"], "t", [7, 8], [0.2, 0.6])
    assert [(row.scenario, row.seed, row.preference) for row in rows] == [
        ("a", 7, 0.2), ("b", 8, 0.2), ("a", 7, 0.6), ("b", 8, 0.6),
    ]  # fmt: skip
    first, missed = rows[:2]
    assert first.time_over_t0 == 2.0
    assert first.worst_vcpu_runtime == 0.25
    assert first.guest_runtime_per_vcpu == (0.25, 0.75)
    assert missed.guest_runtime_per_vcpu == (1.0,)  # one vCPU, one absent slot
    assert first.cost == pytest.approx(2.0 + 0.2 * 5.0 / 10.0)
    assert rows[2].cost == pytest.approx(2.0 + 0.6 * 5.0 / 10.0)
    assert missed.cost == pytest.approx(2 * 20.0)  # twice the deadline of 20 T0
    assert math.isnan(missed.downtime_s)


def test_summary_is_the_mean_over_the_rows_of_a_suite_throttle_and_preference():
    rows = [make_row(cost=2.0), make_row(scenario="b", cost=4.0, converged=False), make_row(throttle="u", cost=9.0)]
    first, second = summarise(rows)
    assert (first.throttle, first.cost, first.converged_share, first.scenarios) == ("t", 3.0, 0.5, 2)
    assert (second.throttle, second.cost, second.scenarios) == ("u", 9.0, 1)
    assert 2.0 <= first.cost_low < 3.0 < first.cost_high <= 4.0


def test_summary_of_a_method_is_over_all_its_training_seeds():
    (summary,) = summarise(make_rows({("t", 1): [1.0, 2.0], ("t", 2): [3.0, 4.0]}))
    assert (summary.cost, summary.scenarios, summary.training_seeds) == (2.5, 2, 2)
    assert summary.cost_low == pytest.approx(1.0)  # the better seed twice, the cheaper scenario twice
    assert summary.cost_high == pytest.approx(4.0)


def test_strata_have_training_seeds_and_migrations_in_one_order_whatever_that_of_the_rows():
    rows = make_rows({("t", 1): [1.0, 2.0, 3.0], ("t", 2): [4.0, 5.0, 6.0], ("u", None): [7.0, 8.0, 9.0]})
    strata = strata_of([*rows[::-1]])
    assert {key.throttle: stratum.training_seeds for key, stratum in strata.items()} == {"u": (None,), "t": (2, 1)}
    assert {key.throttle: stratum.cost.tolist() for key, stratum in strata.items()} == {
        "u": [[7.0, 8.0, 9.0]],
        "t": [[4.0, 5.0, 6.0], [1.0, 2.0, 3.0]],
    }
    assert len({stratum.migrations for stratum in strata.values()}) == 1


@pytest.mark.parametrize("costs", [{("t", 1): [1.0, 2.0], ("t", 2): [3.0]}, {("t", 1): [1.0]}])
def test_training_seeds_without_the_same_migrations_once_each_are_named(costs):
    rows = make_rows(costs)
    twice = [*rows, *rows] if len(rows) == 1 else rows
    with pytest.raises(BadInputError, match=r"throttle 't', suite 's', c = 0\.2: every training seed \(1"):
        strata_of(twice)


def test_typical_row_is_the_one_of_median_cost_at_the_first_preference():
    rows = [make_row(scenario=name, cost=cost) for name, cost in (("a", 9.0), ("b", 5.0), ("c", 1.0))]
    rows += [make_row(scenario="d", preference=0.6, cost=5.5), make_row(throttle="u", cost=5.1)]
    rows += [make_row(scenario="e", training_seed=1)]
    assert typical_row(rows, "s", "t").scenario == "b"
    assert typical_row(rows, "s", "t", 1).scenario == "e"


def test_json_safe_turns_what_json_does_not_know_into_null():
    value = {"a": math.nan, "b": [math.inf, np.float32(1.5)], "c": np.array([1, 2]), "d": np.True_, "e": "x"}
    assert json_safe(value) == {"a": None, "b": [None, 1.5], "c": [1, 2], "d": True, "e": "x"}
