import numpy as np
import pytest

from dqgym.oracle.schedule import FREE_LOG, SLICE_PASS_TIMES, SLICES, Player, Schedules, concatenated
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField

MEMORY, BANDWIDTH = 1e9, 1e8
PASS_TIME_S = MEMORY / BANDWIDTH
SET_BYTES = np.array([[1e7, 4e8, 5e8, 0.0]], dtype=np.float32)


def facts() -> Facts:
    return Facts(
        present=np.array([[True, True, True, False]]),
        memory_bytes=np.array([MEMORY]),
        bandwidth_bytes_per_s=np.array([BANDWIDTH]),
        downtime_limit_s=np.array([0.3]),
        deadline_s=np.array([200.0]),
        ring_bytes=np.array([2.0**24]),
    )


def at(time_over_t0: float, bandwidth: float = BANDWIDTH) -> Telemetry:
    vm = np.zeros((1, len(VmField)))
    vm[0, VmField.TIME_S], vm[0, VmField.BANDWIDTH_BYTES_PER_S] = time_over_t0 * PASS_TIME_S, bandwidth
    return Telemetry(np.zeros((1, len(VcpuField), 4), dtype=np.float32), vm, np.zeros(1, dtype=bool))


def schedule(*log_fractions: float, spared: float = 0.0) -> Schedules:
    """These fractions in the first slices, the last of them in all others."""
    row = np.full(SLICES, log_fractions[-1])
    row[: len(log_fractions)] = log_fractions
    return Schedules(row[None], np.array([spared]))


def limits(plan: Schedules, telemetry: Telemetry) -> list[float]:
    return Player(plan, facts(), SET_BYTES).command(telemetry).dirty_limit_bytes_per_s[0].tolist()


def test_throttled_vcpus_share_the_slices_fraction_of_the_bandwidth_of_the_moment():
    found = limits(schedule(-1.0), at(0.0, bandwidth=6e7))
    assert found[:3] == pytest.approx([0.1 * 6e7 / 3] * 3)
    assert np.isinf(found[3])


def test_vcpus_whose_working_sets_fit_into_the_spared_share_run_free():
    found = limits(schedule(-1.0, spared=0.02), at(0.0))
    assert np.isinf(found[0])
    assert found[1:3] == pytest.approx([0.1 * BANDWIDTH / 2] * 2)


def test_each_slice_has_its_fraction_and_the_last_one_lasts_to_the_end():
    plan = schedule(FREE_LOG, -1.0, -2.0)
    assert np.isinf(limits(plan, at(0.5 * SLICE_PASS_TIMES))).all()
    assert limits(plan, at(SLICE_PASS_TIMES))[1] == pytest.approx(0.1 * BANDWIDTH / 3)
    assert limits(plan, at(1.99 * SLICE_PASS_TIMES))[1] == pytest.approx(0.1 * BANDWIDTH / 3)
    assert limits(plan, at(100.0))[1] == pytest.approx(0.01 * BANDWIDTH / 3)


def test_schedules_are_taken_and_joined_by_migration():
    both = concatenated([schedule(-1.0, spared=0.1), schedule(-2.0, spared=0.2)])
    turned = both.take(np.array([1, 0, 1]))
    assert len(turned) == 3
    assert turned.spared.tolist() == [0.2, 0.1, 0.2]
    assert turned.log_fraction[:, 0].tolist() == [-2.0, -1.0, -2.0]
