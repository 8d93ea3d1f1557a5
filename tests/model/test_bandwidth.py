"""The links of the model: planned levels exactly, random ones in their means."""

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.model.bandwidth import bandwidth_path
from dqgym.model.pool import pack_scenarios
from dqgym.scenario import ConstantLink, Limits, Link, MarkovLink, OrnsteinUhlenbeckLink, StepsLink, TraceLink
from dqgym.scenario.link import OU_HOLD
from dqgym.telemetry.command import free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import VmField
from tests.model.migrations import MB, NO_COSTS, SLOTS, Constant, Run, migrate, scenario

NO_DOWNTIME = Limits(downtime_s=1e-6, deadline_pass_times=1000.0)


def migrate_over(link: Link, copies: int = 1, memory_mb: float = 1000.0, pass_times: float = 0.02) -> Run:
    """A guest that writes nothing, as often as ``copies`` says."""
    case = scenario(link=link, memory_mb=memory_mb, limits=NO_DOWNTIME)
    return migrate(*[case] * copies, throttle=Constant(control_interval=ControlInterval(0.0, pass_times)))


def test_levels_change_when_the_plan_says_so():
    link = StepsLink(times_s=(0.0, 300.0, 400.0), bandwidths_bytes_per_s=(1.0 * MB, 0.5 * MB, 2.0 * MB))
    run = migrate_over(link, pass_times=0.05)
    assert run.outcomes.total_time_s[0] == pytest.approx(400.0 + (1000.0 - 300.0 - 50.0) / 2.0, rel=1e-6)
    measured = run.recorder.vm(VmField.BANDWIDTH_BYTES_PER_S)[:, 0] / MB
    time_s = run.recorder.vm(VmField.TIME_S)[:, 0]
    np.testing.assert_allclose(measured[time_s <= 300.0], 1.0, rtol=1e-6)
    np.testing.assert_allclose(measured[(time_s > 300.0) & (time_s <= 400.0)], 0.5, rtol=1e-6)
    np.testing.assert_allclose(measured[time_s > 400.0], 2.0, rtol=1e-6)


def test_levels_repeat_after_their_period():
    link = StepsLink(times_s=(0.0, 10.0), bandwidths_bytes_per_s=(3.0 * MB, 1.0 * MB), period_s=30.0)
    # 50 MB in each period of 30 s, the first 30 of them in its first 10 s.
    run = migrate_over(link, memory_mb=50.0 * 7 + 15.0, pass_times=0.013)
    assert run.outcomes.total_time_s[0] == pytest.approx(7 * 30.0 + 5.0, rel=1e-6)
    assert run.outcomes.pass_time_s[0] == pytest.approx(365.0 / (50.0 / 30.0))


def test_a_recording_that_has_ended_holds_its_last_level():
    link = TraceLink(times_s=(0.0, 100.0), bandwidths_bytes_per_s=(4.0 * MB, 0.5 * MB))
    run = migrate_over(link)
    assert run.outcomes.total_time_s[0] == pytest.approx(100.0 + 600.0 / 0.5, rel=1e-6)


def test_a_single_level_that_repeats_is_a_constant_link():
    repeated = StepsLink(times_s=(0.0,), bandwidths_bytes_per_s=(2.0 * MB,), period_s=7.0)
    constant = ConstantLink(bandwidth_bytes_per_s=2.0 * MB)
    assert migrate_over(repeated).t == pytest.approx(migrate_over(constant).t, rel=1e-9)


def test_a_change_of_level_decides_whether_the_rest_fits_into_the_downtime_limit():
    """At the low level 0.1 MB fit, at the high one 1 MB do; the last stage goes at the rate of its level."""
    link = StepsLink(times_s=(0.0, 500.0), bandwidths_bytes_per_s=(1.0 * MB, 10.0 * MB))
    run = migrate(scenario(link=link, memory_mb=500.5, limits=Limits(downtime_s=0.1)))
    assert run.outcomes.total_time_s[0] == pytest.approx(500.05, rel=1e-6)
    assert run.outcomes.downtime_s[0] == pytest.approx(0.05, rel=1e-3)


def test_a_markov_link_carries_its_mean_and_only_its_two_levels():
    link = MarkovLink(
        high_bandwidth_bytes_per_s=3.0 * MB, low_bandwidth_bytes_per_s=1.0 * MB, high_hold_s=2.0, low_hold_s=4.0
    )
    run = migrate_over(link, copies=100, pass_times=1e-3)  # 0.6 s, and 600 s in all: a hundred alternations each
    mean = (3.0 * 2.0 + 1.0 * 4.0) / 6.0
    assert run.outcomes.pass_time_s[0] == pytest.approx(1000.0 / mean)
    carried = run.outcomes.bytes_sent.sum() / run.outcomes.total_time_s.sum() / MB
    assert carried == pytest.approx(mean, rel=0.02)
    measured = run.recorder.vm(VmField.BANDWIDTH_BYTES_PER_S)[:500] / MB
    whole = np.isclose(measured, 3.0) | np.isclose(measured, 1.0)
    # Intervals in which nothing changed: 0.6 s at a high rate 1/2 and a low one 1/4.
    expected = (np.exp(-0.6 / 2.0) * 2.0 + np.exp(-0.6 / 4.0) * 4.0) / 6.0
    assert whole.mean() == pytest.approx(expected, abs=0.02)
    assert ((measured > 1.0 - 1e-6) & (measured < 3.0 + 1e-6)).all()
    assert np.isclose(measured[0], 3.0).mean() == pytest.approx(np.exp(-0.3) / 3.0, abs=0.12)  # begins stationary


def test_an_ornstein_uhlenbeck_link_has_its_mean_spread_and_memory():
    link = OrnsteinUhlenbeckLink(mean_bandwidth_bytes_per_s=1.0 * MB, relative_sd=0.2, correlation_time_s=10.0)
    backend = ModelBackend(NO_COSTS, vcpu_slots=SLOTS)
    backend.start([scenario(link=link, memory_mb=1e4)] * 200, list(range(200)))
    free, hold_s = free_command(backend.facts), np.full(200, 10.0 * OU_HOLD)
    levels = np.array([backend.step(free, hold_s).per_vm(VmField.BANDWIDTH_BYTES_PER_S) for _ in range(300)]) / MB
    assert levels.mean() == pytest.approx(1.0, abs=0.01)
    # Those of the process's means over the time for which a value holds, from the first one on.
    h = OU_HOLD
    sd = 0.2 * np.sqrt(2.0 * (np.exp(-h) - 1.0 + h)) / h
    assert levels.std() == pytest.approx(sd, abs=0.005)
    assert levels[0].std() == pytest.approx(sd, abs=0.03)
    for lag in (1, 2, 3):
        covariance = np.mean((levels[:-lag] - 1.0) * (levels[lag:] - 1.0))
        assert covariance / 0.2**2 == pytest.approx(2.0 * (np.cosh(h) - 1.0) / h**2 * np.exp(-lag * h), abs=0.04)


def test_what_an_ornstein_uhlenbeck_link_carries_varies_as_with_the_process_itself():
    """Over any number of its steps: a value that held for so long would carry more or less, by chance."""
    link = OrnsteinUhlenbeckLink(mean_bandwidth_bytes_per_s=1.0 * MB, relative_sd=0.2, correlation_time_s=10.0)
    pool = pack_scenarios([scenario(link=link, memory_mb=1e4)], NO_COSTS)
    steps = 4
    paths = np.array([bandwidth_path(pool, 0, seed, 10.0 * OU_HOLD * (steps - 0.5))[1] for seed in range(4000)]) / MB
    assert paths.shape == (4000, steps)
    for count in (1, 2, 4):
        h = count * OU_HOLD
        assert paths[:, :count].mean(axis=1).std() == pytest.approx(
            0.2 * np.sqrt(2.0 * (np.exp(-h) - 1.0 + h)) / h, rel=0.05
        )


def test_a_wide_ornstein_uhlenbeck_link_is_clipped():
    link = OrnsteinUhlenbeckLink(
        mean_bandwidth_bytes_per_s=1.0 * MB, relative_sd=1.0, correlation_time_s=1.0, line_speed_bytes_per_s=1.5 * MB
    )
    run = migrate_over(link, copies=8, pass_times=1e-4)
    measured = run.recorder.vm(VmField.BANDWIDTH_BYTES_PER_S) / MB
    assert measured.min() == pytest.approx(0.05, rel=1e-6)
    assert measured.max() == pytest.approx(1.5, rel=1e-6)
