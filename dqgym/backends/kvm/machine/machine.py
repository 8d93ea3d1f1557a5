"""A running guest: its virtual machine, its vCPUs' threads and its devices, to start, throttle, stop, save and restore.

The machine knows nothing of migration but that its pages are logged; the sender and the destination drive it.
"""

from __future__ import annotations

import reprlib
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import ByteArray
from dqgym.backends.kvm.machine import guest
from dqgym.backends.kvm.machine.api import PAGE_BYTES, KernelApi
from dqgym.backends.kvm.machine.page_log import PageLog
from dqgym.backends.kvm.machine.quota_abi import QuotaAbi, QuotaField
from dqgym.backends.kvm.machine.ring import RESERVED_ENTRIES
from dqgym.backends.kvm.machine.throttling import QuotaLedger
from dqgym.backends.kvm.machine.vcpu import Vcpu, VcpuCounts
from dqgym.backends.kvm.machine.vcpu_clocks import TICK_S
from dqgym.backends.kvm.machine.vcpu_throttle import VcpuThrottle
from dqgym.backends.kvm.machine.vm import REGISTERS_BYTES, Vm, page_aligned
from dqgym.backends.kvm.workload.traces import Workload, workload_of
from dqgym.errors import BadInputError, RunFailedError
from dqgym.scenario import Scenario

PARK_TIMEOUT_S = 10.0
"""A vCPU that does not come out of the guest in this time has failed."""
KICK_AGAIN_S = 0.2
MOST_STANDSTILL_S = 3600.0
"""A guest that is moved cannot have stood still for longer."""


class MachineFailedError(RunFailedError):
    """A vCPU could not go on; the cause is chained."""


class Machine:
    """A guest that runs a scenario's workload in given memory.

    Args:
        kernel: whom to ask.
        scenario: memory, vCPUs and what they access.
        seed: of the workload.
        memory: the guest's memory.
        quota_abi: of kernels with the dirty-quota patches.

    Attributes:
        issued: int64 [pages] stores that the guest and its devices were given, page by page.

    Raises:
        OSError: KVM refused.
    """

    def __init__(
        self, kernel: KernelApi, scenario: Scenario, seed: int, memory: ByteArray, quota_abi: QuotaAbi | None = None
    ) -> None:
        self.memory = memory
        self.issued = np.zeros(memory.nbytes // PAGE_BYTES, dtype=np.int64)
        self.workload: Workload = workload_of(scenario, seed)
        vcpus = scenario.vcpus
        self._platform = page_aligned(guest.new_platform(memory.nbytes, vcpus))
        self.vm = Vm(
            kernel,
            memory,
            self._platform,
            vcpus,
            scenario.dirty_log.ring_entries,
            quota_abi.capability if quota_abi else None,
        )
        self.log = PageLog(self.vm)
        self.ledger = QuotaLedger(vcpus, self.granule_bytes)
        self._failure: BaseException | None = None
        self.vcpus = tuple(
            Vcpu(
                self.vm,
                index,
                trace,
                self.log,
                self._throttle(index, quota_abi),
                self.issued,
                self.fail,
            )
            for index, trace in enumerate(self.workload.traces)
        )
        self._device = _Device(self) if self.workload.device is not None else None

    def _throttle(self, vcpu: int, quota_abi: QuotaAbi | None) -> VcpuThrottle:
        field = QuotaField(quota_abi, self.vm.vcpus[vcpu].run) if quota_abi else None
        return VcpuThrottle(vcpu, self.ledger, self.log, field)

    @property
    def granule_bytes(self) -> int:
        """The bytes that a vCPU dirties before its ring is full."""
        return (self.vm.ring_entries - RESERVED_ENTRIES) * PAGE_BYTES

    @property
    def counters(self) -> NDArray[np.int64]:
        """[pages] the guest's own count of stores to each page: its first word."""
        return self.memory.view(np.int64)[:: PAGE_BYTES // 8]

    def touch_all_pages(self) -> None:
        """Let the guest load from every page, as one that has been up for a while has; before ``start``.

        KVM maps a page at its first access, and under dirty logging it counts that as a write even where it was a load:
        readers would dirty what they never touched before. For a thread that blocks all signals.

        Raises:
            KvmError: the guest cannot run.
        """
        pages = np.arange(self.memory.nbytes // PAGE_BYTES, dtype=np.uint32)
        for first in range(0, len(pages), guest.MOST_ACCESSES):
            guest.write_batch(self._platform, 0, pages[first : first + guest.MOST_ACCESSES], guest.LOADS)
            self.vm.play_batch(0)

    def start(self, workload_time_s: float = 0.0) -> None:
        """Let the guest run; its workload goes on from ``workload_time_s``."""
        began_s = time.monotonic() - workload_time_s
        for vcpu in self.vcpus:
            vcpu.start(began_s)
        if self._device is not None:
            self._device.start(began_s)

    def command(self, limits_bytes_per_s: list[float], shared: bool, caps: list[float], sleeps_s: list[float]) -> None:
        """Throttle from now on: dirty-rate limits, whether unclaimed quota is shared, run-share caps, ring sleeps."""
        now_s = time.monotonic()
        for vcpu in self.vcpus:
            vcpu.throttle.charge_first_writes(now_s)
        self.ledger.command(limits_bytes_per_s, shared, now_s)
        for vcpu, cap, sleep_s in zip(self.vcpus, caps, sleeps_s, strict=True):
            vcpu.command(cap, sleep_s)

    def tick_every(self, tick_s: float = TICK_S) -> None:
        """Give every vCPU what is due this often, from its next batch on."""
        for vcpu in self.vcpus:
            vcpu.tick_every(tick_s)

    def free(self) -> None:
        """Throttle nobody."""
        n = len(self.vcpus)
        self.command([float("inf")] * n, False, [1.0] * n, [0.0] * n)

    def pause(self, at_boundary: bool = False) -> None:
        """Stop all vCPUs and devices, between two batches only if so wanted, and flush nothing.

        Raises:
            MachineFailedError: a vCPU failed, or does not come out of the guest.
        """
        for vcpu in self.vcpus:
            vcpu.park(at_boundary)
        if self._device is not None:
            self._device.park()
        ends_s = time.monotonic() + PARK_TIMEOUT_S
        for vcpu in self.vcpus:
            while not vcpu.await_parked(KICK_AGAIN_S):
                if time.monotonic() > ends_s:
                    raise MachineFailedError(f"vCPU {vcpu.index} does not leave the guest")
                vcpu.park(at_boundary)
        self.require_sound()

    def resume(self) -> None:
        """Go on after ``pause``."""
        for vcpu in self.vcpus:
            vcpu.resume()
        if self._device is not None:
            self._device.resume()

    def require_sound(self) -> None:
        """Raise a MachineFailedError where a vCPU has failed."""
        if self._failure is not None:
            raise MachineFailedError(f"the guest failed: {self._failure}") from self._failure

    def counts(self) -> tuple[VcpuCounts, ...]:
        """The counts of each vCPU so far."""
        return tuple(vcpu.counts() for vcpu in self.vcpus)

    def save(self) -> tuple[dict[str, Any], bytes]:
        """State of a paused machine beside its memory: as JSON, and the platform's bytes."""
        registers = [self.vm.registers(vcpu.index) for vcpu in self.vcpus]
        state = {
            "workload_time_s": max(vcpu.workload_time_s for vcpu in self.vcpus),
            "vcpus": [
                {
                    "trace": vcpu.trace.state(),
                    "in_batch": vcpu.in_batch,
                    "registers": general.hex(),
                    "system_registers": system.hex(),
                }
                for vcpu, (general, system) in zip(self.vcpus, registers, strict=True)
            ],
            "device": self.workload.device.state() if self.workload.device is not None else None,
        }
        return state, self._platform.tobytes()

    def restore(self, state: dict[str, Any], platform: bytes) -> float:
        """Take over what ``save`` gave on another host; returns the workload's time for ``start``.

        Raises:
            BadInputError: the state does not fit this machine; the message names the field.
        """
        if len(platform) != self._platform.nbytes:
            raise BadInputError(f"platform: {len(platform)} bytes, must be {self._platform.nbytes}")
        saved, device = state.get("vcpus"), self.workload.device
        if not isinstance(saved, list) or len(saved) != len(self.vcpus) or not all(isinstance(v, dict) for v in saved):
            raise BadInputError(f"vcpus: must be a list of {len(self.vcpus)} objects")
        for vcpu, entry in zip(self.vcpus, saved, strict=True):
            if not isinstance(entry.get("in_batch"), bool):
                raise BadInputError(f"vcpus[{vcpu.index}].in_batch: {entry.get('in_batch')!r} must be true or false")
            vcpu.in_batch = entry["in_batch"]
            vcpu.trace.restore(entry.get("trace"))
            general, system = (
                _registers(entry.get(name), size, f"vcpus[{vcpu.index}].{name}")
                for name, size in zip(("registers", "system_registers"), REGISTERS_BYTES, strict=True)
            )
            self.vm.set_registers(vcpu.index, general, system)
        if device is not None:
            device.restore(state.get("device"))
        self._platform[:] = np.frombuffer(platform, dtype=np.uint8)
        return self._workload_time_s(state.get("workload_time_s"))

    def _workload_time_s(self, value: object) -> float:
        """The checked time at which the traces go on: a clock that is behind goes through all periods up to then."""
        traces = [*self.workload.traces, *([self.workload.device] if self.workload.device is not None else [])]
        most_s = min(trace.period_ends_s for trace in traces) + MOST_STANDSTILL_S
        if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST_STANDSTILL_S <= value <= most_s:
            raise BadInputError(
                f"workload_time_s: {reprlib.repr(value)} must be a number from {-MOST_STANDSTILL_S!r} to {most_s!r}"
            )
        return float(value)

    def close(self) -> None:
        """End all threads and give the virtual machine back. Safe to call twice."""
        for vcpu in self.vcpus:
            vcpu.stop()
        if self._device is not None:
            self._device.stop()
        self.vm.close()

    def fail(self, error: BaseException) -> None:
        """Note what ended one of the threads; ``require_sound`` tells."""
        if self._failure is None:
            self._failure = error


class _Device:
    """Writes by the host on the guest's behalf: charged to nobody, marked as dirty by hand."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._may_run = threading.Event()
        self._may_run.set()
        self._stopped = False
        self._writing = threading.Lock()
        self._began_s = 0.0
        self._thread = threading.Thread(target=self._main, name="device", daemon=True)

    def start(self, began_s: float) -> None:
        self._began_s = began_s
        self._thread.start()

    def park(self) -> None:
        """Returns when nothing is being written."""
        self._may_run.clear()
        with self._writing:
            pass

    def resume(self) -> None:
        self._may_run.set()

    def stop(self) -> None:
        self._stopped = True
        self._may_run.set()
        if self._thread.is_alive():
            self._thread.join()

    def _main(self) -> None:
        try:
            self._write_what_is_due()
        except BaseException as error:
            self._machine.fail(error)

    def _write_what_is_due(self) -> None:
        trace = self._machine.workload.device
        assert trace is not None
        accrued_s = time.monotonic()
        while not self._stopped:
            time.sleep(TICK_S)
            began_s = time.monotonic()
            self._may_run.wait()
            with self._writing:
                if not self._may_run.is_set() or self._stopped:
                    continue
                stood_still_s = time.monotonic() - began_s
                self._began_s += stood_still_s
                accrued_s += stood_still_s
                now_s = time.monotonic()
                trace.accrue(accrued_s - self._began_s, now_s - self._began_s, now_s - accrued_s)
                accrued_s = now_s
                self._write(trace.take(guest.MOST_ACCESSES))

    def _write(self, pages: NDArray[np.uint32]) -> None:
        np.add.at(self._machine.counters, pages, 1)
        np.add.at(self._machine.issued, pages, 1)
        self._machine.log.mark(pages)


def fill_memory(memory: ByteArray, seed: int) -> None:
    """Contents that no two pages share and no page of zeros: a counter of 0, then random words."""
    words = memory.view(np.uint64)
    words[:] = np.random.default_rng(seed).integers(1, 2**63, size=len(words), dtype=np.uint64)
    words[:: PAGE_BYTES // 8] = 0


def _registers(text: object, size: int, name: str) -> bytes:
    try:
        registers = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        registers = b""
    if len(registers) != size:
        raise BadInputError(f"{name}: must be {size} bytes in hexadecimal")
    return registers
