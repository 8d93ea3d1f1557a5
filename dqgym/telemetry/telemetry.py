"""The numbers that a virtual machine monitor can read while it migrates a guest, batched over N migrations.

Two frozen containers over plain arrays. ``Facts`` never change during a migration; ``Telemetry`` is one control
interval. Neither ever holds hidden state of a model. A migration has V vCPU slots; the slots that ``Facts.present``
marks absent are padding and hold zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import BoolArray, Float32Array, FloatArray
from dqgym.telemetry.survey import Survey


@dataclass(frozen=True)
class Facts:
    """The facts that are known of each migration before it starts.

    Attributes:
        present: bool [N, V] which vCPU slots exist.
        memory_bytes: float64 [N] guest memory.
        bandwidth_bytes_per_s: float64 [N] configured (nominal) bandwidth of the migration.
        downtime_limit_s: float64 [N] the pause that the user accepts, at the start (``downtime_limit_now`` for later).
        deadline_s: float64 [N] the migration has failed when it takes longer, or its guest is paused then.
        ring_bytes: float64 [N] what a vCPU's dirty ring holds; asked for by `dirty-limit` alone.
        survey: what a survey before the migrations found; None without one.
    """

    present: BoolArray
    memory_bytes: FloatArray
    bandwidth_bytes_per_s: FloatArray
    downtime_limit_s: FloatArray
    deadline_s: FloatArray
    ring_bytes: FloatArray
    survey: Survey | None = None

    @property
    def pass_time_s(self) -> FloatArray:
        """[N] T0 = memory / bandwidth, the lower bound of a pre-copy migration."""
        return self.memory_bytes / self.bandwidth_bytes_per_s

    @property
    def vcpus(self) -> NDArray[np.int64]:
        """[N] number of vCPUs."""
        return self.present.sum(axis=1)


class VcpuField(IntEnum):
    """Rows of ``Telemetry.vcpu``; each counts over the last control interval."""

    DIRTIED_BYTES = 0
    """First writes: bytes of pages that the vCPU made dirty and that were clean in this round."""
    QUOTA_EXITS = 1
    """Exits to user space because the dirty quota was used up."""
    STALLED_S = 2
    """Time in which a throttle kept the vCPU from running."""
    RUN_S = 3
    """Time in which the vCPU could run."""


class VmField(IntEnum):
    """Columns of ``Telemetry.vm``."""

    INTERVAL_S = 0
    """Length of the last control interval (shorter where the migration ended in it; 0 right after the start)."""
    TIME_S = 1
    """Time since the migration started."""
    SENT_BYTES = 2
    """Bytes sent since the start."""
    REMAINING_BYTES = 3
    """Bytes still to send in this round (what QEMU reports as ``remaining``)."""
    ROUND = 4
    """Number of the round, from 1; goes up at each dirty-log sync that ends a round."""
    BANDWIDTH_BYTES_PER_S = 5
    """Measured: bytes sent in the last interval over its length (the configured one before the first interval)."""
    SYNCS = 6
    """Dirty-log syncs so far, requested ones included."""
    SYNC_TIME_S = 7
    """Time since the start at which the last sync was made."""
    SYNCED_DIRTY_BYTES = 8
    """Bytes that all syncs so far found newly dirty (QEMU: num_dirty_pages_period, accumulated)."""
    SYNCED_SENT_BYTES = 9
    """Bytes sent up to the last sync."""
    DOWNTIME_LIMIT_S = 10
    """The downtime limit now in force; 0 where who made the telemetry does not say: it is that of the facts."""
    PAUSED = 11
    """1 where the guest has been paused, at the deadline or after the last round, so that the migration ends."""


@dataclass(frozen=True)
class Telemetry:
    """One control interval of N migrations of V vCPU slots.

    Attributes:
        vcpu: float32 [N, len(VcpuField), V] what each vCPU did in the interval. What cannot be measured is NaN and
            counts as 0, a run time as the whole interval; a backend says so in its capabilities, too.
        vm: float64 [N, len(VmField)] where each migration stands; none of it may be NaN, or the guard's fallback takes
            the migration over.
        done: bool [N] the migration has ended: its other values no longer change.
    """

    vcpu: Float32Array
    vm: FloatArray
    done: BoolArray

    def per_vcpu(self, field: VcpuField) -> Float32Array:
        """[N, V] one field of all vCPUs."""
        return self.vcpu[:, field]

    def per_vm(self, field: VmField) -> FloatArray:
        """[N] one field of all migrations."""
        return self.vm[:, field]


def downtime_limit_now(facts: Facts, vm: FloatArray) -> FloatArray:
    """[N] the downtime limits in force, for ``Telemetry.vm`` [N, len(VmField)]."""
    now_s = vm[:, VmField.DOWNTIME_LIMIT_S]
    return np.where(now_s > 0.0, now_s, facts.downtime_limit_s)


def first_telemetry(facts: Facts) -> Telemetry:
    """The telemetry of N migrations that have not begun: nothing observed but a survey, all memory to send."""
    n, slots = facts.present.shape
    vm = np.zeros((n, len(VmField)))
    vm[:, VmField.REMAINING_BYTES] = facts.memory_bytes
    vm[:, VmField.BANDWIDTH_BYTES_PER_S] = facts.bandwidth_bytes_per_s
    vm[:, VmField.ROUND] = 1.0
    vm[:, VmField.SYNCS] = 1.0  # the one that setup makes
    vm[:, VmField.DOWNTIME_LIMIT_S] = facts.downtime_limit_s
    if facts.survey is not None:
        vm[:, VmField.TIME_S] = vm[:, VmField.SYNC_TIME_S] = facts.survey.duration_s
    return Telemetry(vcpu=np.zeros((n, len(VcpuField), slots), dtype=np.float32), vm=vm, done=np.zeros(n, dtype=bool))
