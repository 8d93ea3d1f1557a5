"""The cost terms by hand, and the meter against the kernel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.model import ModelBackend
from dqgym.cost import MAX_STALL, TERMS
from dqgym.cost.meter import CostMeter, StallMeter
from dqgym.jit.lane_rows import in_rows
from dqgym.model.layout import Vm
from dqgym.scenario.suites.registry import get_suite
from dqgym.telemetry.telemetry import VcpuField, VmField
from tests.backends.commands import random_command

PASS_TIME_S = 10.0
PRESENT = np.array([True, True, False, False])


def meter(preference: float = 1.0, survey_s: float = 0.0) -> CostMeter:
    return CostMeter(PRESENT, PASS_TIME_S, 0.3, preference, survey_s)


def run_s(length_s: float, *shares: float) -> np.ndarray:
    times_s = np.zeros(len(PRESENT), dtype=np.float32)
    times_s[: len(shares)] = np.array(shares) * length_s
    return times_s


def test_time_and_stall_are_in_units_of_the_pass_time():
    cost = meter(preference=0.5)
    assert cost.terms == dict.fromkeys(TERMS, 0.0)
    cost.add(run_s(2.0, 1.0, 0.25), 2.0, 2.0)
    expected = {"time": 0.2, "stall": 0.5 * -np.log(0.25) / 2.0 * 2.0 / PASS_TIME_S, "downtime": 0.0, "deadline": 0.0}
    assert cost.terms == pytest.approx(expected, rel=1e-6)
    cost.add(run_s(2.0, 1.0, 1.0), 2.0, 4.0)
    assert cost.terms == pytest.approx(expected | {"time": 0.4}, rel=1e-6)


def test_short_intervals_are_charged_together_once_they_fill_a_window():
    cost = meter()
    for step in range(1, 10):
        cost.add(run_s(0.01, step % 2, step % 2), 0.01, 0.01 * step)
        assert cost.terms["stall"] == 0.0
    cost.add(run_s(0.01, 0.0, 0.0), 0.01, 0.1)
    assert cost.terms["stall"] == pytest.approx(-np.log(0.5) * 0.1 / PASS_TIME_S, rel=1e-5)


def test_a_window_that_the_end_cuts_short_is_charged_for_its_length():
    cost = meter()
    cost.add(run_s(0.04, 0.5, 0.5), 0.04, 0.04, converged=True)
    assert cost.terms["stall"] == pytest.approx(-np.log(0.5) * 0.04 / PASS_TIME_S, rel=1e-5)


def test_downtime_within_its_limit_costs_its_time_only():
    cost = meter()
    cost.add(run_s(5.0, 1.0, 1.0), 5.0, 5.3, converged=True)
    assert cost.terms == pytest.approx({"time": 0.53, "stall": 0.0, "downtime": 0.0, "deadline": 0.0}, abs=1e-9)


def test_a_survey_costs_its_time_and_is_no_downtime():
    cost = meter(survey_s=2.0)
    cost.add(run_s(5.0, 1.0, 1.0), 5.0, 7.3, converged=True)
    assert cost.terms == pytest.approx({"time": 0.73, "stall": 0.0, "downtime": 0.0, "deadline": 0.0}, abs=1e-9)


def test_downtime_beyond_its_limit_counts_as_stall_of_all_vcpus():
    cost = meter(preference=0.5)
    cost.add(run_s(5.0, 1.0, 1.0), 5.0, 6.0, converged=True)
    assert cost.terms["downtime"] == pytest.approx(0.5 * MAX_STALL * 0.7 / PASS_TIME_S, rel=1e-9)


def test_a_missed_deadline_doubles_the_cost():
    cost = meter(preference=0.5)
    cost.add(run_s(200.0, 0.5, 0.5), 200.0, 200.0, converged=False)
    assert cost.terms["deadline"] == pytest.approx(cost.terms["time"] + cost.terms["stall"])
    assert cost.terms["downtime"] == 0.0


def test_a_pause_lasts_from_when_no_vcpu_runs_until_one_does():
    stall = StallMeter(PRESENT)
    pauses = []
    for share in (0.0, 0.0, 0.001, 0.0):
        stall.add(run_s(0.5, share, 0.0), 0.5, ended=False)
        pauses.append(stall.paused_s)
    assert pauses == [0.5, 1.0, 0.0, 0.5]


def test_a_guest_that_sleeps_for_its_throttle_is_not_paused():
    stall = StallMeter(PRESENT)
    stall.add(run_s(0.5), 0.5, ended=False, sleeps=True)
    assert stall.paused_s == 0.0
    assert stall.stall_s == pytest.approx(0.5 * MAX_STALL, rel=1e-3)


def test_a_real_vcpu_may_take_a_moment_to_stop():
    exact, lenient = StallMeter(PRESENT), StallMeter(PRESENT, stopping_share=0.005)
    for stall in (exact, lenient):
        stall.add(run_s(0.5, 0.004, 0.0), 0.5, ended=False)
    assert (exact.paused_s, lenient.paused_s) == (0.0, 0.5)
    lenient.add(run_s(0.5, 0.006, 0.0), 0.5, ended=False)
    assert lenient.paused_s == 0.0


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    preference=st.floats(0.05, 2.0),
    suite=st.sampled_from(["mixed", "phases"]),
    slots=st.sampled_from([4, 32]),  # each number is compiled
)
def test_kernel_and_meter_agree_on_random_migrations(seed, preference, suite, slots):
    """Stall, pause and all four terms of J: of the same run times both make the same cost."""
    rng = np.random.default_rng(seed)
    count = 12
    backend = ModelBackend(vcpu_slots=slots)
    backend.start(get_suite(suite).scenarios(count, seed, max_vcpus=slots), range(count))
    facts = backend.facts
    backend._vm[:, Vm.PREFERENCE] = preference
    costs = [
        CostMeter(facts.present[n], facts.pass_time_s[n], facts.downtime_limit_s[n], preference) for n in range(count)
    ]
    stalls = [StallMeter(present) for present in facts.present]
    running = np.ones(count, dtype=bool)
    while running.any():
        interval_s = facts.pass_time_s * rng.uniform(0.01, 2.0, count)
        telemetry = backend.step(random_command(rng, facts), interval_s)
        state = in_rows(backend._vm, count)
        for n in np.flatnonzero(running):
            run_times_s, took_s = telemetry.vcpu[n, VcpuField.RUN_S], telemetry.vm[n, VmField.INTERVAL_S]
            ended = bool(telemetry.done[n])
            converged = bool(state[n, Vm.CONVERGED]) if ended else None
            costs[n].add(run_times_s, took_s, telemetry.vm[n, VmField.TIME_S], converged)
            stalls[n].add(run_times_s, took_s, ended, bool(state[n, Vm.SLEEPS]))
            kernel_terms = state[n, [Vm.TIME_TERM, Vm.STALL_TERM, Vm.DOWNTIME_TERM, Vm.DEADLINE_TERM]]
            np.testing.assert_allclose(list(costs[n].terms.values()), kernel_terms, rtol=1e-9, atol=1e-12)
            assert stalls[n].paused_s == state[n, Vm.PAUSED_S]
        running &= ~telemetry.done
    outcomes = backend.outcomes()
    np.testing.assert_allclose([sum(cost.terms.values()) for cost in costs], outcomes.cost(preference), rtol=1e-9)
