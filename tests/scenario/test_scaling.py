from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario import (
    Bursty,
    ConstantLink,
    DeviceWrites,
    DirtyLog,
    Limits,
    MarkovLink,
    OrnsteinUhlenbeckLink,
    Phased,
    Recorded,
    Scenario,
    StepsLink,
    TraceLink,
    VcpuGroup,
    VirtualMachine,
)
from dqgym.scenario.hosts.host import Host
from dqgym.scenario.scaling import scaled
from dqgym.throttles.registry import make_throttle
from dqgym.units import MIB
from tests.model.migrations import NO_COSTS, SLOTS
from tests.scenario.strategies import scenarios

GIB = 1024 * MIB
PAGE = 4096
WRITER = VcpuGroup(vcpus=2, pattern="uniform", working_set_bytes=8 * GIB, write_rate_bytes_per_s=2e9)


def scenario(*workload: VcpuGroup, **others: object) -> Scenario:
    fields: dict[str, object] = {
        "name": "large",
        "vm": VirtualMachine(memory_bytes=64 * GIB),
        "workload": workload or (WRITER,),
        "link": ConstantLink(bandwidth_bytes_per_s=1e9, line_speed_bytes_per_s=5e9),
    }
    return Scenario.model_validate(fields | others)


def small(some: Scenario) -> Scenario:
    """A 512th of the memory, a 16th of the bandwidth: a 32nd of the time."""
    return scaled(some, 128 * MIB, 1e9 / 16)


def test_sizes_rates_and_times_shrink_each_by_their_factor() -> None:
    device = DeviceWrites(rate_bytes_per_s=1.6e7, working_set_bytes=GIB)
    zeros = VirtualMachine(memory_bytes=64 * GIB, zero_bytes=32 * GIB)
    came_out = small(scenario(device=device, vm=zeros, limits=Limits(downtime_s=0.32, deadline_pass_times=7.0)))
    assert came_out.vm == VirtualMachine(memory_bytes=128 * MIB, zero_bytes=64 * MIB)
    assert came_out.workload == (
        VcpuGroup(vcpus=2, pattern="uniform", working_set_bytes=16 * MIB, write_rate_bytes_per_s=1.25e8),
    )
    assert came_out.link == ConstantLink(bandwidth_bytes_per_s=6.25e7, line_speed_bytes_per_s=5e9 / 16)
    assert came_out.device == DeviceWrites(rate_bytes_per_s=1e6, working_set_bytes=2 * MIB)
    assert came_out.limits == Limits(downtime_s=0.01, deadline_pass_times=7.0)
    assert came_out.pass_time_s == scenario().pass_time_s / 32
    assert came_out.name == "large"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Phased(period_s=64.0, duty=0.3, offset=0.2), Phased(period_s=2.0, duty=0.3, offset=0.2)),
        (
            Bursty(period_s=64.0, duty=0.3, low_rate_fraction=0.1),
            Bursty(period_s=2.0, duty=0.3, low_rate_fraction=0.1),
        ),
        (
            Recorded(times_s=(0.0, 32.0), rate_factors=(1.0, 0.5), period_s=96.0),
            Recorded(times_s=(0.0, 1.0), rate_factors=(1.0, 0.5), period_s=3.0),
        ),
        (
            Recorded(times_s=(0.0, 32.0), rate_factors=(1.0, 0.5)),
            Recorded(times_s=(0.0, 1.0), rate_factors=(1.0, 0.5)),
        ),
    ],
)
def test_schedules_keep_their_shape_in_less_time(schedule: object, expected: object) -> None:
    group = WRITER.model_copy(update={"schedule": schedule})
    assert small(scenario(group)).workload[0].schedule == expected


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            StepsLink(times_s=(0.0, 32.0), bandwidths_bytes_per_s=(1e9, 5e8), line_speed_bytes_per_s=8e9),
            StepsLink(times_s=(0.0, 1.0), bandwidths_bytes_per_s=(6.25e7, 3.125e7), line_speed_bytes_per_s=5e8),
        ),
        (
            TraceLink(times_s=(0.0, 32.0), bandwidths_bytes_per_s=(1.5e9, 5e8), period_s=64.0),
            TraceLink(times_s=(0.0, 1.0), bandwidths_bytes_per_s=(9.375e7, 3.125e7), period_s=2.0),
        ),
        (
            MarkovLink(
                high_bandwidth_bytes_per_s=1.5e9, low_bandwidth_bytes_per_s=5e8, high_hold_s=32.0, low_hold_s=32.0
            ),
            MarkovLink(
                high_bandwidth_bytes_per_s=9.375e7, low_bandwidth_bytes_per_s=3.125e7, high_hold_s=1.0, low_hold_s=1.0
            ),
        ),
        (
            OrnsteinUhlenbeckLink(mean_bandwidth_bytes_per_s=1e9, relative_sd=0.2, correlation_time_s=64.0),
            OrnsteinUhlenbeckLink(mean_bandwidth_bytes_per_s=6.25e7, relative_sd=0.2, correlation_time_s=2.0),
        ),
    ],
)
def test_every_kind_of_link_keeps_its_course_in_less_time(link: object, expected: object) -> None:
    assert small(scenario(link=link)).link == expected


@pytest.mark.parametrize(
    ("entries", "memory_bytes", "expected"),
    [(65536, 8 * GIB, 8192), (65536, 6 * GIB, 8192), (4096, 128 * MIB, 256), (65536, 256 * GIB, 65536)],
)
def test_rings_stay_powers_of_two_that_the_log_allows(entries: int, memory_bytes: int, expected: int) -> None:
    log = DirtyLog(kind="ring", ring_entries=entries)
    came_out = scaled(scenario(dirty_log=log), memory_bytes, 1e9).dirty_log
    assert (came_out.kind, came_out.ring_entries) == ("ring", expected)


def test_chunks_of_the_clear_bitmap_and_the_host_are_scaled_along() -> None:
    host = Host(scan_speed_bytes_per_s=8e9, last_stage_s=0.02, sync_per_gib_s=0.001, fault_s=1e-6)
    large = scenario(dirty_log=DirtyLog(clear_chunk_bytes=GIB), host=host)
    came_out = scaled(large, large.vm.memory_bytes // 64, large.bandwidth_bytes_per_s / 4)
    assert came_out.cleared_ahead == pytest.approx(large.cleared_ahead, rel=1e-4)
    assert came_out.last_stage_s / came_out.pass_time_s == pytest.approx(large.last_stage_s / large.pass_time_s)
    assert came_out.host_or_default.scan_speed_bytes_per_s == 2e9
    assert came_out.host_or_default.fault_s == 1e-6


@pytest.mark.parametrize("page_bytes", [65536, 2 * MIB, GIB])
def test_larger_pages_become_4_kib(page_bytes: int) -> None:
    large = VirtualMachine(memory_bytes=64 * GIB, page_bytes=page_bytes)
    assert small(scenario(vm=large)).vm == VirtualMachine(memory_bytes=128 * MIB)


def test_a_working_set_keeps_at_least_a_page() -> None:
    tiny = VcpuGroup(vcpus=1, pattern="sequential", working_set_bytes=PAGE, write_rate_bytes_per_s=1.0)
    assert [group.working_set_bytes for group in small(scenario(WRITER, tiny)).workload] == [16 * MIB, PAGE]


def test_working_sets_that_fill_the_memory_fill_it_afterwards() -> None:
    """Three halves of a page would be rounded up, and the tiny one has to have a page at all."""
    third = VcpuGroup(vcpus=3, pattern="sequential", working_set_bytes=64 * GIB // 3 - PAGE, write_rate_bytes_per_s=1.0)
    tiny = VcpuGroup(vcpus=3, pattern="sequential", working_set_bytes=PAGE, write_rate_bytes_per_s=1.0)
    for pages in (6, 7, 8, 9, 100, 32768):
        came_out = scaled(scenario(third, tiny), pages * PAGE, 1e8)
        thirds, tinies = (group.working_set_bytes // PAGE for group in came_out.workload)
        assert tinies == 1
        assert thirds == (pages - 3) // 3 or pages > 100
    assert thirds == pytest.approx(pages / 3, abs=2)


@pytest.mark.parametrize(
    ("memory_bytes", "bandwidth_bytes_per_s", "message"),
    [
        (PAGE - 1, 1e8, "memory_bytes must be at least a page of 4096 bytes, not 4095"),
        (-1, 1e8, "memory_bytes must be at least a page"),
        (PAGE, 1e8, "memory_bytes: 4 KiB is too small for 2 working sets"),
        (GIB, 0.0, r"bandwidth_bytes_per_s must be positive and finite, not 0\.0"),
        (GIB, float("nan"), "bandwidth_bytes_per_s must be positive and finite, not nan"),
        (GIB, float("inf"), "bandwidth_bytes_per_s must be positive and finite, not inf"),
    ],
)
def test_a_host_that_cannot_be_is_refused(memory_bytes: int, bandwidth_bytes_per_s: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scaled(scenario(), memory_bytes, bandwidth_bytes_per_s)


@given(some=scenarios(), size=st.integers(1, 12), slowing=st.integers(-12, 12))
def test_what_has_no_dimension_stays(some: Scenario, size: int, slowing: int) -> None:
    """Powers of two, with which nothing is rounded but sizes."""
    came_out = scaled(some, some.vm.memory_bytes >> size, some.bandwidth_bytes_per_s * 2.0**slowing)
    time = 2.0 ** (-size - slowing)
    assert came_out.pass_time_s == pytest.approx(some.pass_time_s * time)
    assert came_out.bandwidth_bytes_per_s == pytest.approx(some.bandwidth_bytes_per_s * 2.0**slowing)
    assert came_out.limits.downtime_s == some.limits.downtime_s * time
    assert came_out.limits.deadline == some.limits.deadline
    assert came_out.vcpus == some.vcpus
    for ours, theirs in zip(came_out.workload, some.workload, strict=True):
        assert ours.write_rate_bytes_per_s == theirs.write_rate_bytes_per_s * 2.0**slowing
        assert ours.working_set_bytes % PAGE == 0
        assert ours.working_set_bytes == pytest.approx(theirs.working_set_bytes / 2**size, abs=PAGE)
        kept = {"working_set_bytes", "write_rate_bytes_per_s", "schedule"}
        assert ours.model_dump(exclude=kept) == theirs.model_dump(exclude=kept)
        assert ours.schedule.kind == theirs.schedule.kind


@pytest.mark.slow
@given(some=scenarios(), size=st.integers(1, 10))
def test_there_and_back_is_the_same_but_for_rounding_and_rings(some: Scenario, size: int) -> None:
    memory_bytes, bandwidth_bytes_per_s = some.vm.memory_bytes, some.bandwidth_bytes_per_s
    back = scaled(scaled(some, memory_bytes >> size, bandwidth_bytes_per_s / 4), memory_bytes, bandwidth_bytes_per_s)
    assert back.vm.memory_bytes == memory_bytes
    assert back.bandwidth_bytes_per_s == pytest.approx(bandwidth_bytes_per_s)
    for ours, theirs in zip(back.workload, some.workload, strict=True):
        assert ours.write_rate_bytes_per_s == pytest.approx(theirs.write_rate_bytes_per_s)
        assert ours.working_set_bytes == pytest.approx(theirs.working_set_bytes, abs=2**size * PAGE)


@pytest.mark.slow
@pytest.mark.parametrize("throttle", ["none", "dirty-quota"])
def test_a_migration_in_small_takes_as_many_pass_times_on_the_model(throttle: str) -> None:
    reader = VcpuGroup(vcpus=1, pattern="read-only")
    size_and_rate = {"working_set_bytes": 32 * GIB, "write_rate_bytes_per_s": 2e8}
    busy_and_quiet = Phased(period_s=60.0, duty=0.3, low_rate_fraction=0.1)
    large = [
        scenario(VcpuGroup(vcpus=2, pattern="sequential", **size_and_rate)),
        scenario(VcpuGroup(vcpus=1, pattern="uniform", **size_and_rate | {"write_rate_bytes_per_s": 3e9}), reader),
        scenario(VcpuGroup(vcpus=2, pattern="uniform", schedule=busy_and_quiet, **size_and_rate)),
        scenario(
            VcpuGroup(vcpus=1, pattern="hot-cold", hot_fraction=0.1, hot_share=0.9, **size_and_rate),
            link=StepsLink(times_s=(0.0, 30.0), bandwidths_bytes_per_s=(1e9, 4e8), period_s=50.0),
        ),
    ]
    # Half the T0 and a quarter of the bandwidth, on a host without costs of its own.
    little = [scaled(some, some.vm.memory_bytes // 8, some.bandwidth_bytes_per_s / 4) for some in large]
    ours, theirs = (
        run_migrations(ModelBackend(NO_COSTS, vcpu_slots=SLOTS), some, make_throttle(throttle), [0] * len(some))
        for some in (little, large)
    )
    ratio = np.array([some.pass_time_s for some in little]) / [some.pass_time_s for some in large]
    np.testing.assert_allclose(ratio, 0.5)
    np.testing.assert_array_equal(ours.converged, theirs.converged)
    np.testing.assert_allclose(ours.total_time_s / ratio, theirs.total_time_s, rtol=0.03)
    np.testing.assert_allclose(ours.guest_runtime, theirs.guest_runtime, atol=0.02)
