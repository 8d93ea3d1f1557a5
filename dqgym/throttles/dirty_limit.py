"""Dirty limit: QEMU's per-vCPU throttle over the dirty ring, with the sleep as its actuator.

The algorithm is that of QEMU 10.0 (``system/dirtylimit.c``, ``migration/ram.c``), in its whole MiB/s and microseconds:

* The limit, the same for every vCPU, starts at the second hit of the trigger that auto-converge uses, and stays.
* Once a period each vCPU's dirty rate over that period is compared with the limit. Within 25 MiB/s of it nothing
  changes (the dead band). Otherwise the sleep at each full ring grows or shrinks: where the two differ by more than
  half of the larger, by what would bring the rate to the limit in one step (``linear``), else by a tenth of the time in
  which the ring fills. A vCPU that dirtied nothing sleeps no more.
* That time is the ring's size over the highest rate that any vCPU of the process ever had. No sleep is longer than 99
  of it.

A vCPU that fills no ring (a reader) never sleeps. But the sleep is no rate: after it a whole ring is dirtied at full
speed, and a dirty-log sync waits for the sleepers, so a migration may not converge although the mean rate is low. Up to
QEMU 8.1 a sync ends the sleep instead (``dqgym.throttles.qemu.versions``), so none is longer than a period.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from dqgym.arrays import FloatArray, IntArray
from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import BASELINE_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField
from dqgym.throttles.options import Described
from dqgym.throttles.qemu.trigger import SyncTrigger, TriggerOptions
from dqgym.throttles.qemu.versions import NEWEST, Version, with_version
from dqgym.units import MIB

TOLERANCE_MIB_PER_S = 25
"""QEMU's DIRTYLIMIT_TOLERANCE_RANGE."""
LINEAR_ABOVE_PERCENT = 50
"""QEMU's DIRTYLIMIT_LINEAR_ADJUSTMENT_PCT."""
MOST_RING_FULL_TIMES = 99
"""QEMU's DIRTYLIMIT_THROTTLE_PCT_MAX."""


class DirtyLimitOptions(TriggerOptions):
    """Parameters of dirty limit; the defaults are QEMU's. The limit's is 1 MiB/s, which the dead band makes anything up
    to 26.

    ``bandwidth_share`` is what an operator who knows link and vCPUs would set: each vCPU has an equal part of it, in
    whole MiB/s of at least 1.
    """

    limit_mib_per_s: Annotated[
        int, Field(ge=1), Described("what each vCPU may dirty, in whole MiB/s", qemu="vcpu-dirty-limit")
    ] = 1
    bandwidth_share: Annotated[
        Annotated[float, Field(gt=0)] | None,
        Described("in its place: share of the configured bandwidth that the vCPUs may dirty together"),
    ] = None
    period_s: Annotated[
        float,
        Field(ge=0.001, le=1),
        Described("how often the rates are measured", qemu="x-vcpu-dirty-limit-period", qemu_scale=0.001),
    ] = 1.0
    kicks_wake: Annotated[
        bool, Described("a sync of the dirty log, each measurement's too, ends all sleeps (QEMU up to 8.1)")
    ] = False
    whole_mib: Annotated[bool, Described("a measured rate is whole MiB over the period (QEMU up to 8.1)")] = False
    qemu: Version = NEWEST

    @model_validator(mode="before")
    @classmethod
    def _of_version(cls, options: Any) -> Any:
        return with_version("dirty-limit", options)


class DirtyLimit:
    """QEMU's dirty limit for N migrations at a time."""

    def __init__(self, options: DirtyLimitOptions | None = None) -> None:
        self.name = "dirty-limit"
        self.control_interval: ControlInterval = BASELINE_INTERVAL
        self.options = options or DirtyLimitOptions()

    def reset(self, facts: Facts) -> None:
        """Start N new migrations: no limit yet."""
        n = facts.present.shape[0]
        self._free = free_command(facts)
        self._limit_mib_per_s = limits_mib_per_s(self.options, facts)
        self._ring_mib = facts.ring_bytes[:, None] / MIB
        self._trigger = SyncTrigger(self.options)
        self._limited = np.zeros(n, dtype=bool)
        self._measured_s = np.zeros(n)
        self._measured_bytes = np.zeros(facts.present.shape)
        self._highest_mib_per_s = np.zeros((n, 1))
        self._sleep_us = np.zeros(facts.present.shape)
        self._command = self._free

    def act(self, telemetry: Telemetry) -> Command:
        """The sleep of each vCPU at a full ring. The sleeps of migrations that have ended stay as they are."""
        interval_s, measured = telemetry.per_vm(VmField.INTERVAL_S), self._limited & ~telemetry.done
        np.add(self._measured_s, interval_s, out=self._measured_s, where=measured)
        dirtied = telemetry.per_vcpu(VcpuField.DIRTIED_BYTES)
        np.add(self._measured_bytes, dirtied, out=self._measured_bytes, where=measured[:, None])
        due = measured & (self._measured_s >= self.options.period_s - 1e-6)
        rows = np.flatnonzero(due)
        if not self.options.kicks_wake:  # The measurement ends with a sync, which waits until nobody sleeps.
            stalled_s = telemetry.vcpu[rows, VcpuField.STALLED_S]
            rows = rows[~(stalled_s >= 0.99 * interval_s[rows, None]).any(axis=1)]
        if len(rows) > 0:
            self._adjust(rows)
        self._limited |= self._trigger.fires(telemetry)
        if not self.options.kicks_wake:
            return self._command
        return replace(self._command, kicks_wake=self._limited.copy(), read_rings=due)

    def _adjust(self, rows: IntArray) -> None:
        """Set the sleeps anew where a period is over, and begin another; until then the command stays as it is."""
        mib, measured_s = self._measured_bytes[rows] / MIB, np.maximum(self._measured_s[rows], 1e-9)[:, None]
        rate = np.floor((np.floor(mib) if self.options.whole_mib else mib) / measured_s)
        highest = np.maximum(self._highest_mib_per_s[rows], rate.max(axis=1, keepdims=True))
        ring_full_us = np.floor(self._ring_mib[rows] * 1e6 / np.maximum(highest, 1.0))
        adjusted = adjusted_sleep_us(self._sleep_us[rows], rate, self._limit_mib_per_s[rows], ring_full_us)
        self._highest_mib_per_s[rows] = highest
        self._sleep_us[rows] = adjusted
        self._measured_s[rows] = 0.0
        self._measured_bytes[rows] = 0.0
        ring_sleep_s = self._command.ring_sleep_s.copy()
        ring_sleep_s[rows] = adjusted * 1e-6
        self._command = replace(self._free, ring_sleep_s=ring_sleep_s)


def limits_mib_per_s(options: DirtyLimitOptions, facts: Facts) -> FloatArray:
    """[N, 1] what each vCPU may dirty."""
    if options.bandwidth_share is None:
        return np.full((len(facts.present), 1), float(options.limit_mib_per_s))
    each = options.bandwidth_share * facts.bandwidth_bytes_per_s / facts.vcpus / MIB
    return np.maximum(np.floor(each), 1.0)[:, None]


def adjusted_sleep_us(
    sleep_us: FloatArray, rate_mib_per_s: FloatArray, limit_mib_per_s: int | FloatArray, ring_full_us: FloatArray
) -> FloatArray:
    """[N, V] the sleep at a full ring after a period with these dirty rates (``dirtylimit_set_throttle``).

    Args:
        sleep_us: [N, V] the sleep in that period.
        rate_mib_per_s: [N, V] whole MiB/s.
        limit_mib_per_s: what each vCPU may dirty, or [N, 1].
        ring_full_us: [N, 1] time in which a ring fills at the highest rate so far.
    """
    off = np.abs(limit_mib_per_s - rate_mib_per_s)
    percent = np.floor(off * 100.0 / np.maximum(rate_mib_per_s, limit_mib_per_s))
    linear_us = np.floor(ring_full_us * percent / np.maximum(100.0 - percent, 1.0))
    change_us = np.where(percent > LINEAR_ABOVE_PERCENT, linear_us, np.floor(ring_full_us / 10.0))
    changed = sleep_us + np.where(rate_mib_per_s > limit_mib_per_s, change_us, -change_us)
    changed = np.where(rate_mib_per_s == 0, 0.0, changed.clip(0.0, MOST_RING_FULL_TIMES * ring_full_us))
    return np.where(off <= TOLERANCE_MIB_PER_S, sleep_us, changed)
