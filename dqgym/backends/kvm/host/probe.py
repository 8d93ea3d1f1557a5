"""Looks what this host offers: in a moment (``require_kvm``), or by running a guest (``probe``).

Nothing is changed on the host, and nothing is left behind.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dqgym.backends.kvm.host.probe_checks import Check, State
from dqgym.backends.kvm.host.probe_guest import Rates, check_guest
from dqgym.backends.kvm.machine import api
from dqgym.backends.kvm.machine.api import KernelApi
from dqgym.backends.kvm.machine.quota_abi import find_abi
from dqgym.backends.kvm.machine.ring import RING_ENTRY
from dqgym.errors import RunFailedError

_CAP_NR_VCPUS = 9
_NO_DEVICE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)
_NO_ACCESS = (errno.EACCES, errno.EPERM)
_INSTEAD = "or use the model (--backend model)"


class KvmUnavailableError(RunFailedError):
    """This host cannot run migrations under KVM; the message says what is missing and what to do about it."""


@dataclass(frozen=True)
class ProbeReport:
    """The checks of a host, and its rates.

    Attributes:
        checks: in the order in which each needs those before it; they end with the first that does not hold.
        rates: None where the guest did not come to them.
    """

    checks: tuple[Check, ...]
    rates: Rates | None

    @property
    def usable(self) -> bool:
        """True where migrations can run on this host."""
        return all(check.holds for check in self.checks)

    @property
    def problem(self) -> str | None:
        """The fault and its remedy, in one line."""
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
    guest_checks, rates = check_guest(kernel)
    checks = (*checks, _module_check(), _vcpus_check(kernel), *guest_checks)
    if checks[-1].holds:
        checks += (_quota_check(kernel),)
    return ProbeReport(checks, rates)


# --- what can be asked for --------------------------------------------------------------------------------------------


def _quick_checks(kernel: KernelApi | None) -> tuple[Check, ...]:
    """The checks of ``require_kvm``, up to the first that fails."""
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
    """The checks to show where /dev/kvm cannot be opened."""
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
    """The processor's flags; empty where nobody knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), []))


def in_container() -> bool:
    """True inside a Docker or Podman container."""
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def kvm_modules() -> list[str]:
    """The modules that make KVM work on this processor."""
    return sorted(path.name for path in Path("/sys/module").glob("kvm_*"))


def describe_time(seconds: float) -> str:
    """A short time in words: ``35 µs``, ``2.2 ms``."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def rate_lines(rates: Rates) -> Iterable[tuple[str, str]]:
    """Name and value of each rate, in words."""
    ring = f"ring of {rates.ring_entries} entries"
    yield "stores per second, not logged", f"{rates.stores_per_s:,.0f}"
    yield "stores per second, each to a clean page", f"{rates.logged_stores_per_s:,.0f}"
    yield f"{ring}: to fill it in the guest", describe_time(rates.ring_run_s)
    yield f"{ring}: to empty it", describe_time(rates.ring_harvest_s)
    yield f"{ring}: to protect its pages again", describe_time(rates.ring_reset_s)
    yield "one exit to user space and back", describe_time(rates.out_exit_s)
    yield "a kick, until the vCPU is out of its guest", describe_time(rates.kick_s)
