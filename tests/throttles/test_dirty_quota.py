"""The reference scheme of dirty quota."""

import numpy as np
import pytest

from dqgym.controller.loop import run_migrations
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField
from dqgym.throttles.dirty_quota import DirtyQuota, DirtyQuotaOptions
from tests.controller.fakes import MIB, FakeBackend, FakeMigration, writers

SHARE = 1 / DirtyQuotaOptions().ratio
"""Of the bandwidth that the VM may dirty under dirty-quota."""


def facts() -> Facts:
    return Facts(
        present=np.array([[True, True, True], [True, False, False]]),
        memory_bytes=np.full(2, 1e9),
        bandwidth_bytes_per_s=np.full(2, 1e8),
        downtime_limit_s=np.full(2, 0.3),
        deadline_s=np.full(2, 200.0),
        ring_bytes=np.full(2, 16.0 * MIB),
    )


def measured(*bandwidth: float, interval_s: float = 0.1) -> Telemetry:
    vm = np.zeros((2, len(VmField)))
    vm[:, VmField.INTERVAL_S] = interval_s
    vm[:, VmField.BANDWIDTH_BYTES_PER_S] = bandwidth
    return Telemetry(np.zeros((2, len(VcpuField), 3), np.float32), vm, np.zeros(2, dtype=bool))


def test_the_budget_is_the_measured_bandwidth_over_the_ratio_shared_by_the_vcpus_that_exist() -> None:
    throttle = DirtyQuota(DirtyQuotaOptions(ratio=2))
    throttle.reset(facts())
    command = throttle.act(measured(60e6, 20e6))
    assert command.dirty_limit_bytes_per_s[:, 0] == pytest.approx([10e6, 10e6])
    assert command.share_unclaimed.all()
    assert (command.run_share_cap == 1).all()


def test_the_limit_follows_every_measurement_and_before_the_first_one_gbit_is_assumed() -> None:
    throttle = DirtyQuota()
    throttle.reset(facts())
    limits = [
        throttle.act(telemetry).dirty_limit_bytes_per_s[1, 0]
        for telemetry in (
            measured(5e8, 5e8, interval_s=0.0),
            measured(5e8, 5e8),
            measured(1e8, 1e8),
            measured(np.nan, np.nan),
        )
    ]
    assert limits == pytest.approx([SHARE * 125e6, SHARE * 5e8, SHARE * 1e8, SHARE * 1e8])


def test_a_writer_gets_what_readers_leave_and_the_readers_keep_running() -> None:
    # One writer of four vCPUs: without the pool it would get a quarter of the budget.
    mixed = FakeMigration((500 * MIB, 0.0, 0.0, 0.0), (128 * MIB, 0.0, 0.0, 0.0))
    outcome = run_migrations(FakeBackend(), [mixed], DirtyQuota(), [0])
    time_s, runtime = outcome.total_time_s[0], outcome.guest_runtime_per_vcpu[0]
    # What is left, 19.2 MiB of 128 at the end, falls by 30 % of what is sent.
    assert time_s == pytest.approx(outcome.pass_time_s[0] * (1 - 19.2 / 128) / (1 - SHARE), rel=0.2)
    assert runtime[1:] == pytest.approx(1 - outcome.downtime_s[0] / time_s)
    assert runtime[0] == pytest.approx(SHARE * 64 / 500, rel=0.1)


@pytest.mark.slow
def test_it_bounds_the_time_for_any_dirty_rate_where_a_time_throttle_does_not() -> None:
    scenarios = [writers(rate, memory_mib=1024) for rate in (100, 1000, 64_000)]
    outcome = run_migrations(FakeBackend(), scenarios, DirtyQuota(), [0, 1, 2])
    assert outcome.converged.all()
    assert outcome.time_over_t0.max() < 1 / (1 - SHARE) + 0.1
