"""Recorded schedules: what is dirtied follows the integral of the table."""

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.scenario import DirtyLog, Recorded
from dqgym.telemetry.command import free_command
from dqgym.telemetry.telemetry import VcpuField
from tests.model.migrations import MB, NO_COSTS, SLOTS, migrate, scenario, writers

TIMES_S, FACTORS = (0.0, 2.0, 5.0, 5.5), (1.0, 0.2, 0.0, 3.0)
RATE_MB_PER_S = 2.0
PAGE_MB = 4096 / MB


def recorded(period_s: float | None = None, **others):
    """A writer in order over pages that are all clean: it dirties what it stores."""
    schedule = Recorded(times_s=TIMES_S, rate_factors=FACTORS, period_s=period_s)
    group = writers("sequential", set_mb=900.0, rate_mb_per_s=RATE_MB_PER_S, schedule=schedule, **others)
    return scenario(group, dirty_log=DirtyLog(kind="software"))


def dirtied_mb(case, *interval_s: float) -> np.ndarray:
    """What the first vCPU dirties in each of the intervals, one after the other."""
    backend = ModelBackend(NO_COSTS, vcpu_slots=SLOTS)
    backend.start([case], [0])
    command = free_command(backend.facts)
    steps = [backend.step(command, np.array([each])) for each in interval_s]
    return np.array([each.vcpu[0, VcpuField.DIRTIED_BYTES, 0] for each in steps], dtype=float) / MB


def integral_s(begin_s: float, end_s: float, period_s: float | None) -> float:
    """Of the rate factor, summed over steps of 1 ms; all times here are whole milliseconds."""
    middles_s = np.arange(round(begin_s * 1000), round(end_s * 1000)) / 1000 + 0.0005
    if period_s is not None:
        middles_s = middles_s % period_s
    return float(np.array(FACTORS)[np.searchsorted(TIMES_S, middles_s, side="right") - 1].sum() / 1000)


@pytest.mark.parametrize("period_s", [None, 6.0, 7.5])
@pytest.mark.parametrize("duration_s", [0.5, 2.0, 3.7, 5.25, 6.0, 40.0])
def test_a_recorded_vcpu_dirties_the_integral_of_its_table(period_s, duration_s):
    expected = RATE_MB_PER_S * integral_s(0.0, duration_s, period_s)
    assert dirtied_mb(recorded(period_s), duration_s)[0] == pytest.approx(expected, rel=1e-4, abs=PAGE_MB)


@pytest.mark.parametrize("period_s", [None, 6.0])
def test_it_goes_on_from_one_interval_to_the_next(period_s):
    durations_s = (1.0, 0.4, 3.1, 0.7, 0.2, 2.6, 9.0)
    ends_s = np.cumsum(durations_s)
    expected = [
        RATE_MB_PER_S * integral_s(end - length, end, period_s) for end, length in zip(ends_s, durations_s, strict=True)
    ]
    assert dirtied_mb(recorded(period_s), *durations_s) == pytest.approx(expected, rel=1e-4, abs=PAGE_MB)


def test_a_table_with_one_entry_is_a_steady_rate():
    schedule = Recorded(times_s=(0.0,), rate_factors=(0.5,))
    half, steady = (
        migrate(scenario(writers("uniform", set_mb=500.0, rate_mb_per_s=rate, **others))).t
        for rate, others in ((0.4, {"schedule": schedule}), (0.2, {}))
    )
    assert half == pytest.approx(steady, rel=1e-6)


def test_the_table_of_one_group_is_not_another_s():
    one, other = Recorded(times_s=(0.0, 1.0), rate_factors=(1.0, 0.0)), Recorded(times_s=(0.0,), rate_factors=(2.0,))
    case = scenario(
        *(writers("sequential", set_mb=300.0, rate_mb_per_s=1.0, schedule=each) for each in (one, other)),
        writers("sequential", set_mb=300.0, rate_mb_per_s=1.0),
        dirty_log=DirtyLog(kind="software"),
    )
    backend = ModelBackend(NO_COSTS, vcpu_slots=SLOTS)
    backend.start([case], [0])
    telemetry = backend.step(free_command(backend.facts), np.array([10.0]))
    np.testing.assert_allclose(telemetry.vcpu[0, VcpuField.DIRTIED_BYTES] / MB, [1.0, 20.0, 10.0, 0.0], rtol=1e-4)
