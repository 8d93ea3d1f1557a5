"""The dirty quota of patched kernels: a field at the end of ``struct kvm_run`` that KVM counts down.

No released kernel has it, and its forms differ (public patch series "KVM: Dirty quota-based throttling", 2022 to v10,
February 2024). Mainline has since given the same numbers to other things, so a number proves nothing: the capability is
enabled on a virtual machine that is thrown away, which mainline refuses with EINVAL.

This path has run against a simulated kernel only (``tests/backends/kvm/simulated_kernel.py``), not on a patched one.
"""

from __future__ import annotations

import errno
import math
import mmap
import struct
from dataclasses import dataclass

from dqgym.backends.kvm.machine import api
from dqgym.backends.kvm.machine.api import PAGE_BYTES, KernelApi

FIELD_OFFSET = 2352
"""Of the field in ``struct kvm_run`` on x86-64: its size without the patches."""
_EXIT_OFFSET = 32
"""Of what an exit carries."""
QUOTA_INTERVAL_S = 0.01
"""A limit is granted in parts of what it allows in this time."""
_UNLIMITED_BYTES = 2**60


@dataclass(frozen=True)
class QuotaAbi:
    """One form of the patches.

    Attributes:
        name: of the version.
        capability: to enable on the virtual machine.
        exit_reason: of a vCPU that has used up its quota.
        counts_lifetime: the field is the number of pages that the vCPU may dirty in all its life, and the exit says how
            many it has; else it is the number of bytes that are left.
    """

    name: str
    capability: int
    exit_reason: int
    counts_lifetime: bool


ABIS = (
    QuotaAbi("v10 (2024)", capability=236, exit_reason=40, counts_lifetime=False),
    QuotaAbi("v9 (2023)", capability=228, exit_reason=38, counts_lifetime=False),
    QuotaAbi("v8 (2023)", capability=227, exit_reason=38, counts_lifetime=False),
    QuotaAbi("2022", capability=224, exit_reason=38, counts_lifetime=True),
)


def find_abi(kernel: KernelApi) -> QuotaAbi | None:
    """The form that this kernel has; None where it has none.

    Raises:
        OSError: KVM cannot be used at all.
    """
    system = kernel.open()
    try:
        return next((abi for abi in ABIS if _can_enable(kernel, system, abi)), None)
    finally:
        kernel.close(system)


def _can_enable(kernel: KernelApi, system: int, abi: QuotaAbi) -> bool:
    thrown_away = kernel.ioctl(system, api.CREATE_VM)
    try:
        api.enable_cap(kernel, thrown_away, abi.capability, 1)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY, errno.EPERM):
            raise
        return False
    finally:
        kernel.close(thrown_away)
    return True


class QuotaField:
    """The quota of one vCPU, between two entries into the guest.

    The guest is entered far more often than it uses up a grant. So a grant is not given twice: what was dirtied since
    the last charge counts against the next one, and all of it is charged when the vCPU has used it up.

    Args:
        abi: the kernel's form.
        run: the vCPU's run structure.
    """

    def __init__(self, abi: QuotaAbi, run: mmap.mmap | bytearray) -> None:
        self._abi = abi
        self._run = memoryview(run)
        self._granted_bytes = 0
        self._charged_pages = 0
        self._unlimited = False
        self._count_unknown = False

    @property
    def exit_reason(self) -> int:
        """Of a vCPU that has used up what was granted."""
        return self._abi.exit_reason

    def grant(self, limit_bytes_per_s: float) -> None:
        """Before each entry: allow what the limit allows in one quota interval since the last charge, a page at least.

        What was dirtied without a limit is forgotten when there is one again.
        """
        was_unlimited, self._unlimited = self._unlimited, math.isinf(limit_bytes_per_s)
        allowed = _UNLIMITED_BYTES if self._unlimited else int(limit_bytes_per_s * QUOTA_INTERVAL_S)
        allowed = max(allowed, PAGE_BYTES)
        if self._abi.counts_lifetime:
            self._count_unknown |= was_unlimited and not self._unlimited
            struct.pack_into("<Q", self._run, FIELD_OFFSET, self._charged_pages + allowed // PAGE_BYTES)
        else:
            used = 0 if was_unlimited else self._granted_bytes - self._bytes_left()
            self._granted_bytes = allowed
            struct.pack_into("<q", self._run, FIELD_OFFSET, allowed - used)

    def used_bytes(self) -> int:
        """The bytes that the vCPU dirtied since the last call; valid right after its exit. Overshoot counts.

        Where the kernel counts over the lifetime, the first exit after a time without a limit tells only how much was
        dirtied in it: 0.
        """
        if self._abi.counts_lifetime:
            pages = struct.unpack_from("<Q", self._run, _EXIT_OFFSET)[0]
            used, self._charged_pages = pages - self._charged_pages, pages
            was_unknown, self._count_unknown = self._count_unknown, False
            return 0 if was_unknown else int(used) * PAGE_BYTES
        left = self._bytes_left()
        used, self._granted_bytes = self._granted_bytes - left, left
        return used

    def _bytes_left(self) -> int:
        return int(struct.unpack_from("<q", self._run, FIELD_OFFSET)[0])
