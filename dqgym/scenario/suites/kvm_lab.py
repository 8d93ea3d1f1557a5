"""Eight small migrations for real virtual machines on a host with two cores (backend ``kvm``).

Such a host carries the stores of all vCPUs, the sender and the receiver at a time, so that everything is small: at most
five vCPUs that together write less than 100 MiB/s (25,600 pages/s), 96 to 256 MiB of memory, a pass time T0 of 1.5 to
3.5 s. A migration that does not converge ends after 15 to 20 s: late enough for QEMU's auto-converge, which raises its
throttle every two to three seconds, and soon enough for all eight under four throttles to take about five minutes.

Under ``none`` the first four converge on the model, and the last four do not.
"""

from __future__ import annotations

from dqgym.scenario.dirty_log import SMALLEST_RING_ENTRIES, DirtyLog
from dqgym.scenario.limits import Limits, pass_times
from dqgym.scenario.link import ConstantLink, Link, StepsLink
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.suites.suite import FixedSuite
from dqgym.scenario.vm import BASE_PAGE_BYTES, VirtualMachine
from dqgym.scenario.workload import Phased, VcpuGroup
from dqgym.units import MIB

DEADLINE_S = 18.0
"""When a migration has failed, whatever its pass time."""
DOWNTIME_S = 0.1
READER = VcpuGroup(vcpus=1, pattern="read-only")
READERS = VcpuGroup(vcpus=2, pattern="read-only")


def _writers(pattern: str, set_mib: int, rate_mib_per_s: float, vcpus: int = 1, **others: object) -> VcpuGroup:
    """Equal writers; set and rate are each vCPU's."""
    return VcpuGroup.model_validate(
        {
            "vcpus": vcpus,
            "pattern": pattern,
            "working_set_bytes": set_mib * MIB,
            "write_rate_bytes_per_s": rate_mib_per_s * MIB,
            **others,
        }
    )


def _scenario(name: str, memory_mib: int, link: Link | float, *workload: VcpuGroup) -> Scenario:
    """A migration; a link that is a number is constant, in MiB/s."""
    if isinstance(link, int | float):
        link = ConstantLink(bandwidth_bytes_per_s=link * MIB)
    pass_time_s = memory_mib * MIB / link.nominal_bandwidth_bytes_per_s
    return Scenario(
        name=name,
        vm=VirtualMachine(memory_bytes=memory_mib * MIB),
        workload=workload,
        link=link,
        limits=Limits(downtime_s=DOWNTIME_S, deadline=pass_times(DEADLINE_S / pass_time_s)),
        # Small rings, that a throttle which works through full ones has something to work with in so little memory.
        dirty_log=DirtyLog(ring_entries=SMALLEST_RING_ENTRIES, clear_chunk_bytes=BASE_PAGE_BYTES),
    )


def _build() -> tuple[Scenario, ...]:
    turns = StepsLink(times_s=(0.0, 2.0), bandwidths_bytes_per_s=(80.0 * MIB, 40.0 * MIB), period_s=4.0)
    batches = Phased(period_s=7.0, duty=0.75, low_rate_fraction=0.05)
    return (
        _scenario("quiet-guest", 192, 96, _writers("uniform", 24, 6, vcpus=2), READER),
        _scenario("sequential-all-memory", 128, 64, _writers("sequential", 32, 13, vcpus=4)),
        _scenario("batch-jobs", 160, 64, _writers("uniform", 48, 45, vcpus=2, schedule=batches), READER),
        _scenario("bandwidth-steps", 128, turns, _writers("sequential", 40, 26, vcpus=2), READER),
        _scenario(
            "skewed-writers", 256, 75, _writers("hot-cold", 96, 48, vcpus=2, hot_fraction=0.2, hot_share=0.7), READER
        ),
        _scenario("hot-and-light-writer", 160, 50, _writers("uniform", 64, 60), _writers("uniform", 32, 6)),
        _scenario("hot-writer-and-readers", 128, 60, _writers("sequential", 64, 80), READERS),
        _scenario("saturated-sets", 96, 40, _writers("uniform", 16, 45, vcpus=2), READER),
    )


KVM_LAB = FixedSuite(
    name="kvm-lab",
    description="Eight small migrations for real virtual machines on a host with two cores: quiet, uneven, skewed,"
    " phased and saturating writers, 96 to 256 MiB over 40 to 96 MiB/s.",
    build=_build,
)
