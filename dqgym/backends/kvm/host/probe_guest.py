"""A guest that is tried out: whether KVM's dirty ring does what a migration needs of it, and how fast this host is.

The guest has 8 MiB and lives for less than a second, in a thread that blocks all signals; nothing is left behind.
"""

from __future__ import annotations

import errno
import mmap
import os
import signal
import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dqgym.backends.kvm.host.probe_checks import Check, State
from dqgym.backends.kvm.host.signal_free_thread import in_signal_free_thread
from dqgym.backends.kvm.machine import api
from dqgym.backends.kvm.machine import guest as guest_code
from dqgym.backends.kvm.machine.api import PAGE_BYTES, KernelApi, Registers
from dqgym.backends.kvm.machine.ring import RESERVED_ENTRIES, RING_ENTRY
from dqgym.backends.kvm.machine.vm import Vm, page_aligned

_SMALLEST_RING_ENTRIES = PAGE_BYTES // RING_ENTRY.itemsize
_MEMORY_PAGES = 2048
_TIMEOUT_S = 10.0
"""The checks take a tenth of it; what is not back by then is kicked out of the guest."""
_MOST_CYCLES = 200
"""The longest batch fills the smallest ring eleven times."""
_EMPTY_BATCHES, _UNLOGGED_BATCHES, _LOGGED_BATCHES, _KICKS = 200, 20, 5, 50
_CHECKS = ("guest", "ring granule", "self-test", "kick")
_SPIN = bytes.fromhex("48ffc9 75fb e610")
"""again: ``dec rcx; jnz again; out 16, al``: runs until it is kicked, but not for ever."""
_SPINS = 2 * 10**10


@dataclass(frozen=True)
class Rates:
    """The rates of a host, from one run of the probe.

    Attributes:
        stores_per_s: of a guest whose pages are not logged.
        logged_stores_per_s: where every store goes to a clean page: faults, harvests and resets included.
        ring_entries: of the smallest ring that the host accepts.
        granule_pages: that a vCPU dirties before it is full.
        ring_run_s: time in the guest in which it fills that ring (this and the next ones: medians).
        ring_harvest_s: time to empty it.
        ring_reset_s: time to protect its pages again.
        out_exit_s: one exit to user space and back.
        kick_s: from the kick of another thread to the return of KVM_RUN.
    """

    stores_per_s: float
    logged_stores_per_s: float
    ring_entries: int
    granule_pages: int
    ring_run_s: float
    ring_harvest_s: float
    ring_reset_s: float
    out_exit_s: float
    kick_s: float


class _ProbeGuestError(RuntimeError):
    """The guest did not do what it must; the message says what it did."""


@dataclass(frozen=True)
class _Cycle:
    """One entry into the guest, and the emptying of its ring afterwards."""

    full: bool
    pages: NDArray[np.int64]
    run_s: float
    harvest_s: float
    reset_s: float

    @property
    def total_s(self) -> float:
        return self.run_s + self.harvest_s + self.reset_s


class _ProbeGuest:
    """A guest with one vCPU and the smallest ring; all but ``give_up`` is for a thread that blocks all signals."""

    def __init__(self, kernel: KernelApi) -> None:
        memory = np.frombuffer(mmap.mmap(-1, _MEMORY_PAGES * PAGE_BYTES), dtype=np.uint8)
        self._kernel = kernel
        self._platform = page_aligned(guest_code.new_platform(memory.nbytes, 1))
        self._given_up = False
        self.memory = memory
        self.counters = memory.view(np.int64)[:: PAGE_BYTES // 8]
        self.vm = Vm(kernel, memory, self._platform, 1, _SMALLEST_RING_ENTRIES)
        self.vcpu = self.vm.vcpus[0]

    def give_up(self) -> None:
        """Let the guest not be entered any more; whoever calls it kicks the thread that is in it."""
        self._given_up = True
        self.vcpu.leave_at_once(True)

    def play(self, pages: NDArray[np.integer], kind: int = guest_code.STORES) -> list[_Cycle]:
        """Let the guest play a batch to its end, and empty its ring at each exit."""
        guest_code.write_batch(self._platform, 0, pages.astype(np.uint32), kind)
        cycles = [self._cycle()]
        while cycles[-1].full:
            if len(cycles) == _MOST_CYCLES:
                raise _ProbeGuestError(f"the ring was full {_MOST_CYCLES} times, and the guest not done")
            cycles.append(self._cycle())
        return cycles

    def enter(self) -> int:
        """KVM_RUN: 0, or EINTR after a kick, which is taken off the thread."""
        number = self._kernel.run(self.vcpu.descriptor)
        if number in api.INTERRUPTED:
            api.consume_kick()
            if self._given_up:
                raise _ProbeGuestError(f"the guest was not done after {_TIMEOUT_S:g} s")
        elif number:
            raise _ProbeGuestError(f"KVM_RUN: {os.strerror(number)}")
        return number

    def _cycle(self) -> _Cycle:
        began_s = time.perf_counter()
        while self.enter():
            pass
        ran_s = time.perf_counter()
        if self.vcpu.exit_reason not in (api.EXIT_IO, api.EXIT_DIRTY_RING_FULL):
            raise _ProbeGuestError(f"the guest was left with exit reason {self.vcpu.exit_reason}")
        pages = self.vcpu.ring.harvest()
        harvested_s = time.perf_counter()
        protected = self.vm.reset_rings()
        reset_s = time.perf_counter()
        if protected != len(pages):
            raise _ProbeGuestError(f"the reset protected {protected} pages of {len(pages)}")
        return _Cycle(
            full=self.vcpu.exit_reason == api.EXIT_DIRTY_RING_FULL,
            pages=pages,
            run_s=ran_s - began_s,
            harvest_s=harvested_s - ran_s,
            reset_s=reset_s - harvested_s,
        )


def check_guest(kernel: KernelApi) -> tuple[list[Check], Rates | None]:
    """The checks that need a guest, up to the first that fails."""
    try:
        guest = _ProbeGuest(kernel)
    except OSError as error:
        is_taken = error.errno == errno.EBUSY
        remedy = "end other hypervisors (VirtualBox, VMware)" if is_taken else "look into the kernel's log (sudo dmesg)"
        return [Check("virtual machine", State.FAILED, f"KVM makes no virtual machine ({error})", remedy)], None
    checks: list[Check] = []
    try:
        return checks, _rates_of(guest, checks)
    except (OSError, RuntimeError) as error:
        name = _CHECKS[len(checks)]
        return [
            *checks,
            Check(name, State.FAILED, str(error), "do not migrate under KVM here, use the model (--backend model)"),
        ], None
    finally:
        guest.vm.close()


def _rates_of(guest: _ProbeGuest, checks: list[Check]) -> Rates:
    """Run the checks in a thread of their own, which is kicked out of a guest that does not come to its end."""

    def give_up(thread: threading.Thread) -> None:
        guest.give_up()
        _kick(thread)

    try:
        return in_signal_free_thread(lambda: _run_checks(guest, checks), "kvm-probe", _TIMEOUT_S, give_up)
    except TimeoutError as error:
        raise _ProbeGuestError("KVM_RUN does not return, not even when it is kicked") from error


def _kick(thread: threading.Thread) -> None:
    if thread.ident is not None and thread.is_alive():
        signal.pthread_kill(thread.ident, api.KICK)


def _run_checks(guest: _ProbeGuest, checks: list[Check]) -> Rates:
    """Adds the checks that hold to ``checks``.

    Raises:
        _ProbeGuestError, OSError: the next one does not.
    """
    every_page = np.arange(min(_MEMORY_PAGES, guest_code.MOST_ACCESSES))
    stores_per_s = _stores_per_s([guest.play(every_page) for _ in range(1 + _UNLOGGED_BATCHES)][1:], len(every_page))
    checks.append(Check("guest", State.OK, "runs 64-bit code at privilege level 3"))
    guest.vm.log_dirty_pages(True)
    granule_pages = _granule_pages(guest, every_page)
    checks.append(Check("ring granule", State.OK, _granule_words(guest.vm.ring_entries, granule_pages)))
    checks.append(Check("self-test", State.OK, _self_test(guest)))
    batches = [guest.play(every_page) for _ in range(_LOGGED_BATCHES)]
    full = [cycle for cycles in batches for cycle in cycles if cycle.full]
    empty = [guest.play(every_page[:0])[0].run_s for _ in range(_EMPTY_BATCHES)]
    kicks_s = _kick_times_s(guest)
    kick_s = float(np.median(kicks_s))
    checks.append(Check("kick", State.OK, f"{len(kicks_s)} of {_KICKS} kicks got the vCPU out of its guest"))
    return Rates(
        stores_per_s=stores_per_s,
        logged_stores_per_s=_stores_per_s(batches, len(every_page)),
        ring_entries=guest.vm.ring_entries,
        granule_pages=granule_pages,
        ring_run_s=float(np.median([cycle.run_s for cycle in full])),
        ring_harvest_s=float(np.median([cycle.harvest_s for cycle in full])),
        ring_reset_s=float(np.median([cycle.reset_s for cycle in full])),
        out_exit_s=float(np.median(empty)),
        kick_s=kick_s,
    )


def _stores_per_s(batches: list[list[_Cycle]], stores: int) -> float:
    return stores * len(batches) / sum(cycle.total_s for cycles in batches for cycle in cycles)


def _granule_pages(guest: _ProbeGuest, pages: NDArray[np.int64]) -> int:
    cycles = guest.play(pages)
    if not cycles[0].full:
        raise _ProbeGuestError(f"a ring of {guest.vm.ring_entries} entries was not full after {len(pages)} pages")
    return len(cycles[0].pages)


def _granule_words(entries: int, granule_pages: int) -> str:
    reserved = entries - granule_pages
    size = f"a ring of {entries} entries, the smallest, is full after {granule_pages} pages"
    # A ring that is larger than asked for says that the host keeps more in reserve, whatever it let through this time.
    if entries == _SMALLEST_RING_ENTRIES and reserved == RESERVED_ENTRIES:
        return f"{size}; {reserved} stay in reserve"
    return f"{size}; more than {RESERVED_ENTRIES} are kept in reserve (page-modification logging)"


def _self_test(guest: _ProbeGuest) -> str:
    """Compare what comes out of the ring with what the guest stored to; a line about it.

    Raises:
        _ProbeGuestError: it is not.
    """
    random = np.random.default_rng(0)
    once = random.permutation(_MEMORY_PAGES)[: _MEMORY_PAGES // 4]
    stores = random.permutation(np.concatenate([once, once[:100], once[:50]]))
    for what in ("stored to", "stored to once more, after the reset"):
        before = guest.counters.copy()
        cycles = guest.play(stores)
        _require_same(np.unique(np.concatenate([cycle.pages for cycle in cycles])), np.sort(once), f"pages {what}")
        counted = guest.counters - before
        _require_same(counted, np.bincount(stores, minlength=_MEMORY_PAGES), "stores counted in the pages")
    loads = guest.play(once, guest_code.LOADS)
    _require_same(np.concatenate([cycle.pages for cycle in loads]), once[:0], "pages that were only read")
    return f"{2 * len(stores):,} stores to {len(once)} pages: the log held just those, twice"


def _require_same(found: NDArray[np.integer], wanted: NDArray[np.integer], what: str) -> None:
    if found.shape != wanted.shape or (found != wanted).any():
        missing, extra = (len(np.setdiff1d(*pair)) for pair in ((wanted, found), (found, wanted)))
        raise _ProbeGuestError(f"{what}: not as they must be ({missing} missing, {extra} too many)")


def _kick_times_s(guest: _ProbeGuest) -> list[float]:
    """From each kick to the return of KVM_RUN; this thread's vCPU spins meanwhile.

    Raises:
        _ProbeGuestError: a kick did not arrive.
    """
    guest.memory[: len(_SPIN)] = np.frombuffer(_SPIN, dtype=np.uint8)
    _, system = guest.vm.registers(0)
    guest.vm.set_registers(0, bytes(Registers(rip=0, rcx=_SPINS, rflags=0x3002)), system)
    spinner, entering, kicked_s, over = threading.current_thread(), threading.Event(), [0.0], [False]

    def kick_each_time() -> None:  # a new thread blocks what the one that starts it does
        while entering.wait() and not over[0]:
            entering.clear()
            time.sleep(0.0005)  # by then the guest is running
            kicked_s[0] = time.perf_counter()
            guest.vcpu.leave_at_once(True)
            _kick(spinner)

    kicker = threading.Thread(target=kick_each_time, name="kvm-probe-kicker", daemon=True)
    kicker.start()
    times_s = []
    try:
        for count in range(_KICKS):
            entering.set()
            if not guest.enter():
                raise _ProbeGuestError(f"{_KICKS - count} of {_KICKS} kicks did not get the vCPU out of its guest")
            times_s.append(time.perf_counter() - kicked_s[0])
            guest.vcpu.leave_at_once(False)
    finally:
        over[0] = True
        entering.set()
        kicker.join()
    return times_s
