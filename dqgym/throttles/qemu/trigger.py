"""When QEMU decides that a migration does not converge: the trigger of auto-converge and of dirty limit.

``migration_trigger_throttle`` in QEMU 10.0's ``migration/ram.c``, in its whole milliseconds:

* At a dirty-log sync more than a second after the last evaluation, compare the bytes found dirty since then with the
  bytes sent since then. Syncs that come sooner are merged into the next evaluation.
* Dirty bytes above ``trigger_percent`` of sent bytes are a hit. Hits add up; a calm period does not clear them.
* Every second hit fires.
"""

from __future__ import annotations

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
    """The trigger for N migrations at a time. Few have a sync to evaluate at a time: only these are computed.

    Attributes:
        dirty_bytes: [N] found dirty in the period that was evaluated last.
        trigger_bytes: [N] above which they are a hit.
    """

    def __init__(self, options: TriggerOptions) -> None:
        self._options = options
        self._hits: NDArray[np.int64] | None = None
        self._next_ms: FloatArray
        """A sync later than this is evaluated."""
        self._evaluated_dirty: FloatArray
        self._evaluated_sent: FloatArray
        self.dirty_bytes: FloatArray
        self.trigger_bytes: FloatArray

    def fires(self, telemetry: Telemetry) -> BoolArray:
        """[N] where the last sync is the hit that makes a step."""
        sync_ms = whole_ms(telemetry.per_vm(VmField.SYNC_TIME_S))
        hits = self._begun(telemetry, sync_ms) if self._hits is None else self._hits
        fires = np.zeros(len(hits), dtype=bool)
        due = np.flatnonzero(sync_ms > self._next_ms)
        if len(due) == 0:
            return fires
        dirty = telemetry.per_vm(VmField.SYNCED_DIRTY_BYTES)[due]
        sent = telemetry.per_vm(VmField.SYNCED_SENT_BYTES)[due]
        found = dirty - self._evaluated_dirty[due]
        bound = np.floor((sent - self._evaluated_sent[due]) * self._options.trigger_percent / 100.0)
        hit = found > bound
        hits[due] += hit
        fired = hit & (hits[due] >= self._options.hits_per_step)
        hits[due[fired]] = 0
        fires[due] = fired
        self.dirty_bytes[due], self.trigger_bytes[due] = found, bound
        self._evaluated_dirty[due], self._evaluated_sent[due] = dirty, sent
        self._next_ms[due] = sync_ms[due] + self._options.least_period_s * 1000.0
        return fires

    def _begun(self, telemetry: Telemetry, sync_ms: FloatArray) -> NDArray[np.int64]:
        """No hits; the first telemetry holds the sync of the setup."""
        self._next_ms = sync_ms + self._options.least_period_s * 1000.0
        self._evaluated_dirty = telemetry.per_vm(VmField.SYNCED_DIRTY_BYTES).copy()
        self._evaluated_sent = telemetry.per_vm(VmField.SYNCED_SENT_BYTES).copy()
        self.dirty_bytes, self.trigger_bytes = np.zeros(len(sync_ms)), np.zeros(len(sync_ms))
        self._hits = np.zeros(len(sync_ms), dtype=np.int64)
        return self._hits


def whole_ms(time_s: FloatArray) -> FloatArray:
    """QEMU's clock; it also absorbs what adding up intervals loses."""
    return np.rint(time_s * 1000.0)
