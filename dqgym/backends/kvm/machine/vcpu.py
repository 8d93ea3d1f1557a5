"""One vCPU: a thread that gives the guest its batches, lets it run, and keeps it out while a throttle says so."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dqgym.backends.kvm.machine import api, guest
from dqgym.backends.kvm.machine.page_log import PageLog
from dqgym.backends.kvm.machine.thread_control import ThreadControl
from dqgym.backends.kvm.machine.vcpu_clocks import HaltClock, WorkloadClock
from dqgym.backends.kvm.machine.vcpu_throttle import VcpuThrottle
from dqgym.backends.kvm.machine.vm import KvmError, Vm
from dqgym.backends.kvm.workload.traces import PageTrace

SWITCH_INTERVAL_S = 0.0005
"""For ``sys.setswitchinterval`` of a process with vCPUs: how long one thread may hold the interpreter while others want
it. vCPUs must not wait for one another for long."""


@dataclass(frozen=True)
class VcpuCounts:
    """The counts of one vCPU since its thread began.

    Attributes:
        entries: pages that came out of its ring.
        first_writes: those of them that were clean in their round, and were not pending anyway.
        quota_exits: times that it had to wait for quota.
        halted_s: time in which it could not run: a throttle kept it out, or its ring was being emptied.
        accesses: stores (or loads) that it was given.
        demanded: those that it would have made without ever being kept out.
    """

    entries: int
    first_writes: int
    quota_exits: int
    halted_s: float
    accesses: int
    demanded: float


class Vcpu:
    """A vCPU and its thread.

    Args:
        vm: the virtual machine.
        index: which of its vCPUs.
        trace: what it accesses.
        log: where its ring goes.
        throttle: what keeps it out.
        issued: int64 [pages]; counts the stores that any vCPU was given, page by page.
        on_failure: called once, in the vCPU's thread, with what ended it.

    Attributes:
        in_batch: the guest has not finished the batch that it was given.
    """

    def __init__(
        self,
        vm: Vm,
        index: int,
        trace: PageTrace,
        log: PageLog,
        throttle: VcpuThrottle,
        issued: NDArray[np.int64],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.index = index
        self.trace = trace
        self.throttle = throttle
        self.in_batch = False
        self._vm = vm
        self._handle = vm.vcpus[index]
        self._log = log
        self._issued = issued
        self._on_failure = on_failure
        self._halts = HaltClock()
        self._clock = WorkloadClock()
        self._control = ThreadControl()
        self._wake = threading.Event()
        self._io_open = False
        self._thread = threading.Thread(target=self._main, name=f"vcpu-{index}", daemon=True)

    # --- called by others ---------------------------------------------------------------------------------------------

    def start(self, began_s: float) -> None:
        """Begin to run; the workload's time is 0 at ``began_s`` of the monotonic clock."""
        self._clock.begin(began_s)
        # A thread inherits the mask: it must not be open to signals for a moment.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def command(self, cap: float, ring_sleep_s: float) -> None:
        """Run-share cap and sleep at a full ring from now on; the quota is the ledger's."""
        now_s = time.monotonic()
        self.throttle.command(cap, ring_sleep_s, now_s, self._halts.run_clock_s(now_s))
        self._wake.set()

    def tick_every(self, tick_s: float) -> None:
        """From the next batch on, give it what is due this often."""
        self._clock.tick_s = tick_s

    def kick(self) -> None:
        """Get the thread out of the guest."""
        self._handle.leave_at_once(True)
        if self._thread.ident is not None and self._thread.is_alive():
            signal.pthread_kill(self._thread.ident, api.KICK)

    def park(self, at_boundary: bool = False, after_ring_sleep: bool = False) -> None:
        """Ask it to stop; ``await_parked`` waits for it.

        Args:
            at_boundary: only between two batches.
            after_ring_sleep: only when it does not sleep at a full ring.
        """
        self._control.park(at_boundary, after_ring_sleep)
        self._wake.set()
        self.kick()

    def await_parked(self, timeout_s: float) -> bool:
        """True as soon as it has stopped (a thread that has ended has); False where that takes too long."""
        return self._control.await_parked(timeout_s) or not self._thread.is_alive()

    def resume(self) -> None:
        """Go on after ``park``."""
        self._control.resume()

    def stop(self) -> None:
        """End the thread, from wherever it is."""
        self._control.end()
        self._wake.set()
        self.kick()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def workload_time_s(self) -> float:
        """The workload's time up to which accesses fell due; it stands still while the vCPU is parked."""
        return self._clock.time_s

    def counts(self) -> VcpuCounts:
        """Its counts so far."""
        return VcpuCounts(
            entries=self._log.entries[self.index],
            first_writes=self._log.first_writes[self.index],
            quota_exits=self.throttle.quota_exits,
            halted_s=self._halts.halted_s(time.monotonic()),
            accesses=self.trace.taken,
            demanded=self.trace.demanded,
        )

    # --- in its own thread --------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._clock.begin_to_accrue(time.monotonic())
            while not self._control.end_wanted:
                self._turn()
        except BaseException as error:
            self._on_failure(error)
        finally:
            self._control.has_ended()

    def _turn(self) -> None:
        """The one thing that is due now: park, wait for a throttle, wait for work, or run the guest."""
        self._handle.leave_at_once(False)
        if self._control.must_park(self.in_batch, self.throttle.sleeps_at_full_ring):
            self._stay_parked()
            return
        now_s = time.monotonic()
        wait_s = self.throttle.wait_s(now_s, self._halts.run_clock_s(now_s))
        if wait_s > 0.0:
            self._halt(now_s, wait_s)
        elif self.in_batch or self._next_batch(now_s):
            self._run_guest()

    def _halt(self, now_s: float, wait_s: float) -> None:
        self._halts.begin(now_s)
        self._await_wake(wait_s)
        self._halts.end(time.monotonic())

    def _await_wake(self, timeout_s: float) -> None:
        self._wake.wait(timeout_s)
        self._wake.clear()

    def _next_batch(self, now_s: float) -> bool:
        """Give the guest what is due; False after a wait where nothing is."""
        self.trace.accrue(*self._clock.accrue(now_s, self._halts.halted_s(now_s)))
        due = self.trace.due()
        if not self._clock.ticks(now_s) and due < guest.MOST_ACCESSES:
            self._await_wake(self._clock.next_tick_s - now_s)
            return False
        if due == 0:
            return False
        pages = self.trace.take(guest.MOST_ACCESSES)
        if self.trace.writes:
            np.add.at(self._issued, pages, 1)
        guest.write_batch(self._vm.platform, self.index, pages, guest.STORES if self.trace.writes else guest.LOADS)
        self.in_batch = True
        return True

    def _run_guest(self) -> None:
        self.throttle.before_entry()
        number = self._vm.kernel.run(self._handle.descriptor)
        if number in api.INTERRUPTED:
            api.consume_kick()
            return
        if number:
            raise KvmError(f"KVM_RUN of vCPU {self.index}: {os.strerror(number)}")
        reason = self._handle.exit_reason
        self._io_open = reason == api.EXIT_IO
        if reason == api.EXIT_IO:
            self.in_batch = False
        elif reason == api.EXIT_DIRTY_RING_FULL:
            self._empty_ring()
        elif self.throttle.is_quota_exit(reason):
            self.throttle.after_quota_exit(time.monotonic())
        elif reason != api.EXIT_INTR:
            raise KvmError(f"vCPU {self.index} left the guest with exit reason {reason}")

    def _empty_ring(self) -> None:
        """Nobody runs while its ring is emptied: the time counts as halted."""
        self._halts.begin(time.monotonic())
        self._log.flush(self.index)
        now_s = time.monotonic()
        self.throttle.after_full_ring(now_s)
        self._halts.end(now_s)

    def _stay_parked(self) -> None:
        began_s = time.monotonic()
        if self._io_open:
            self._vm.finish_io(self.index)
            api.consume_kick()
            self._io_open = False
        self._control.stay_parked()
        parked_s = time.monotonic() - began_s
        self._halts.parked_s += parked_s
        # The workload's time stands still while the machine does.
        self._clock.stand_still(parked_s)
