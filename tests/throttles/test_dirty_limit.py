"""QEMU's dirty limit against its integer arithmetic by hand, and when it begins and measures."""

import numpy as np
import pytest

from dqgym.telemetry.command import Command
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField
from dqgym.throttles.dirty_limit import DirtyLimit, DirtyLimitOptions, adjusted_sleep_us, limits_mib_per_s

MIB = 2.0**20
RING_MIB = 16


def facts(n: int = 1, vcpus: int = 2) -> Facts:
    return Facts(
        present=np.ones((n, vcpus), dtype=bool),
        memory_bytes=np.full(n, 512 * MIB),
        bandwidth_bytes_per_s=np.full(n, 32 * MIB),
        downtime_limit_s=np.full(n, 0.3),
        deadline_s=np.full(n, 320.0),
        ring_bytes=np.full(n, RING_MIB * MIB),
    )


def adjusted(sleep_us: float, rate: float, limit: int, ring_full_us: float) -> float:
    return float(adjusted_sleep_us(np.array([[sleep_us]]), np.array([[rate]]), limit, np.array([[ring_full_us]]))[0, 0])


# Ring-full time in us = 16e6 / highest rate; percent = 100 * off / larger; linear: percent / (100 - percent) of it.
@pytest.mark.parametrize(
    ("sleep_us", "rate", "limit", "ring_full_us", "expected_us"),
    [
        (0, 201, 10, 79_601, 1_512_419),  # 95 %: 19 ring-full times; recorded
        (0, 189, 10, 84_656, 1_326_277),  # 94 %; recorded
        (0, 98, 10, 163_265, 1_320_962),  # 89 %
        (1_000_000, 61, 30, 80_000, 1_008_000),  # 31 of 61 is 50 %, not above: a tenth of the ring-full time
        (1_000_000, 62, 30, 80_000, 1_083_265),  # 32 of 62 is 51 %
        (1_000_000, 70, 100, 80_000, 992_000),  # below the limit: less
        (1_000_000, 40, 100, 80_000, 880_000),  # 60 %
        (50_000, 40, 100, 80_000, 0),  # no sleep is negative
        (0, 1_000, 1, 16_000, 1_584_000),  # 99 %
        (1_000_000, 1_000, 1, 16_000, 1_584_000),  # never more than 99 ring-full times
        (2_000_000, 60, 100, 16_000, 1_584_000),  # nor if the ring fills faster than it did
    ],
)
def test_a_sleep_is_adjusted_with_qemu_s_integers(
    sleep_us: float, rate: float, limit: int, ring_full_us: float, expected_us: float
) -> None:
    assert adjusted(sleep_us, rate, limit, ring_full_us) == expected_us


def test_the_limit_is_a_number_or_an_equal_part_of_a_share_of_the_bandwidth_in_whole_mib_per_s() -> None:
    assert limits_mib_per_s(DirtyLimitOptions(limit_mib_per_s=7), facts(2)).tolist() == [[7], [7]]
    # Of 32 MiB/s, among two vCPUs: 8; 6.4; 0.16, which is less than QEMU's least.
    for share, expected in ((0.5, 8), (0.4, 6), (0.01, 1)):
        assert limits_mib_per_s(DirtyLimitOptions(bandwidth_share=share), facts(1, vcpus=2)).tolist() == [[expected]]


@pytest.mark.parametrize("rate", [15, 39, 40, 65])
def test_within_25_mib_per_s_of_the_limit_nothing_changes(rate: float) -> None:
    assert adjusted(123_456, rate, 40, 80_000) == 123_456
    assert adjusted(123_456, 66, 40, 80_000) > 123_456
    assert adjusted(123_456, 14, 40, 80_000) < 123_456


def test_a_vcpu_that_dirtied_nothing_sleeps_no_more_unless_the_limit_is_in_the_dead_band() -> None:
    assert adjusted(500_000, 0, 26, 80_000) == 0
    assert adjusted(500_000, 0, 25, 80_000) == 500_000


def test_each_vcpu_is_adjusted_by_its_own_rate() -> None:
    rates = np.array([[201.0, 30.0, 0.0], [98.0, 98.0, 98.0]])
    ring_full_us = np.array([[79_601.0], [163_265.0]])
    np.testing.assert_array_equal(
        adjusted_sleep_us(np.zeros((2, 3)), rates, 10, ring_full_us), [[1_512_419, 0, 0], [1_320_962] * 3]
    )


class Migration:
    """A dirty limit that is told one interval of 0.1 s after the other."""

    def __init__(self, options: DirtyLimitOptions) -> None:
        self.throttle = DirtyLimit(options)
        self.throttle.reset(facts())
        self.time_s, self.sync_s, self.synced_bytes = 0.0, 0.0, 0.0
        self.act(sync=False)

    def act(self, *rates_mib_per_s: float, sync: bool, interval_s: float = 0.1, stalled_s: float = 0.0) -> Command:
        vcpu = np.zeros((1, len(VcpuField), 2), np.float32)
        vm = np.zeros((1, len(VmField)))
        if rates_mib_per_s:
            vcpu[0, VcpuField.DIRTIED_BYTES] = np.array(rates_mib_per_s) * MIB * interval_s
            vcpu[0, VcpuField.STALLED_S, 0] = stalled_s
            self.time_s += interval_s
            vm[0, VmField.INTERVAL_S] = interval_s
        if sync:
            self.sync_s, self.synced_bytes = self.time_s, self.synced_bytes + 100.0
        vm[0, VmField.TIME_S], vm[0, VmField.SYNC_TIME_S] = self.time_s, self.sync_s
        vm[0, VmField.SYNCED_DIRTY_BYTES] = vm[0, VmField.SYNCED_SENT_BYTES] = self.synced_bytes
        return self.throttle.act(Telemetry(vcpu, vm, np.zeros(1, dtype=bool)))

    def start(self, *rates_mib_per_s: float) -> None:
        """Two hits, 2 s apart."""
        for _ in range(2):
            assert self.act(*rates_mib_per_s, sync=True, interval_s=2.0).ring_sleep_s.max() == 0

    def sleeps_us(self, *rates_mib_per_s: float, intervals: int) -> list[list[int]]:
        commands = [self.act(*rates_mib_per_s, sync=False) for _ in range(intervals)]
        return [np.rint(1e6 * each.ring_sleep_s[0]).astype(int).tolist() for each in commands]


def test_it_measures_for_a_period_after_the_second_hit_and_only_then_lets_sleep() -> None:
    migration = Migration(DirtyLimitOptions(limit_mib_per_s=10))
    assert migration.sleeps_us(201.5, 5.0, intervals=30) == [[0, 0]] * 30, "no hit yet"
    migration.start(201.5, 5.0)
    assert migration.sleeps_us(201.5, 5.0, intervals=9) == [[0, 0]] * 9
    assert migration.sleeps_us(201.5, 5.0, intervals=1)[0] == pytest.approx([1_512_419, 0], abs=1)


def test_the_sleep_stays_in_the_dead_band_and_the_highest_rate_is_remembered() -> None:
    migration = Migration(DirtyLimitOptions(limit_mib_per_s=10))
    migration.start(189.5, 0.0)
    assert migration.sleeps_us(189.5, 0.0, intervals=10)[-1] == pytest.approx([1_326_277, 0], abs=1)
    assert migration.sleeps_us(30.5, 0.0, intervals=10) == [[1_326_277, 0]] * 10
    # 36 is 26 above and 72 %, with the ring-full time of 189 MiB/s: 84656 * 72 / 28 more.
    assert migration.sleeps_us(36.5, 0.0, intervals=10)[-1] == pytest.approx([1_326_277 + 217_686, 0], abs=1)


def test_a_period_is_as_long_as_asked_for_and_starts_anew_after_each_measurement() -> None:
    migration = Migration(DirtyLimitOptions(limit_mib_per_s=10, period_s=0.3))
    migration.start(50.5, 0.0)
    # 40 of 50 are 80 %: 320000 * 80 / 20 more each time.
    step = 1_280_000
    expected = [0, 0, step, step, step, 2 * step, 2 * step, 2 * step, 3 * step]
    assert [each[0] for each in migration.sleeps_us(50.5, 0.0, intervals=9)] == expected


def test_a_measurement_waits_for_a_vcpu_that_sleeps() -> None:
    migration = Migration(DirtyLimitOptions(limit_mib_per_s=10))
    migration.start(100.5, 0.0)
    migration.sleeps_us(100.5, 0.0, intervals=9)
    for _ in range(5):
        assert migration.act(0.0, 0.0, sync=False, stalled_s=0.1).ring_sleep_s.max() == 0
    # 10 intervals at 100.5 in the 1.5 s that passed: 67. Both follow from that: 57 of 67 are 85 %, 16e6 / 67 = 238805.
    assert migration.sleeps_us(100.5, 0.0, intervals=1)[0] == pytest.approx([238_805 * 85 // 15, 0], abs=1)


def test_it_limits_nothing_but_the_sleep_and_forgets_at_a_reset() -> None:
    migration = Migration(DirtyLimitOptions(limit_mib_per_s=10))
    migration.start(100.5, 0.0)
    migration.sleeps_us(100.5, 0.0, intervals=9)
    command = migration.act(100.5, 0.0, sync=False)
    assert command.ring_sleep_s[0, 0] > 1
    assert command.ring_sleep_s.dtype == np.float32
    assert np.isinf(command.dirty_limit_bytes_per_s).all()
    assert (command.run_share_cap == 1).all()
    assert not command.sync.any()
    migration.throttle.reset(facts())
    assert migration.sleeps_us(100.5, 0.0, intervals=20) == [[0, 0]] * 20
