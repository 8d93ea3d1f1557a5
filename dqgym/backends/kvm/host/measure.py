"""The costs of a migration on this host: measured, and put into the parameters that the model has for it.

The guest's stores go to pages that are clean all the time, as if the link were infinitely fast: so what a vCPU dirties
is what its quota and the host let it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dqgym.backends.kvm.host.probe_guest import Rates
from dqgym.backends.kvm.host.signal_free_thread import in_signal_free_thread
from dqgym.backends.kvm.machine.api import PAGE_BYTES, Kernel, KernelApi
from dqgym.backends.kvm.machine.machine import Machine, fill_memory
from dqgym.backends.kvm.machine.quota_abi import find_abi
from dqgym.backends.kvm.machine.vcpu_throttle import QUOTA_LOOK_S
from dqgym.backends.kvm.machine.vm import new_memory
from dqgym.backends.kvm.migration.sender import WINDOW_S
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.scenario import ConstantLink, DirtyLog, Scenario, VcpuGroup, VirtualMachine
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.units import MIB

LIMITS_BYTES_PER_S = (2.0 * MIB, 8.0 * MIB, 32.0 * MIB, 96.0 * MIB)
HOT_RATE_BYTES_PER_S = 200.0 * MIB
LIGHT_RATE_BYTES_PER_S = 4.0 * MIB
MEMORY_BYTES = 128 * MIB
SETTLE_S, MEASURE_S = 0.5, 3.0
LEAST_GRANULES = 20
"""A limit is measured over so many granules at least: it holds in the mean, a granule at a time."""
CLEAN_EVERY_S = 0.02
FREE_BYTES_PER_S = 1e12
"""Written for exits whose cost cannot be told from noise."""
NOISE = 0.02
"""A limit that is missed by less is met."""


@dataclass(frozen=True)
class LimitMet:
    """A hot vCPU under a limit, beside a light one that has none.

    Attributes:
        limit_bytes_per_s: commanded.
        rate_bytes_per_s: what the hot vCPU dirtied.
        light_progress: stores that the light vCPU made over those that it would have made alone.
    """

    limit_bytes_per_s: float
    rate_bytes_per_s: float
    light_progress: float

    @property
    def error(self) -> float:
        """Rate over limit, less 1."""
        return self.rate_bytes_per_s / self.limit_bytes_per_s - 1.0


@dataclass(frozen=True)
class HostCosts:
    """The measurements of one host.

    Attributes:
        rates: of the probe.
        free_rate_bytes_per_s: what a vCPU dirties without a limit that wants as much as it can get.
        limits: how limits are met.
    """

    rates: Rates
    free_rate_bytes_per_s: float
    limits: tuple[LimitMet, ...]

    def parameters(self) -> tuple[ModelParameters, dict[str, str]]:
        """The model's parameters for this host, and the source of each that is not the default's."""
        rates = self.rates
        store_s = 1.0 / rates.stores_per_s
        cycle_s = (rates.ring_run_s + rates.ring_harvest_s + rates.ring_reset_s) / rates.granule_pages
        values = {
            "write_bytes_per_s": PAGE_BYTES * rates.stores_per_s,
            "fault_s": max(cycle_s - store_s, 0.0),
            "exit_bytes_per_s": self._exit_bytes_per_s(),
            "contention": 0.0,
            "quota_interval_s": QUOTA_LOOK_S,
            "overshoot_bytes": float(rates.granule_pages * PAGE_BYTES),
            "window_s": WINDOW_S,
            "ring_exit_s": rates.ring_harvest_s + rates.ring_reset_s,
            "slice_overrun_s": 0.0,
        }
        measured = "measured on this host by `dqgym calibrate --backend kvm`: "
        sources = {
            "write_bytes_per_s": measured + "4 KiB times the stores per second of one vCPU, nothing logged",
            "fault_s": measured + "time of a full ring over its pages, emptying included, less that of as many stores",
            "exit_bytes_per_s": measured + "what the highest limit is missed by; 1e12 where by less than 2 %",
            "contention": "0: vCPUs under a limit wait, and need no processor meanwhile",
            "quota_interval_s": "dqgym.backends.kvm.machine.vcpu_throttle: a vCPU in debt looks this often",
            "overshoot_bytes": measured + "what the smallest ring holds",
            "window_s": "dqgym.backends.kvm.migration.sender: its window",
            "ring_exit_s": measured + "harvest and reset of one full ring",
            "slice_overrun_s": "0: a sleep is as long as the slice before it asks for",
        }
        return DEFAULT_PARAMETERS._replace(**values), sources

    def _exit_bytes_per_s(self) -> float:
        """From 1 / rate = 1 / limit + (1 - limit / free rate) / exit rate (``dqgym.model.kernel.writes``)."""
        last = self.limits[-1]
        binding = 1.0 - last.limit_bytes_per_s / self.free_rate_bytes_per_s
        if last.error > -NOISE or binding <= NOISE:
            return FREE_BYTES_PER_S
        return binding / (1.0 / last.rate_bytes_per_s - 1.0 / last.limit_bytes_per_s)


def measure_costs(
    rates: Rates, kernel: KernelApi | None = None, on_step: Callable[[str], None] = lambda _: None
) -> HostCosts:
    """Measure a host, in about 25 s; ``rates`` are those of a probe. OSError, RuntimeError where a guest fails."""
    kernel = kernel or Kernel()

    def measure() -> HostCosts:
        on_step("a vCPU without a limit")
        free = _measure_limit(kernel, math.inf)
        limits = []
        for limit in LIMITS_BYTES_PER_S:
            on_step(f"a limit of {limit / MIB:g} MiB/s")
            limits.append(_measure_limit(kernel, limit))
        return HostCosts(rates, free.rate_bytes_per_s, tuple(limits))

    return in_signal_free_thread(measure, "measure")


def _measure_limit(kernel: KernelApi, limit_bytes_per_s: float) -> LimitMet:
    with _running_machine(kernel) as machine:
        machine.command([limit_bytes_per_s, math.inf], False, [1.0, 1.0], [0.0, 0.0])
        _keep_clean(machine, SETTLE_S)
        began_s, (hot_before, light_before) = time.monotonic(), machine.counts()
        _keep_clean(machine, max(MEASURE_S, LEAST_GRANULES * machine.granule_bytes / limit_bytes_per_s))
        took_s, (hot, light) = time.monotonic() - began_s, machine.counts()
    return LimitMet(
        limit_bytes_per_s,
        (hot.first_writes - hot_before.first_writes) * PAGE_BYTES / took_s,
        (light.accesses - light_before.accesses) / (light.demanded - light_before.demanded),
    )


def _keep_clean(machine: Machine, duration_s: float) -> None:
    """Take all pages as if they were sent, again and again."""
    ends_s = time.monotonic() + duration_s
    while time.monotonic() < ends_s:
        time.sleep(CLEAN_EVERY_S)
        machine.log.sync()
        machine.log.take(machine.log.pending_pages)
        machine.require_sound()


@contextmanager
def _running_machine(kernel: KernelApi) -> Iterator[Machine]:
    scenario = Scenario(
        name="measured",
        vm=VirtualMachine(memory_bytes=MEMORY_BYTES),
        workload=(_writer(96 * MIB, HOT_RATE_BYTES_PER_S), _writer(16 * MIB, LIGHT_RATE_BYTES_PER_S)),
        link=ConstantLink(bandwidth_bytes_per_s=100.0 * MIB),
        dirty_log=DirtyLog(ring_entries=256, clear_chunk_bytes=BASE_PAGE_BYTES),
    )
    _, memory = new_memory(MEMORY_BYTES)
    fill_memory(memory, 0)
    machine = Machine(kernel, scenario, 0, memory, find_abi(kernel))
    try:
        machine.touch_all_pages()
        machine.log.begin()
        machine.start()
        yield machine
    finally:
        machine.close()


def _writer(working_set_bytes: int, rate_bytes_per_s: float) -> VcpuGroup:
    return VcpuGroup(
        vcpus=1, pattern="sequential", working_set_bytes=working_set_bytes, write_rate_bytes_per_s=rate_bytes_per_s
    )
