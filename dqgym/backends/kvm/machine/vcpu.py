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
from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.page_log import PageLog
from dqgym.backends.kvm.machine.quota_abi import QuotaField
from dqgym.backends.kvm.machine.throttling import QuotaLedger, TimeSlices
from dqgym.backends.kvm.machine.vm import KvmError, Vm
from dqgym.backends.kvm.workload.traces import PageTrace

SWITCH_INTERVAL_S = 0.0005
"""For ``sys.setswitchinterval`` of a process with vCPUs: how long one thread may hold the interpreter while others want
it. vCPUs must not wait for one another for long."""
TICK_S = 0.01
"""A vCPU gets what is due this often."""
QUOTA_LOOK_S = 0.01
"""A vCPU in debt looks this often whether the pool has paid (the reference scheme's quota interval)."""


@dataclass(frozen=True)
class VcpuCounts:
    """What one vCPU has done since its thread began.

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
        ledger: its dirty quota.
        quota_field: of kernels with the dirty-quota patches; None: the ring is the quota.
        issued: int64 [pages]; counts the stores that any vCPU was given, page by page.
        on_failure: called once, in the vCPU's thread, with what ended it.
    """

    def __init__(
        self,
        vm: Vm,
        index: int,
        trace: PageTrace,
        log: PageLog,
        ledger: QuotaLedger,
        quota_field: QuotaField | None,
        issued: NDArray[np.int64],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.index = index
        self.trace = trace
        self.in_batch = False
        self.began_s = 0.0
        """When the workload's time was 0, on the monotonic clock."""
        self._vm = vm
        self._handle = vm.vcpus[index]
        self._log = log
        self._ledger = ledger
        self._quota_field = quota_field
        self._issued = issued
        self._on_failure = on_failure
        self._slices = TimeSlices()
        self._ring_sleep_s = 0.0
        self._ring_wakes_s = 0.0
        self._first_writes = 0
        self._owes = False
        self._io_open = False
        self._quota_exits = 0
        self._parked_s = 0.0
        self._halted_s = 0.0
        self._halting_since_s: float | None = None
        self._accrued_s = 0.0
        self._accrued_halted_s = 0.0
        self._tick_s = TICK_S
        self._next_tick_s = 0.0
        self._wake = threading.Event()
        self._parked = threading.Event()
        self._resumed = threading.Event()
        self._park_wanted = False
        self._at_boundary = False
        self._after_ring_sleep = False
        self._stop_wanted = False
        self._thread = threading.Thread(target=self._main, name=f"vcpu-{index}", daemon=True)

    # --- called by others ---------------------------------------------------------------------------------------------

    def start(self, began_s: float) -> None:
        """Begin to run; the workload's time is 0 at ``began_s`` of the monotonic clock."""
        self.began_s = began_s
        # A thread inherits the mask: it must not be open to signals for a moment.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def command(self, cap: float, ring_sleep_s: float) -> None:
        """Run-share cap and sleep at a full ring from now on; the quota is the ledger's."""
        now_s = time.monotonic()
        self._slices.command(cap, now_s, self._run_clock_s(now_s))
        self._ring_sleep_s = ring_sleep_s
        if ring_sleep_s == 0.0:
            self._ring_wakes_s = 0.0
        self._wake.set()

    def tick_every(self, tick_s: float) -> None:
        """From the next batch on, give it what is due this often."""
        self._tick_s = tick_s

    def charge_first_writes(self, now_s: float) -> None:
        """Where the ring is the quota: charge to the limit in force what has come out of the ring so far."""
        if self._quota_field is None:
            self._ledger.charge_up_to(self.index, self._log.first_writes[self.index] * PAGE_BYTES, now_s)

    def kick(self) -> None:
        """Get the thread out of the guest."""
        self._handle.leave_at_once(True)
        if self._thread.ident is not None and self._thread.is_alive():
            signal.pthread_kill(self._thread.ident, api.KICK)

    @property
    def sleeps_at_full_ring(self) -> bool:
        """Whether it is in the sleep that follows a full ring."""
        return time.monotonic() < self._ring_wakes_s

    def park(self, at_boundary: bool = False, after_ring_sleep: bool = False) -> None:
        """Ask it to stop; ``await_parked`` waits for it.

        Args:
            at_boundary: only between two batches.
            after_ring_sleep: only when it does not sleep at a full ring.
        """
        self._at_boundary = at_boundary
        self._after_ring_sleep = after_ring_sleep
        self._park_wanted = True
        self._wake.set()
        self.kick()

    def await_parked(self, timeout_s: float) -> bool:
        """Whether it has stopped; a thread that has ended has."""
        return self._parked.wait(timeout_s) or not self._thread.is_alive()

    def resume(self) -> None:
        """Go on after ``park``."""
        self._park_wanted = False
        self._parked.clear()
        self._resumed.set()

    def stop(self) -> None:
        """End the thread, from wherever it is."""
        self._stop_wanted = True
        self._resumed.set()
        self._wake.set()
        self.kick()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def workload_time_s(self) -> float:
        """The workload's time up to which accesses fell due; it stands still while the vCPU is parked."""
        return self._accrued_s - self.began_s

    def counts(self) -> VcpuCounts:
        """What it has done so far."""
        return VcpuCounts(
            entries=self._log.entries[self.index],
            first_writes=self._log.first_writes[self.index],
            quota_exits=self._quota_exits,
            halted_s=self._halted_by(time.monotonic()),
            accesses=self.trace.taken,
            demanded=self.trace.demanded,
        )

    # --- in its own thread --------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._accrued_s = self._next_tick_s = time.monotonic()
            while not self._stop_wanted:
                self._turn()
        except BaseException as error:
            self._on_failure(error)
        finally:
            self._parked.set()

    def _turn(self) -> None:
        """The one thing that is due now: park, wait for a throttle, wait for work, or run the guest."""
        self._handle.leave_at_once(False)
        if self._park_wanted and self._may_park():
            self._stay_parked()
            return
        now_s = time.monotonic()
        self._pay_first_writes(now_s)
        wait_s = self._throttled_for_s(now_s)
        if wait_s > 0.0:
            self._halt(now_s, wait_s)
        elif self.in_batch or self._next_batch(now_s):
            self._run_guest()

    def _may_park(self) -> bool:
        return not (self._at_boundary and self.in_batch) and not (self._after_ring_sleep and self.sleeps_at_full_ring)

    def _throttled_for_s(self, now_s: float) -> float:
        debt_s = self._ledger.wait_s(self.index, now_s) if self._owes else 0.0
        if self._owes and debt_s == 0.0:
            self._owes = False
        return max(
            self._slices.wait_s(now_s, self._run_clock_s(now_s)),
            self._ring_wakes_s - now_s,
            min(debt_s, QUOTA_LOOK_S),
        )

    def _halt(self, now_s: float, wait_s: float) -> None:
        self._halting_since_s = now_s
        self._wake.wait(wait_s)
        self._wake.clear()
        self._end_halt(time.monotonic())

    def _end_halt(self, now_s: float) -> None:
        since_s = self._halting_since_s
        assert since_s is not None
        self._halted_s, self._halting_since_s = self._halted_s + now_s - since_s, None

    def _halted_by(self, now_s: float) -> float:
        since_s = self._halting_since_s
        return self._halted_s + (now_s - since_s if since_s is not None else 0.0)

    def _run_clock_s(self, now_s: float) -> float:
        """A clock that stands still while the vCPU cannot run."""
        return now_s - self._halted_by(now_s) - self._parked_s

    def _next_batch(self, now_s: float) -> bool:
        """Give the guest what is due; False after a wait where nothing is."""
        span_s = now_s - self._accrued_s
        run_s = max(span_s - (self._halted_s - self._accrued_halted_s), 0.0)
        self.trace.accrue(self._accrued_s - self.began_s, now_s - self.began_s, run_s)
        self._accrued_s, self._accrued_halted_s = now_s, self._halted_s
        due = self.trace.due()
        if now_s >= self._next_tick_s:
            self._next_tick_s = max(self._next_tick_s + self._tick_s, now_s)
        elif due < guest.MOST_ACCESSES:
            self._wake.wait(self._next_tick_s - now_s)
            self._wake.clear()
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
        if self._quota_field is not None:
            self._quota_field.grant(self._ledger.limit(self.index))
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
        elif self._quota_field is not None and reason == self._quota_field.exit_reason:
            now_s = time.monotonic()
            self._ledger.charge(self.index, self._quota_field.used_bytes(), now_s)
            self._note_debt(now_s)
        elif reason != api.EXIT_INTR:
            raise KvmError(f"vCPU {self.index} left the guest with exit reason {reason}")

    def _empty_ring(self) -> None:
        """Nobody runs while its ring is emptied: the time counts as halted."""
        self._halting_since_s = time.monotonic()
        self._log.flush(self.index)
        now_s = time.monotonic()
        self._ring_wakes_s = now_s + self._ring_sleep_s if self._ring_sleep_s > 0.0 else 0.0
        self._end_halt(now_s)

    def _pay_first_writes(self, now_s: float) -> None:
        """After the ring was emptied, at its own exits or by others, see whether there is a debt."""
        first_writes = self._log.first_writes[self.index]
        if self._quota_field is None and first_writes != self._first_writes:
            self._first_writes = first_writes
            self.charge_first_writes(now_s)
            self._note_debt(now_s)

    def _note_debt(self, now_s: float) -> None:
        if not self._owes and self._ledger.wait_s(self.index, now_s) > 0.0:
            self._owes = True
            self._quota_exits += 1

    def _stay_parked(self) -> None:
        began_s = time.monotonic()
        if self._io_open:
            self._vm.finish_io(self.index)
            api.consume_kick()
            self._io_open = False
        self._resumed.clear()
        if self._park_wanted and not self._stop_wanted:  # else it was resumed, or is to end, just now
            self._parked.set()
            self._resumed.wait()
        parked_s = time.monotonic() - began_s
        self._parked_s += parked_s
        # The workload's time stands still while the machine does.
        self.began_s += parked_s
        self._accrued_s += parked_s
        self._next_tick_s += parked_s
