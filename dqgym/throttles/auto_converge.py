"""Auto-converge: QEMU's time-based throttle, which slows all vCPUs alike, step by step.

The algorithm is the one of QEMU 10.0 (``migration/ram.c``: ``mig_throttle_guest_down``; ``migration/cpu-throttle.c``
for the limits and the periodic sync), in its whole percents:

* When to act is decided by ``dqgym.throttles.qemu.trigger``: dirty-log syncs, a hit where too much was found dirty.
* Every second hit is a step: the first to ``initial_percent``, each later one ``increment_percent`` higher, never above
  ``max_percent``, never down again.

What older versions do differently is in ``dqgym.throttles.qemu.versions``.

A vCPU throttled by p percent runs the share 1 - p / 100 of the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from dqgym.arrays import BoolArray, FloatArray, IntArray
from dqgym.errors import BadInputError
from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import BASELINE_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField
from dqgym.throttles.options import Described
from dqgym.throttles.qemu.trigger import SyncTrigger, TriggerOptions, whole_ms
from dqgym.throttles.qemu.versions import NEWEST, Version, with_version

LEAST_PERCENT, MOST_PERCENT = 1, 99
"""QEMU's CPU_THROTTLE_PCT_MIN and CPU_THROTTLE_PCT_MAX."""
PERIODIC_SYNC_MS = 5000.0
"""QEMU's CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS."""

_Percent = Annotated[int, Field(ge=LEAST_PERCENT, le=MOST_PERCENT)]
InitialPercent = Annotated[_Percent, Described("the first step", qemu="cpu-throttle-initial")]
IncrementPercent = Annotated[_Percent, Described("what each later step adds", qemu="cpu-throttle-increment")]
TailSlow = Annotated[
    bool,
    Described("near the end add no more than would bring the dirty bytes to the trigger", qemu="cpu-throttle-tailslow"),
]
PeriodicSync = Annotated[
    bool, Described("from the second round on, sync when two 5 s ticks saw none (QEMU 9.2 and later)")
]


class LadderOptions(TriggerOptions):
    """Parameters of the ladder; the defaults are those of today's QEMU."""

    initial_percent: InitialPercent = 20
    increment_percent: IncrementPercent = 10
    max_percent: Annotated[_Percent, Described("where the ladder ends", qemu="max-cpu-throttle")] = 99
    tail_slow: TailSlow = False
    periodic_sync: PeriodicSync = True

    @model_validator(mode="after")
    def _ladder_goes_up(self) -> Self:
        if self.max_percent < self.initial_percent:
            raise BadInputError(
                f"max_percent={self.max_percent} must not be below initial_percent={self.initial_percent}"
            )
        return self


class AutoConvergeOptions(LadderOptions):
    """The ladder as a version of QEMU has it; options that are given count before those of the version."""

    qemu: Version = NEWEST

    @model_validator(mode="before")
    @classmethod
    def _of_version(cls, options: Any) -> Any:
        return with_version("auto-converge", options)


class AutoConverge:
    """QEMU's auto-converge for N migrations at a time."""

    def __init__(self, options: LadderOptions | None = None, name: str = "auto-converge") -> None:
        self.name = name
        self.control_interval: ControlInterval = BASELINE_INTERVAL
        self.options = options or AutoConvergeOptions()

    def reset(self, facts: Facts) -> None:
        """Start N new migrations: no throttle, no hits."""
        n = facts.present.shape[0]
        self._free = free_command(facts)
        self._percent = np.zeros(n, dtype=np.int64)
        self._command = self._free
        self._trigger = SyncTrigger(self.options)
        self._periodic_sync = _PeriodicSync(n)

    def act(self, telemetry: Telemetry) -> Command:
        """One run-share cap for all vCPUs of a migration, lowered where a sync made a step."""
        step = self._trigger.fires(telemetry)
        if step.any():
            self._raise_percent(step)
        if self.options.periodic_sync:
            sync = self._periodic_sync.due(telemetry)
            if sync.any():
                return replace(self._command, sync=sync)
        return self._command

    def _raise_percent(self, step: BoolArray) -> None:
        """One step where the mask is true; until the next one the command stays as it is."""
        dirty_bytes, trigger_bytes = self._trigger.dirty_bytes[step], self._trigger.trigger_bytes[step]
        self._percent[step] = stepped_percent(self._percent[step], dirty_bytes, trigger_bytes, self.options)
        cap = np.float32(1.0) - self._percent.astype(np.float32)[:, None] / np.float32(100.0)
        caps = np.broadcast_to(cap, self._free.run_share_cap.shape).copy()
        self._command = replace(self._free, run_share_cap=caps)


def stepped_percent(
    percent: IntArray, dirty_bytes: FloatArray, trigger_bytes: FloatArray, options: LadderOptions
) -> IntArray:
    """[K] the throttle percentage after a step up from ``percent`` (0: not throttled yet).

    As in QEMU the ideal share is a whole number of percents, rounded down. ``dirty_bytes`` is above ``trigger_bytes``.
    """
    increment = np.full_like(percent, options.increment_percent)
    if options.tail_slow:
        run_percent = 100 - percent
        ideal_percent = (run_percent * (trigger_bytes / dirty_bytes)).astype(np.int64)
        increment = np.minimum(run_percent - ideal_percent, increment)
    raised = np.minimum(percent + increment, options.max_percent)
    return np.where(percent == 0, options.initial_percent, raised).clip(LEAST_PERCENT, MOST_PERCENT)


class _PeriodicSync:
    """Asks for a sync at a 5 s tick that finds the sync count of the tick before; never in the first round."""

    def __init__(self, n: int) -> None:
        self._next_tick_ms = np.full(n, PERIODIC_SYNC_MS)
        self._syncs_at_tick = np.zeros(n)
        self._setup_syncs: FloatArray | None = None

    def due(self, telemetry: Telemetry) -> BoolArray:
        now_ms = whole_ms(telemetry.per_vm(VmField.TIME_S))
        syncs = telemetry.per_vm(VmField.SYNCS)
        if self._setup_syncs is None:
            self._setup_syncs = syncs.copy()
        tick: BoolArray = now_ms >= self._next_tick_ms
        if not tick.any():
            return tick
        sync = tick & (syncs > self._setup_syncs) & (syncs == self._syncs_at_tick)
        self._syncs_at_tick = np.where(tick, syncs + sync, self._syncs_at_tick)
        self._next_tick_ms = np.where(tick, now_ms + PERIODIC_SYNC_MS, self._next_tick_ms)
        return sync
