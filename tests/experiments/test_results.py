import csv
import io
import json
import math

import numpy as np
import pytest

from dqgym.backends.base import Outcomes
from experiments.results import (
    Row,
    bootstrap_interval,
    json_safe,
    paired_ratios,
    results_document,
    rows_as_csv,
    rows_from_outcomes,
    summarise,
    typical_row,
)

COLUMNS = (
    "suite,scenario,throttle,seed,preference,total_time_s,time_over_t0,downtime_s,guest_runtime,worst_vcpu_runtime,"
    "bytes_sent,rounds,converged,max_throttle_percent,cost,guest_runtime_per_vcpu"
)


def make_row(**changes):
    values = {
        "suite": "s", "scenario": "a", "throttle": "t", "seed": 0, "preference": 0.2, "total_time_s": 10.0,
        "time_over_t0": 2.0, "downtime_s": 0.1, "guest_runtime": 0.5, "worst_vcpu_runtime": 0.25, "bytes_sent": 1e9,
        "rounds": 3, "converged": True, "max_throttle_percent": 0.0, "cost": 2.5,
        "guest_runtime_per_vcpu": (0.25, 0.75),
    }  # fmt: skip
    return Row(**(values | changes))


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


def test_bootstrap_interval_covers_a_known_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [bootstrap_interval(rng.normal(5.0, 1.0, size=60)) for _ in range(60)]
    hits = sum(low <= 5.0 <= high for low, high in intervals)
    assert 50 <= hits < 60  # 95 % of 60 are 57
    widths = [high - low for low, high in intervals]
    assert np.mean(widths) == pytest.approx(2 * 1.96 / np.sqrt(60), rel=0.1)  # the normal approximation


def test_bootstrap_interval_is_the_same_for_the_same_values():
    values = np.array([1.0, 2.0, 5.0])
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_paired_ratio_compares_on_the_same_scenario_and_seed():
    rows = [
        make_row(scenario="a", cost=1.0),
        make_row(scenario="b", cost=9.0),
        make_row(throttle="u", scenario="b", cost=10.0),
        make_row(throttle="u", scenario="a", cost=2.0),
    ]
    (ratio,) = paired_ratios(rows, ["t"], ["u"])
    assert ratio.mean == pytest.approx((0.5 + 0.9) / 2)
    assert ratio.median == pytest.approx(0.7)
    assert ratio.percentile_95 == pytest.approx(0.88)


def test_typical_row_is_the_one_of_median_cost_at_the_first_preference():
    rows = [make_row(scenario=name, cost=cost) for name, cost in (("a", 9.0), ("b", 5.0), ("c", 1.0))]
    rows += [make_row(scenario="d", preference=0.6, cost=5.5), make_row(throttle="u", cost=5.1)]
    assert typical_row(rows, "s", "t").scenario == "b"


def test_json_safe_turns_what_json_does_not_know_into_null():
    value = {"a": math.nan, "b": [math.inf, np.float32(1.5)], "c": np.array([1, 2]), "d": np.True_, "e": "x"}
    assert json_safe(value) == {"a": None, "b": [None, 1.5], "c": [1, 2], "d": True, "e": "x"}


def test_results_document_is_strict_json():
    rows = rows_from_outcomes(make_outcomes(), "s", ["a", "b"], "t", [7, 8], [0.2])
    document = json.loads(json.dumps(results_document(rows), allow_nan=False))
    assert document["rows"][1]["downtime_s"] is None
    assert set(document["summary"][0]) >= {
        "suite", "throttle", "cost", "cost_low", "cost_high", "time_over_t0", "guest_runtime", "worst_vcpu_runtime",
        "converged_share", "scenarios", "preference",
    }  # fmt: skip


def test_csv_has_the_columns_and_an_empty_cell_for_an_absent_number():
    text = rows_as_csv(rows_from_outcomes(make_outcomes(), "s", ["a", "b"], "t", [7, 8], [0.2]))
    assert text.splitlines()[0] == COLUMNS
    converged, missed = csv.DictReader(io.StringIO(text))
    assert float(converged["total_time_s"]) == 20.0
    assert missed["downtime_s"] == ""
    assert converged["guest_runtime_per_vcpu"] == "0.25 0.75"
