"""The arithmetic of throttles: dirty quotas and time slices, and how long a vCPU must wait for them.

Plain bookkeeping over a clock that the caller reads: nothing here sleeps or knows of KVM.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from dqgym.model.parameters import TIMESLICE_S

FOREVER_S = 3600.0
"""The wait of a vCPU that may not run at all; whoever commands otherwise wakes it."""


class QuotaLedger:
    """Dirty quotas of all vCPUs: each account fills at its limit and is charged for what was dirtied.

    A vCPU pays afterwards: it dirties up to a granule (what its ring holds) unseen, is charged for it when it comes
    out, and stays out until its account is no longer in debt. So an account holds up to a granule, and a vCPU dirties
    at its limit in the mean, a granule at a time. What it leaves unclaimed beyond that is lost or, where quotas are
    shared, goes to a pool that pays the others' debts, first come first served. The pool holds at most a granule for
    each vCPU.

    Args:
        vcpus: how many.
        granule_bytes: what one vCPU dirties before anyone looks.
    """

    def __init__(self, vcpus: int, granule_bytes: int) -> None:
        self._lock = threading.Lock()
        self._limits = [float("inf")] * vcpus
        self._balances = [0.0] * vcpus
        self._filled_s = [0.0] * vcpus
        self._charged_bytes = [0] * vcpus
        self._granule_bytes = float(granule_bytes)
        self._pooled_bytes = 0.0
        self._shared = False

    def command(self, limits_bytes_per_s: Sequence[float], shared: bool, now_s: float) -> None:
        """New limits from now on; infinite for none, which also forgets a debt."""
        with self._lock:
            for vcpu, limit in enumerate(limits_bytes_per_s):
                self._fill(vcpu, now_s)
                self._limits[vcpu] = float(limit)
            self._shared = shared
            if not shared:
                self._pooled_bytes = 0.0

    def limit(self, vcpu: int) -> float:
        """The limit in force, bytes/s."""
        return self._limits[vcpu]

    def charge(self, vcpu: int, dirtied_bytes: int, now_s: float) -> None:
        """A vCPU has dirtied so much."""
        with self._lock:
            self._charge(vcpu, dirtied_bytes, now_s)

    def charge_up_to(self, vcpu: int, dirtied_bytes: int, now_s: float) -> None:
        """A vCPU has dirtied so much since it began: what this has not charged yet is charged, to the limit in force.

        Whoever gives a new limit calls it first, so that nobody pays for what was dirtied before.
        """
        with self._lock:
            self._charge(vcpu, max(dirtied_bytes - self._charged_bytes[vcpu], 0), now_s)
            self._charged_bytes[vcpu] = max(dirtied_bytes, self._charged_bytes[vcpu])

    def wait_s(self, vcpu: int, now_s: float) -> float:
        """The time that the vCPU must stay out at least, if nobody's pool helps; 0: it may run."""
        with self._lock:
            for each in range(len(self._limits)) if self._shared else (vcpu,):
                self._fill(each, now_s)
            owed = -self._balances[vcpu]
            if owed > 0.0 and self._pooled_bytes > 0.0:
                paid = min(owed, self._pooled_bytes)
                self._pooled_bytes -= paid
                self._balances[vcpu] += paid
                owed -= paid
            if owed <= 1e-6:
                return 0.0
            limit = self._limits[vcpu]
            return owed / limit if limit > 0.0 else FOREVER_S

    def _charge(self, vcpu: int, dirtied_bytes: int, now_s: float) -> None:
        self._fill(vcpu, now_s)
        if np.isfinite(self._limits[vcpu]):
            self._balances[vcpu] -= dirtied_bytes

    def _fill(self, vcpu: int, now_s: float) -> None:
        limit, elapsed_s = self._limits[vcpu], now_s - self._filled_s[vcpu]
        self._filled_s[vcpu] = now_s
        if not np.isfinite(limit):
            self._balances[vcpu] = 0.0
            return
        balance = self._balances[vcpu] + limit * elapsed_s
        unclaimed = balance - self._granule_bytes
        if unclaimed > 0.0 and self._shared:
            self._pooled_bytes = min(self._pooled_bytes + unclaimed, len(self._limits) * self._granule_bytes)
        self._balances[vcpu] = min(balance, self._granule_bytes)


class TimeSlices:
    """The run-share cap of one vCPU: asleep first, then a slice of 10 ms, in turns (QEMU: ``system/cpu-throttle.c``).

    A sleep is as long as the slice before it asks for, so that the share is right also where a slice ran over.
    """

    def __init__(self) -> None:
        self._cap = 1.0
        self._wakes_s = 0.0
        self._slice_began_run_s = 0.0

    def command(self, cap: float, now_s: float, run_s: float) -> None:
        """A new cap, 0 .. 1; ``run_s`` is how long the vCPU has run so far."""
        if cap == self._cap:
            return
        if self._cap in (0.0, 1.0) or cap == 1.0:
            self._begin_cycle(cap, TIMESLICE_S, now_s, run_s)
        self._cap = cap

    def wait_s(self, now_s: float, run_s: float) -> float:
        """The time that the vCPU must sleep; 0: it may run."""
        if self._cap >= 1.0:
            return 0.0
        if self._cap <= 0.0:
            return FOREVER_S
        ran_s = run_s - self._slice_began_run_s
        if ran_s >= TIMESLICE_S:
            self._begin_cycle(self._cap, ran_s, now_s, run_s)
        return max(self._wakes_s - now_s, 0.0)

    def _begin_cycle(self, cap: float, slice_s: float, now_s: float, run_s: float) -> None:
        self._slice_began_run_s = run_s
        self._wakes_s = now_s + (slice_s * (1.0 - cap) / cap if cap > 0.0 else FOREVER_S)
