"""Scenarios whose logs the tests write."""

from dqgym.scenario.link import ConstantLink
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.vm import VirtualMachine
from dqgym.scenario.workload import VcpuGroup

MIB = 2**20


def guest(
    name: str = "guest", pattern: str = "sequential", rate_mib: int = 150, vcpus: int = 2, zero_mib: int = 1024
) -> Scenario:
    """4 GiB over 110 MiB/s; its vCPUs write to 800 MiB."""
    writes = rate_mib > 0
    each = VcpuGroup(
        vcpus=vcpus,
        pattern=pattern,
        working_set_bytes=800 * MIB // vcpus if writes else 0,
        write_rate_bytes_per_s=rate_mib * MIB / vcpus,
    )
    return Scenario(
        name=name,
        vm=VirtualMachine(memory_bytes=4096 * MIB, zero_bytes=zero_mib * MIB),
        workload=(each,),
        link=ConstantLink(bandwidth_bytes_per_s=110 * MIB),
    )
