from __future__ import annotations

import time

import pytest

from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.machine import Machine
from dqgym.backends.kvm.machine.vcpu_clocks import TICK_S
from dqgym.scenario import ConstantLink, Scenario, VcpuGroup, VirtualMachine
from tests.backends.kvm.simulated_kernel import SimulatedKernel, page_aligned

PAGES = 4096
WRITER = VcpuGroup(
    vcpus=1,
    pattern="sequential",
    working_set_bytes=PAGES // 2 * PAGE_BYTES,
    write_rate_bytes_per_s=15_000.0 * PAGE_BYTES,
)


@pytest.mark.slow
@pytest.mark.parametrize("group", [WRITER, VcpuGroup(vcpus=1, pattern="read-only")], ids=lambda group: group.pattern)
def test_a_vcpu_runs_a_batch_a_tick_and_leaves_its_processor_alone_in_between(group: VcpuGroup) -> None:
    kernel = SimulatedKernel()
    scenario = Scenario(
        name="some",
        vm=VirtualMachine(memory_bytes=PAGES * PAGE_BYTES),
        workload=(group,),
        link=ConstantLink(bandwidth_bytes_per_s=1e8),
    )
    machine = Machine(kernel, scenario, 0, page_aligned(bytes(PAGES * PAGE_BYTES)))
    began_s = time.monotonic()
    machine.start()
    time.sleep(0.5)
    machine.close()
    assert 5 < len(kernel.exits()) <= (time.monotonic() - began_s) / TICK_S + 3
