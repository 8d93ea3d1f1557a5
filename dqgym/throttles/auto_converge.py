"""Auto-converge: QEMU's time-based throttle, which slows all vCPUs alike, step by step.

The algorithm is the one of QEMU 10.0 (``migration/ram.c``: ``migration_trigger_throttle``, ``mig_throttle_guest_down``;
``system/cpu-throttle.c`` for the limits and the periodic sync), in its whole milliseconds and whole percents:

* At a dirty-log sync more than a second after the last evaluation, compare the bytes found dirty since then with the
  bytes sent since then. Syncs that come sooner are merged into the next evaluation.
* Dirty bytes above ``trigger_percent`` of sent bytes are a hit. Hits add up; a calm period does not clear them.
* Every second hit is a step: the first to ``initial_percent``, each later one ``increment_percent`` higher, never above
  ``max_percent``, never down again.

A vCPU throttled by p percent runs the share 1 - p / 100 of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import BASELINE_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import BoolArray, Facts, FloatArray, Telemetry, VmField
from dqgym.throttles.options import ThrottleOptions

LEAST_PERCENT, MOST_PERCENT = 1, 99
"""QEMU's CPU_THROTTLE_PCT_MIN and CPU_THROTTLE_PCT_MAX."""
PERIODIC_SYNC_MS = 5000.0
"""QEMU's CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS."""

IntArray = NDArray[np.int64]
ThrottlePercent = Annotated[int, Field(ge=LEAST_PERCENT, le=MOST_PERCENT)]


class AutoConvergeOptions(ThrottleOptions):
    """Parameters of the ladder; the defaults are QEMU's.

    Attributes:
        initial_percent: the first step (QEMU: cpu-throttle-initial).
        increment_percent: what each later step adds (cpu-throttle-increment).
        max_percent: where the ladder ends (max-cpu-throttle).
        trigger_percent: dirty bytes above this share of sent bytes are a hit (throttle-trigger-threshold).
        hits_per_step: hits that make a step.
        least_period_s: an evaluation covers more than this time.
        tail_slow: near the end add no more than would bring the dirty bytes to the trigger (cpu-throttle-tailslow).
        periodic_sync: from the second round on, sync when no sync was made between two 5 s ticks (QEMU 9.2 and later).
    """

    initial_percent: ThrottlePercent = 20
    increment_percent: ThrottlePercent = 10
    max_percent: ThrottlePercent = 99
    trigger_percent: Annotated[int, Field(ge=1, le=100)] = 50
    hits_per_step: Annotated[int, Field(ge=1)] = 2
    least_period_s: Annotated[float, Field(ge=0)] = 1.0
    tail_slow: bool = False
    periodic_sync: bool = False

    @model_validator(mode="after")
    def _ladder_goes_up(self) -> AutoConvergeOptions:
        if self.max_percent < self.initial_percent:
            raise ValueError(f"max_percent={self.max_percent} must not be below initial_percent={self.initial_percent}")
        return self


class AutoConverge:
    """QEMU's auto-converge for N migrations at a time."""

    def __init__(self, options: AutoConvergeOptions | None = None, name: str = "auto-converge") -> None:
        self.name = name
        self.control_interval: ControlInterval = BASELINE_INTERVAL
        self.options = options or AutoConvergeOptions()

    def reset(self, facts: Facts) -> None:
        """Start N new migrations: no throttle, no hits."""
        n = facts.present.shape[0]
        self._free = free_command(facts)
        self._percent = np.zeros(n, dtype=np.int64)
        self._hits = np.zeros(n, dtype=np.int64)
        self._evaluated: _SyncCounters | None = None
        self._periodic_sync = _PeriodicSync(n)

    def act(self, telemetry: Telemetry) -> Command:
        """One run-share cap for all vCPUs of a migration, lowered where a sync made a step."""
        now = _SyncCounters.of(telemetry)
        then = self._evaluated or now  # the first telemetry holds the sync of the setup
        due = now.sync_ms > then.sync_ms + self.options.least_period_s * 1000.0
        dirty_bytes = now.dirty_bytes - then.dirty_bytes
        trigger_bytes = np.floor((now.sent_bytes - then.sent_bytes) * self.options.trigger_percent / 100.0)

        hit = due & (dirty_bytes > trigger_bytes)
        self._hits += hit
        step = hit & (self._hits >= self.options.hits_per_step)
        self._hits[step] = 0
        self._percent[step] = stepped_percent(self._percent[step], dirty_bytes[step], trigger_bytes[step], self.options)
        self._evaluated = now.where(due, then)

        cap = np.float32(1.0) - self._percent.astype(np.float32)[:, None] / np.float32(100.0)
        return replace(
            self._free,
            run_share_cap=np.broadcast_to(cap, self._free.run_share_cap.shape).copy(),
            sync=self._periodic_sync.due(telemetry) if self.options.periodic_sync else self._free.sync,
        )


def stepped_percent(
    percent: IntArray, dirty_bytes: FloatArray, trigger_bytes: FloatArray, options: AutoConvergeOptions
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


@dataclass(frozen=True)
class _SyncCounters:
    """What stood on the counters at the last sync: [N] each."""

    sync_ms: FloatArray
    dirty_bytes: FloatArray
    sent_bytes: FloatArray

    @classmethod
    def of(cls, telemetry: Telemetry) -> _SyncCounters:
        return cls(
            sync_ms=_whole_ms(telemetry.per_vm(VmField.SYNC_TIME_S)),
            dirty_bytes=telemetry.per_vm(VmField.SYNCED_DIRTY_BYTES).copy(),
            sent_bytes=telemetry.per_vm(VmField.SYNCED_SENT_BYTES).copy(),
        )

    def where(self, mask: BoolArray, other: _SyncCounters) -> _SyncCounters:
        """These counters where the mask is true, the other ones elsewhere."""
        return _SyncCounters(
            sync_ms=np.where(mask, self.sync_ms, other.sync_ms),
            dirty_bytes=np.where(mask, self.dirty_bytes, other.dirty_bytes),
            sent_bytes=np.where(mask, self.sent_bytes, other.sent_bytes),
        )


class _PeriodicSync:
    """Asks for a sync at a 5 s tick that finds the sync count of the tick before; never in the first round."""

    def __init__(self, n: int) -> None:
        self._next_tick_ms = np.full(n, PERIODIC_SYNC_MS)
        self._syncs_at_tick = np.zeros(n)
        self._setup_syncs: FloatArray | None = None

    def due(self, telemetry: Telemetry) -> BoolArray:
        now_ms = _whole_ms(telemetry.per_vm(VmField.TIME_S))
        syncs = telemetry.per_vm(VmField.SYNCS)
        if self._setup_syncs is None:
            self._setup_syncs = syncs.copy()
        tick = now_ms >= self._next_tick_ms
        sync = tick & (syncs > self._setup_syncs) & (syncs == self._syncs_at_tick)
        self._syncs_at_tick = np.where(tick, syncs + sync, self._syncs_at_tick)
        self._next_tick_ms = np.where(tick, now_ms + PERIODIC_SYNC_MS, self._next_tick_ms)
        return sync


def _whole_ms(time_s: FloatArray) -> FloatArray:
    """QEMU's clock; it also absorbs what adding up intervals loses."""
    return np.rint(time_s * 1000.0)
