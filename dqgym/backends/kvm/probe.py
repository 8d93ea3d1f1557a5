"""What this host offers for migrations under KVM: in a moment (``require_kvm``), or tried out with a guest (``probe``).

The guest of the probe has 8 MiB and lives for less than a second, in a thread that blocks all signals; nothing is
changed on the host, and nothing is left behind.
"""

from __future__ import annotations

import errno
import mmap
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqgym.backends.kvm import api, guest
from dqgym.backends.kvm.api import PAGE_BYTES, KernelApi, Registers
from dqgym.backends.kvm.dirty_quota import find_abi
from dqgym.backends.kvm.ring import RESERVED_ENTRIES, RING_ENTRY
from dqgym.backends.kvm.vm import Vm

_CAP_NR_VCPUS = 9
_SMALLEST_RING_ENTRIES = PAGE_BYTES // RING_ENTRY.itemsize
_TRIAL_PAGES = 2048
_TRIAL_TIMEOUT_S = 10.0
"""The trial takes a tenth of it; what is not back by then is kicked out of the guest."""
_MOST_CYCLES = 200
"""The longest batch fills the smallest ring eleven times."""
_EMPTY_BATCHES, _UNLOGGED_BATCHES, _LOGGED_BATCHES, _KICKS = 200, 20, 5, 50
_TRIAL_CHECKS = ("guest", "ring granule", "self-test", "kick")
_SPIN = bytes.fromhex("48ffc9 75fb e610")
"""again: ``dec rcx; jnz again; out 16, al``: runs until it is kicked, but not for ever."""
_SPINS = 2 * 10**10

_NO_DEVICE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)
_NO_ACCESS = (errno.EACCES, errno.EPERM)
_INSTEAD = "or use the model (--backend model)"


class KvmUnavailableError(RuntimeError):
    """This host cannot run migrations under KVM; the message says what is missing and what to do about it."""


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    MISSING = "missing"
    NOT_NEEDED = "not needed"
    FAILED = "failed"
    """It is there, but does not do what a migration needs."""


@dataclass(frozen=True)
class Check:
    """One thing that a host offers or lacks.

    Attributes:
        name: of the thing.
        state: how it came out.
        detail: what was found.
        remedy: what to do about it, where something is missing or has failed.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""

    @property
    def holds(self) -> bool:
        """Whether migrations can run for all that this check says."""
        return self.state in (State.OK, State.NOT_NEEDED)

    @property
    def line(self) -> str:
        """What is wrong and what to do about it."""
        return f"{self.detail}: {self.remedy}" if self.remedy else self.detail


@dataclass(frozen=True)
class Rates:
    """What the host measured in one run of the probe.

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


@dataclass(frozen=True)
class ProbeReport:
    """What a host offers.

    Attributes:
        checks: in the order in which each needs those before it; they end with the first that does not hold.
        rates: None where the trial did not come to them.
    """

    checks: tuple[Check, ...]
    rates: Rates | None

    @property
    def usable(self) -> bool:
        """Whether migrations can run on this host."""
        return all(check.holds for check in self.checks)

    @property
    def problem(self) -> str | None:
        """What is wrong and what to do about it, in one line."""
        return next((check.line for check in self.checks if not check.holds), None)

    def document(self) -> dict[str, Any]:
        """As JSON: names and words as in this module, times in seconds."""
        return {
            "usable": self.usable,
            "problem": self.problem,
            "checks": [asdict(check) for check in self.checks],
            "rates": asdict(self.rates) if self.rates is not None else None,
        }


def require_kvm(kernel: KernelApi | None = None) -> None:
    """Make sure that migrations can run here, as far as a millisecond can tell.

    Args:
        kernel: whom to ask; None: the one that this process runs on.

    Raises:
        KvmUnavailableError: something is missing.
    """
    problem = kvm_problem(kernel)
    if problem is not None:
        raise KvmUnavailableError(problem)


def kvm_problem(kernel: KernelApi | None = None) -> str | None:
    """The message of the error that ``require_kvm`` raises; None where it raises none."""
    return ProbeReport(_quick_checks(kernel), None).problem


def probe(kernel: KernelApi | None = None) -> ProbeReport:
    """Look at all that this host offers, and try it out; takes a second or so.

    Args:
        kernel: whom to ask; None: the one that this process runs on.
    """
    checks = _quick_checks(kernel)
    if not checks[-1].holds:
        return ProbeReport(checks, None)
    kernel = kernel or api.Kernel()
    trial_checks, rates = _try_out(kernel)
    checks = (*checks, _module_check(), _vcpus_check(kernel), *trial_checks)
    if checks[-1].holds:
        checks += (_quota_check(kernel),)
    return ProbeReport(checks, rates)


# --- what can be asked for --------------------------------------------------------------------------------------------


def _quick_checks(kernel: KernelApi | None) -> tuple[Check, ...]:
    """What ``require_kvm`` asks for, up to the first that is missing."""
    host = _host_check()
    if not host.holds:
        return (host,)
    kernel = kernel or api.Kernel()
    try:
        system = kernel.open()
    except OSError as error:
        return (host, *_refused_checks(error))
    try:
        return _up_to_the_first_fault(
            host,
            Check("device", State.OK, api.DEVICE),
            Check("permission", State.OK, "this user may read and write it"),
            _version_check(kernel, system),
            _ring_check(kernel, system),
            _immediate_exit_check(kernel, system),
        )
    finally:
        kernel.close(system)


def _up_to_the_first_fault(*checks: Check) -> tuple[Check, ...]:
    faults = [index for index, check in enumerate(checks) if not check.holds]
    return checks[: faults[0] + 1] if faults else checks


def _host_check() -> Check:
    system, processor = platform.system(), platform.machine()
    found = f"{system} on {processor}"
    if system == "Linux" and processor == "x86_64" and sys.maxsize > 2**32:
        return Check("host", State.OK, found)
    return Check("host", State.MISSING, f"{found} is not 64-bit Linux on x86-64", f"use such a host, {_INSTEAD}")


def _refused_checks(error: OSError) -> tuple[Check, ...]:
    """What it means that /dev/kvm cannot be opened."""
    if error.errno in _NO_DEVICE:
        there = "there is no" if error.errno == errno.ENOENT else "nothing is behind"
        return (Check("device", State.MISSING, f"{there} {api.DEVICE}", f"{_device_remedy()}, {_INSTEAD}"),)
    device = Check("device", State.OK, api.DEVICE)
    if error.errno in _NO_ACCESS:
        detail = f"this user may not read and write {api.DEVICE}"
        return device, Check("permission", State.MISSING, detail, f"{_permission_remedy(error)}, {_INSTEAD}")
    detail = f"{api.DEVICE} cannot be opened ({os.strerror(error.errno or 0)})"
    return device, Check("permission", State.FAILED, detail, "look into the kernel's log (sudo dmesg)")


def _device_remedy() -> str:
    if in_container():
        return "start the container with --device /dev/kvm, on a host that has it"
    flags = cpu_flags()
    if not flags & {"vmx", "svm"}:
        where = "the host of this virtual machine (nested virtualisation)" if "hypervisor" in flags else "the firmware"
        return f"the processor shows neither VT-x nor AMD-V, turn it on in {where}"
    return f"load the kernel module (sudo modprobe {'kvm_intel' if 'vmx' in flags else 'kvm_amd'})"


def _permission_remedy(error: OSError) -> str:
    if in_container() or error.errno == errno.EPERM:  # no access mode forbids by EPERM, a container's device list does
        return "start the container with --device /dev/kvm, and as a user who may use it"
    return "join its group (sudo usermod -aG kvm $USER) and log in again"


def _version_check(kernel: KernelApi, system: int) -> Check:
    version = kernel.ioctl(system, api.GET_API_VERSION)
    if version == api.API_VERSION:
        return Check("KVM API", State.OK, f"version {version}")
    return Check(
        "KVM API", State.MISSING, f"KVM has API version {version}, not {api.API_VERSION}", _newer_linux("5.11")
    )


def _ring_check(kernel: KernelApi, system: int) -> Check:
    most_bytes = max(
        kernel.ioctl(system, api.CHECK_EXTENSION, cap)
        for cap in (api.CAP_DIRTY_LOG_RING, api.CAP_DIRTY_LOG_RING_ACQ_REL)
    )
    if most_bytes > 0:
        return Check("dirty ring", State.OK, f"up to {most_bytes // RING_ENTRY.itemsize:,} entries for each vCPU")
    remedy = f"{_newer_linux('5.11')}, built with CONFIG_HAVE_KVM_DIRTY_RING"
    return Check("dirty ring", State.MISSING, "KVM has no dirty ring", f"{remedy}, {_INSTEAD}")


def _immediate_exit_check(kernel: KernelApi, system: int) -> Check:
    if kernel.ioctl(system, api.CHECK_EXTENSION, api.CAP_IMMEDIATE_EXIT) > 0:
        return Check("immediate exit", State.OK, "a vCPU can be kept from entering its guest")
    return Check("immediate exit", State.MISSING, "KVM cannot leave a guest immediately", _newer_linux("4.13"))


def _newer_linux(release: str) -> str:
    return f"use Linux {release} or later (this is {platform.release()})"


def _module_check() -> Check:
    modules = kvm_modules()
    return Check("kernel module", State.OK, ", ".join(modules) if modules else "built into the kernel")


def _vcpus_check(kernel: KernelApi) -> Check:
    system = kernel.open()
    try:
        recommended = kernel.ioctl(system, api.CHECK_EXTENSION, _CAP_NR_VCPUS)
        most = kernel.ioctl(system, api.CHECK_EXTENSION, api.CAP_MAX_VCPUS)
    finally:
        kernel.close(system)
    return Check("vCPUs", State.OK, f"{recommended} recommended, {most or recommended} at most")


def _quota_check(kernel: KernelApi) -> Check:
    abi = find_abi(kernel)
    if abi is None:
        return Check("dirty-quota patches", State.NOT_NEEDED, "none: the dirty ring serves as the quota")
    return Check("dirty-quota patches", State.OK, f"{abi.name}; dqgym has not yet been run on such a kernel")


def cpu_flags() -> frozenset[str]:
    """What the processor says of itself; empty where nobody knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), []))


def in_container() -> bool:
    """Whether this is the inside of a Docker or Podman container."""
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def kvm_modules() -> list[str]:
    """The modules that make KVM work on this processor."""
    return sorted(path.name for path in Path("/sys/module").glob("kvm_*"))


# --- what must be tried out -------------------------------------------------------------------------------------------


class _TrialError(RuntimeError):
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


class _Trial:
    """A guest with one vCPU and the smallest ring; all but ``give_up`` is for a thread that blocks all signals."""

    def __init__(self, kernel: KernelApi) -> None:
        memory, platform_pages = (
            np.frombuffer(mmap.mmap(-1, -(-size // PAGE_BYTES) * PAGE_BYTES), dtype=np.uint8)
            for size in (_TRIAL_PAGES * PAGE_BYTES, guest.platform_bytes(1))
        )
        image = guest.new_platform(memory.nbytes, 1)
        platform_pages[: len(image)] = np.frombuffer(image, dtype=np.uint8)
        self._kernel = kernel
        self._platform = platform_pages
        self._given_up = False
        self.memory = memory
        self.counters = memory.view(np.int64)[:: PAGE_BYTES // 8]
        self.vm = Vm(kernel, memory, platform_pages, 1, _SMALLEST_RING_ENTRIES)
        self.vcpu = self.vm.vcpus[0]

    def give_up(self) -> None:
        """Let the guest not be entered any more; whoever calls it kicks the thread that is in it."""
        self._given_up = True
        self.vcpu.leave_at_once(True)

    def play(self, pages: NDArray[np.integer], kind: int = guest.STORES) -> list[_Cycle]:
        """Let the guest play a batch to its end, and empty its ring at each exit."""
        guest.write_batch(self._platform, 0, pages.astype(np.uint32), kind)
        cycles = [self._cycle()]
        while cycles[-1].full:
            if len(cycles) == _MOST_CYCLES:
                raise _TrialError(f"the ring was full {_MOST_CYCLES} times, and the guest not done")
            cycles.append(self._cycle())
        return cycles

    def enter(self) -> int:
        """KVM_RUN: 0, or EINTR after a kick, which is taken off the thread."""
        number = self._kernel.run(self.vcpu.descriptor)
        if number in api.INTERRUPTED:
            api.consume_kick()
            if self._given_up:
                raise _TrialError(f"the guest was not done after {_TRIAL_TIMEOUT_S:g} s")
        elif number:
            raise _TrialError(f"KVM_RUN: {os.strerror(number)}")
        return number

    def _cycle(self) -> _Cycle:
        began_s = time.perf_counter()
        while self.enter():
            pass
        ran_s = time.perf_counter()
        if self.vcpu.exit_reason not in (api.EXIT_IO, api.EXIT_DIRTY_RING_FULL):
            raise _TrialError(f"the guest was left with exit reason {self.vcpu.exit_reason}")
        pages = self.vcpu.ring.harvest()
        harvested_s = time.perf_counter()
        protected = self.vm.reset_rings()
        reset_s = time.perf_counter()
        if protected != len(pages):
            raise _TrialError(f"the reset protected {protected} pages of {len(pages)}")
        return _Cycle(
            full=self.vcpu.exit_reason == api.EXIT_DIRTY_RING_FULL,
            pages=pages,
            run_s=ran_s - began_s,
            harvest_s=harvested_s - ran_s,
            reset_s=reset_s - harvested_s,
        )


def _try_out(kernel: KernelApi) -> tuple[list[Check], Rates | None]:
    """The checks that need a guest, up to the first that fails."""
    try:
        trial = _Trial(kernel)
    except OSError as error:
        is_taken = error.errno == errno.EBUSY
        remedy = "end other hypervisors (VirtualBox, VMware)" if is_taken else "look into the kernel's log (sudo dmesg)"
        return [Check("virtual machine", State.FAILED, f"KVM makes no virtual machine ({error})", remedy)], None
    checks: list[Check] = []
    try:
        return checks, _apart(lambda: _run_trial(trial, checks), trial.give_up)
    except (OSError, RuntimeError) as error:
        name = _TRIAL_CHECKS[len(checks)]
        return [
            *checks,
            Check(name, State.FAILED, str(error), "do not migrate under KVM here, use the model (--backend model)"),
        ], None
    finally:
        trial.vm.close()


def _apart(work: Callable[[], Rates], give_up: Callable[[], None]) -> Rates:
    """Do the work in a thread that blocks all signals; what it raises is raised here."""
    results: list[Rates] = []
    errors: list[BaseException] = []

    def main() -> None:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=main, name="kvm-probe", daemon=True)
    thread.start()
    thread.join(_TRIAL_TIMEOUT_S)
    if thread.is_alive():
        give_up()
        _kick(thread)
        thread.join(1.0)
    if errors:
        raise errors[0]
    if not results:
        raise _TrialError("KVM_RUN does not return, not even when it is kicked")
    return results[0]


def _kick(thread: threading.Thread) -> None:
    if thread.ident is not None and thread.is_alive():
        signal.pthread_kill(thread.ident, api.KICK)


def _run_trial(trial: _Trial, checks: list[Check]) -> Rates:
    """Adds the checks that hold to ``checks``.

    Raises:
        _TrialError, OSError: the next one does not.
    """
    every_page = np.arange(min(_TRIAL_PAGES, guest.MOST_ACCESSES))
    stores_per_s = _stores_per_s([trial.play(every_page) for _ in range(1 + _UNLOGGED_BATCHES)][1:], len(every_page))
    checks.append(Check("guest", State.OK, "runs 64-bit code at privilege level 3"))
    trial.vm.log_dirty_pages(True)
    granule_pages = _granule_pages(trial, every_page)
    checks.append(Check("ring granule", State.OK, _granule_words(trial.vm.ring_entries, granule_pages)))
    checks.append(Check("self-test", State.OK, _self_test(trial)))
    batches = [trial.play(every_page) for _ in range(_LOGGED_BATCHES)]
    full = [cycle for cycles in batches for cycle in cycles if cycle.full]
    empty = [trial.play(every_page[:0])[0].run_s for _ in range(_EMPTY_BATCHES)]
    kicks_s = _kick_times_s(trial)
    kick_s = float(np.median(kicks_s))
    checks.append(Check("kick", State.OK, f"{len(kicks_s)} of {_KICKS} kicks got the vCPU out of its guest"))
    return Rates(
        stores_per_s=stores_per_s,
        logged_stores_per_s=_stores_per_s(batches, len(every_page)),
        ring_entries=trial.vm.ring_entries,
        granule_pages=granule_pages,
        ring_run_s=float(np.median([cycle.run_s for cycle in full])),
        ring_harvest_s=float(np.median([cycle.harvest_s for cycle in full])),
        ring_reset_s=float(np.median([cycle.reset_s for cycle in full])),
        out_exit_s=float(np.median(empty)),
        kick_s=kick_s,
    )


def _stores_per_s(batches: list[list[_Cycle]], stores: int) -> float:
    return stores * len(batches) / sum(cycle.total_s for cycles in batches for cycle in cycles)


def _granule_pages(trial: _Trial, pages: NDArray[np.int64]) -> int:
    cycles = trial.play(pages)
    if not cycles[0].full:
        raise _TrialError(f"a ring of {trial.vm.ring_entries} entries was not full after {len(pages)} pages")
    return len(cycles[0].pages)


def _granule_words(entries: int, granule_pages: int) -> str:
    reserved = entries - granule_pages
    size = f"a ring of {entries} entries, the smallest, is full after {granule_pages} pages"
    # A ring that is larger than asked for says that the host keeps more in reserve, whatever it let through this time.
    if entries == _SMALLEST_RING_ENTRIES and reserved == RESERVED_ENTRIES:
        return f"{size}; {reserved} stay in reserve"
    return f"{size}; more than {RESERVED_ENTRIES} are kept in reserve (page-modification logging)"


def _self_test(trial: _Trial) -> str:
    """Whether what comes out of the ring is what the guest stored to.

    Raises:
        _TrialError: it is not.
    """
    random = np.random.default_rng(0)
    once = random.permutation(_TRIAL_PAGES)[: _TRIAL_PAGES // 4]
    stores = random.permutation(np.concatenate([once, once[:100], once[:50]]))
    for what in ("stored to", "stored to once more, after the reset"):
        before = trial.counters.copy()
        cycles = trial.play(stores)
        _require_same(np.unique(np.concatenate([cycle.pages for cycle in cycles])), np.sort(once), f"pages {what}")
        counted = trial.counters - before
        _require_same(counted, np.bincount(stores, minlength=_TRIAL_PAGES), "stores counted in the pages")
    loads = trial.play(once, guest.LOADS)
    _require_same(np.concatenate([cycle.pages for cycle in loads]), once[:0], "pages that were only read")
    return f"{2 * len(stores):,} stores to {len(once)} pages: the log held just those, twice"


def _require_same(found: NDArray[np.integer], wanted: NDArray[np.integer], what: str) -> None:
    if found.shape != wanted.shape or (found != wanted).any():
        missing, extra = (len(np.setdiff1d(*pair)) for pair in ((wanted, found), (found, wanted)))
        raise _TrialError(f"{what}: not as they must be ({missing} missing, {extra} too many)")


def _kick_times_s(trial: _Trial) -> list[float]:
    """From each kick to the return of KVM_RUN; this thread's vCPU spins meanwhile.

    Raises:
        _TrialError: a kick did not arrive.
    """
    trial.memory[: len(_SPIN)] = np.frombuffer(_SPIN, dtype=np.uint8)
    _, system = trial.vm.registers(0)
    trial.vm.set_registers(0, bytes(Registers(rip=0, rcx=_SPINS, rflags=0x3002)), system)
    spinner, entering, kicked_s, over = threading.current_thread(), threading.Event(), [0.0], [False]

    def kick_each_time() -> None:  # a new thread blocks what the one that starts it does
        while entering.wait() and not over[0]:
            entering.clear()
            time.sleep(0.0005)  # by then the guest is running
            kicked_s[0] = time.perf_counter()
            trial.vcpu.leave_at_once(True)
            _kick(spinner)

    kicker = threading.Thread(target=kick_each_time, name="kvm-probe-kicker", daemon=True)
    kicker.start()
    times_s = []
    try:
        for count in range(_KICKS):
            entering.set()
            if not trial.enter():
                raise _TrialError(f"{_KICKS - count} of {_KICKS} kicks did not get the vCPU out of its guest")
            times_s.append(time.perf_counter() - kicked_s[0])
            trial.vcpu.leave_at_once(False)
    finally:
        over[0] = True
        entering.set()
        kicker.join()
    return times_s


def describe_time(seconds: float) -> str:
    """A short time in words: ``35 µs``, ``2.2 ms``."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def rate_lines(rates: Rates) -> Iterable[tuple[str, str]]:
    """What was measured and its value, in words."""
    ring = f"ring of {rates.ring_entries} entries"
    yield "stores per second, not logged", f"{rates.stores_per_s:,.0f}"
    yield "stores per second, each to a clean page", f"{rates.logged_stores_per_s:,.0f}"
    yield f"{ring}: to fill it in the guest", describe_time(rates.ring_run_s)
    yield f"{ring}: to empty it", describe_time(rates.ring_harvest_s)
    yield f"{ring}: to protect its pages again", describe_time(rates.ring_reset_s)
    yield "one exit to user space and back", describe_time(rates.out_exit_s)
    yield "a kick, until the vCPU is out of its guest", describe_time(rates.kick_s)
