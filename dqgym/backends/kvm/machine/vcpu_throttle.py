"""All that may keep one vCPU out of its guest: its dirty quota, its run-share cap, its sleep at a full ring."""

from __future__ import annotations

import time

from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.page_log import PageLog
from dqgym.backends.kvm.machine.quota_abi import QuotaField
from dqgym.backends.kvm.machine.throttling import QuotaLedger, TimeSlices

QUOTA_LOOK_S = 0.01
"""A vCPU in debt looks this often whether the pool has paid (the reference scheme's quota interval)."""


class VcpuThrottle:
    """The throttle of one vCPU.

    Args:
        index: of the vCPU.
        ledger: the dirty quotas of all vCPUs.
        log: counts what comes out of the rings.
        quota_field: of kernels with the dirty-quota patches; None: the ring is the quota.

    Attributes:
        quota_exits: times that the vCPU had to wait for quota.
    """

    def __init__(self, index: int, ledger: QuotaLedger, log: PageLog, quota_field: QuotaField | None) -> None:
        self.quota_exits = 0
        self._index = index
        self._ledger = ledger
        self._log = log
        self._quota_field = quota_field
        self._slices = TimeSlices()
        self._ring_sleep_s = 0.0
        self._ring_wakes_s = 0.0
        self._first_writes = 0
        self._owes = False

    # --- called by others ---------------------------------------------------------------------------------------------

    def command(self, cap: float, ring_sleep_s: float, now_s: float, run_clock_s: float) -> None:
        """Run-share cap and sleep at a full ring from now on; the quota is the ledger's."""
        self._slices.command(cap, now_s, run_clock_s)
        self._ring_sleep_s = ring_sleep_s
        if ring_sleep_s == 0.0:
            self._ring_wakes_s = 0.0

    def charge_first_writes(self, now_s: float) -> None:
        """Charge what has come out of the ring so far to the limit in force; nothing where the kernel has quotas."""
        if self._quota_field is None:
            self._ledger.charge_up_to(self._index, self._log.first_writes[self._index] * PAGE_BYTES, now_s)

    @property
    def sleeps_at_full_ring(self) -> bool:
        """True in the sleep that follows a full ring."""
        return time.monotonic() < self._ring_wakes_s

    # --- in the vCPU's own thread -------------------------------------------------------------------------------------

    def wait_s(self, now_s: float, run_clock_s: float) -> float:
        """The time that the vCPU must stay out before anyone looks again; 0: it may run."""
        self._pay_first_writes(now_s)
        debt_s = self._ledger.wait_s(self._index, now_s) if self._owes else 0.0
        if self._owes and debt_s == 0.0:
            self._owes = False
        return max(
            self._slices.wait_s(now_s, run_clock_s),
            self._ring_wakes_s - now_s,
            min(debt_s, QUOTA_LOOK_S),
        )

    def before_entry(self) -> None:
        """Grant what the limit allows, where the kernel has quotas."""
        if self._quota_field is not None:
            self._quota_field.grant(self._ledger.limit(self._index))

    def is_quota_exit(self, reason: int) -> bool:
        """True for the exit of a vCPU that has used up what was granted."""
        return self._quota_field is not None and reason == self._quota_field.exit_reason

    def after_quota_exit(self, now_s: float) -> None:
        """Charge what was used up."""
        assert self._quota_field is not None
        self._ledger.charge(self._index, self._quota_field.used_bytes(), now_s)
        self._note_debt(now_s)

    def after_full_ring(self, now_s: float) -> None:
        """The ring was full and has been emptied: a commanded sleep begins."""
        self._ring_wakes_s = now_s + self._ring_sleep_s if self._ring_sleep_s > 0.0 else 0.0

    def _pay_first_writes(self, now_s: float) -> None:
        """After the ring was emptied, at its own exits or by others, see whether there is a debt."""
        first_writes = self._log.first_writes[self._index]
        if self._quota_field is None and first_writes != self._first_writes:
            self._first_writes = first_writes
            self.charge_first_writes(now_s)
            self._note_debt(now_s)

    def _note_debt(self, now_s: float) -> None:
        if not self._owes and self._ledger.wait_s(self._index, now_s) > 0.0:
            self._owes = True
            self.quota_exits += 1
