"""When QEMU decides that a migration does not converge: the trigger of auto-converge and of dirty limit.

``migration_trigger_throttle`` in QEMU 10.0's ``migration/ram.c``, in its whole milliseconds:

* At a dirty-log sync more than a second after the last evaluation, compare the bytes found dirty since then with the
  bytes sent since then. Syncs that come sooner are merged into the next evaluation.
* Dirty bytes above ``trigger_percent`` of sent bytes are a hit. Hits add up; a calm period does not clear them.
* Every second hit fires.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dqgym.arrays import BoolArray, FloatArray
from dqgym.telemetry.telemetry import Telemetry, VmField
from dqgym.throttles.options import Described, ThrottleOptions

HitsPerStep = Annotated[int, Field(ge=1), Described("hits that fire")]
LeastPeriod = Annotated[float, Field(ge=0), Described("an evaluation covers more than this time")]


class TriggerOptions(ThrottleOptions):
    """Parameters of the trigger; the defaults are QEMU's."""

    trigger_percent: Annotated[
        int,
        Field(ge=1, le=100),
        Described("dirty bytes above this share of sent bytes are a hit", qemu="throttle-trigger-threshold"),
    ] = 50
    hits_per_step: HitsPerStep = 2
    least_period_s: LeastPeriod = 1.0


class SyncTrigger:
    """The trigger for N migrations at a time.

    Attributes:
        dirty_bytes: [N] found dirty in the period that was evaluated last.
        trigger_bytes: [N] above which they are a hit.
    """

    def __init__(self, options: TriggerOptions) -> None:
        self._options = options
        self._hits: NDArray[np.int64] | None = None
        self._evaluated: _SyncCounters
        self.dirty_bytes: FloatArray
        self.trigger_bytes: FloatArray

    def fires(self, telemetry: Telemetry) -> BoolArray:
        """[N] where the last sync is the hit that makes a step."""
        now = _SyncCounters.of(telemetry)
        if self._hits is None:
            self._hits = np.zeros(len(now.sync_ms), dtype=np.int64)
            self._evaluated = now  # the first telemetry holds the sync of the setup
        then = self._evaluated
        due = now.sync_ms > then.sync_ms + self._options.least_period_s * 1000.0
        self.dirty_bytes = now.dirty_bytes - then.dirty_bytes
        self.trigger_bytes = np.floor((now.sent_bytes - then.sent_bytes) * self._options.trigger_percent / 100.0)
        hit: BoolArray = due & (self.dirty_bytes > self.trigger_bytes)
        self._hits += hit
        fires: BoolArray = hit & (self._hits >= self._options.hits_per_step)
        self._hits[fires] = 0
        self._evaluated = now.where(due, then)
        return fires


@dataclass(frozen=True)
class _SyncCounters:
    """The counters at the last sync: [N] each."""

    sync_ms: FloatArray
    dirty_bytes: FloatArray
    sent_bytes: FloatArray

    @classmethod
    def of(cls, telemetry: Telemetry) -> _SyncCounters:
        return cls(
            sync_ms=whole_ms(telemetry.per_vm(VmField.SYNC_TIME_S)),
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


def whole_ms(time_s: FloatArray) -> FloatArray:
    """QEMU's clock; it also absorbs what adding up intervals loses."""
    return np.rint(time_s * 1000.0)
