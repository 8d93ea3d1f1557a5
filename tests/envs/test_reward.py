"""The cost terms from telemetry, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from dqgym.backends.base import Outcomes
from dqgym.cost.definition import MAX_STALL
from dqgym.envs.reward import TERMS, CostMeter, weights_of
from dqgym.telemetry.survey import MARKS, Survey
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField

PASS_TIME_S = 10.0
FACTS = Facts(
    present=np.array([[True, True, False, False]]),
    memory_bytes=np.array([1e9]),
    bandwidth_bytes_per_s=np.array([1e8]),
    downtime_limit_s=np.array([0.3]),
    deadline_s=np.array([200.0]),
    ring_bytes=np.array([4096.0 * 4096]),
)


def interval(time_s: float, length_s: float, *shares: float) -> Telemetry:
    vcpu = np.zeros((1, len(VcpuField), 4), dtype=np.float32)
    vcpu[0, VcpuField.RUN_S, : len(shares)] = np.array(shares) * length_s
    vm = np.zeros((1, len(VmField)))
    vm[0, VmField.TIME_S], vm[0, VmField.INTERVAL_S] = time_s, length_s
    return Telemetry(vcpu=vcpu, vm=vm, done=np.zeros(1, dtype=bool))


def outcome(total_time_s: float, converged: bool = True) -> Outcomes:
    one = np.array([1.0])
    return Outcomes(
        converged=np.array([converged]),
        total_time_s=np.array([total_time_s]),
        downtime_s=one,
        guest_runtime_per_vcpu=np.ones((1, 4)),
        guest_runtime=one,
        bytes_sent=one,
        rounds=np.array([1]),
        max_throttle_percent=one,
        stall_s=one,
        pass_time_s=np.array([PASS_TIME_S]),
    )


def test_time_and_stall_are_in_units_of_the_pass_time():
    meter = CostMeter(FACTS, preference=0.5)
    assert meter.terms == dict.fromkeys(TERMS, 0.0)
    meter.update(interval(2.0, 2.0, 1.0, 0.25), None)
    expected = {"time": 0.2, "stall": 0.5 * -np.log(0.25) / 2.0 * 2.0 / PASS_TIME_S, "downtime": 0.0, "deadline": 0.0}
    assert meter.terms == pytest.approx(expected, rel=1e-6)
    meter.update(interval(4.0, 2.0, 1.0, 1.0), None)
    assert meter.terms == pytest.approx(expected | {"time": 0.4}, rel=1e-6)


def test_short_intervals_are_charged_together_once_they_fill_a_window():
    meter = CostMeter(FACTS, preference=1.0)
    for step in range(1, 10):
        meter.update(interval(0.01 * step, 0.01, step % 2, step % 2), None)
        assert meter.terms["stall"] == 0.0
    meter.update(interval(0.1, 0.01, 0.0, 0.0), None)
    assert meter.terms["stall"] == pytest.approx(-np.log(0.5) * 0.1 / PASS_TIME_S, rel=1e-5)


def test_a_window_that_the_end_cuts_short_is_charged_for_its_length():
    meter = CostMeter(FACTS, preference=1.0)
    meter.update(interval(0.04, 0.04, 0.5, 0.5), outcome(0.04))
    assert meter.terms["stall"] == pytest.approx(-np.log(0.5) * 0.04 / PASS_TIME_S, rel=1e-5)


def test_downtime_within_its_limit_costs_its_time_only():
    meter = CostMeter(FACTS, preference=1.0)
    meter.update(interval(5.3, 5.0, 1.0, 1.0), outcome(5.3))
    assert meter.terms == pytest.approx({"time": 0.53, "stall": 0.0, "downtime": 0.0, "deadline": 0.0}, abs=1e-9)


def test_a_survey_costs_its_time_and_is_no_downtime():
    survey = Survey(np.array([2.0]), np.zeros((1, len(MARKS), 4), dtype=np.float32))
    meter = CostMeter(replace(FACTS, survey=survey), preference=1.0)
    meter.update(interval(7.3, 5.0, 1.0, 1.0), outcome(7.3))
    assert meter.terms == pytest.approx({"time": 0.73, "stall": 0.0, "downtime": 0.0, "deadline": 0.0}, abs=1e-9)


def test_downtime_beyond_its_limit_counts_as_stall_of_all_vcpus():
    meter = CostMeter(FACTS, preference=0.5)
    meter.update(interval(6.0, 5.0, 1.0, 1.0), outcome(6.0))
    assert meter.terms["downtime"] == pytest.approx(0.5 * MAX_STALL * 0.7 / PASS_TIME_S, rel=1e-9)


def test_a_missed_deadline_doubles_the_cost():
    meter = CostMeter(FACTS, preference=0.5)
    meter.update(interval(200.0, 200.0, 0.5, 0.5), outcome(200.0, converged=False))
    assert meter.terms["deadline"] == pytest.approx(meter.terms["time"] + meter.terms["stall"])
    assert meter.terms["downtime"] == 0.0


def test_weights_are_1_where_not_given():
    np.testing.assert_array_equal(weights_of(None), [1.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(weights_of({"deadline": 0.0, "stall": 2}), [1.0, 2.0, 1.0, 0.0])
