"""Dirty quota: the reference scheme, which bounds what the vCPUs dirty by what the link carries.

The VM may dirty ``bandwidth / ratio``, shared equally among its vCPUs. Each control interval refreshes that from the
measured transfer rate. Quota that a vCPU leaves unclaimed in a quota interval (10 ms) goes to a common pool, first come
first served, which the backend carries out (``Command.share_unclaimed``). So a reader never waits, and the writers
together get the whole budget.

The scheme is that of the public RFC for QEMU (November 2022), repaired in four places. There, a vCPU that overshot
retried forever with unchanged arguments; the pool was credited with nanoseconds as if they were seconds, which made it
unlimited; the refresh of the limit forgot the ratio; and the number of vCPUs was used before it was set. Here, a
backend charges an overshoot to the quota that follows, the pool holds bytes, and every refresh divides by the ratio and
by the number of vCPUs that exist.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import BASELINE_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField
from dqgym.throttles.options import Described, ThrottleOptions


class DirtyQuotaOptions(ThrottleOptions):
    """Parameters of the reference scheme.

    The RFC's ratio is 2; the cover letter's migration times fit 1.89. Its bandwidth before the first measurement is
    1 Gbit/s.
    """

    ratio: Annotated[float, Field(gt=0), Described("bandwidth over the rate at which the VM may dirty")] = 1.89
    assumed_bandwidth_bytes_per_s: Annotated[
        float, Field(gt=0), Described("the bandwidth before the first measurement")
    ] = 1e9 / 8


class DirtyQuota:
    """The reference scheme of dirty quota for N migrations at a time."""

    def __init__(self, options: DirtyQuotaOptions | None = None) -> None:
        self.name = "dirty-quota"
        self.control_interval: ControlInterval = BASELINE_INTERVAL
        self.options = options or DirtyQuotaOptions()

    def reset(self, facts: Facts) -> None:
        """Start N new migrations."""
        n = facts.present.shape[0]
        self._facts = facts
        self._pooled = replace(free_command(facts), share_unclaimed=np.ones(n, dtype=bool))
        self._bandwidth_bytes_per_s = np.full(n, self.options.assumed_bandwidth_bytes_per_s)

    def act(self, telemetry: Telemetry) -> Command:
        """The same dirty-rate limit for every vCPU of a migration."""
        measured = telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S)
        is_measured = (telemetry.per_vm(VmField.INTERVAL_S) > 0) & np.isfinite(measured)
        self._bandwidth_bytes_per_s = np.where(is_measured, measured, self._bandwidth_bytes_per_s)
        share = self._bandwidth_bytes_per_s / (self.options.ratio * self._facts.vcpus)
        limit = np.broadcast_to(share.astype(np.float32)[:, None], self._facts.present.shape).copy()
        return replace(self._pooled, dirty_limit_bytes_per_s=limit)
