"""Where each number of a migration lies in the arrays of the model.

A batch of N migrations with V vCPU slots is two arrays: ``vcpu`` float32 [N, len(Vcpu), V], a tile of one row a
quantity, so that a loop over the slots of one row is vector code; and ``vm`` float64 [N, len(Vm)], because times and
byte counts are accumulated over long migrations. The parameter rows come first in either, so that a scenario of a pool
is copied with one slice.
"""

from __future__ import annotations

from enum import IntEnum

from dqgym.telemetry.telemetry import VmField


class Vcpu(IntEnum):
    """Rows of the ``vcpu`` tile. A working set has a hot and a cold part; only hot-cold patterns have a hot one."""

    # Parameters, from the scenario.
    PRESENT = 0
    """1 for a vCPU that exists, 0 for padding."""
    SEQUENTIAL = 1
    """1 where the working set is written in order, in a loop; 0 where at random."""
    OPEN = 2
    """1 for open-loop demand: what a stall kept from being written is made up for later."""
    RANDOM_PERIOD = 3
    """1 for bursty schedules: the length of every period is drawn anew."""
    RATE = 4
    """Demanded stores, bytes/s (a store dirties one page and counts as its size)."""
    LOW = 5
    """Factor on RATE in the low part of a period (1 for steady schedules)."""
    DUTY = 6
    """Share of the high part in a period."""
    PERIOD = 7
    """Mean length of a period, s."""
    OFFSET = 8
    """Position in the first period at the start, s."""
    HOT_SHARE = 9
    """Share of the stores that go to the hot part."""
    HOT_BYTES = 10
    COLD_BYTES = 11
    FIRST_SPEED = 12
    """Fastest that clean pages can be written, bytes/s: the write speed and the write fault in series."""
    AGAIN_SPEED = 13
    """Fastest that dirty pages can be written, bytes/s."""
    # State.
    HOT_PENDING = 14
    """Bytes that were to send when the round began."""
    COLD_PENDING = 15
    HOT_DIRTY = 16
    """Bytes dirtied after they were sent: the next round's."""
    COLD_DIRTY = 17
    FRONT = 18
    """Sequential patterns: clean bytes that lie ahead of the writer before it meets pages of this round's set."""
    CREDIT = 19
    """Dirty quota left over from the last quota interval, bytes; negative after an overshoot."""
    PHASE = 20
    """Position in the period, s."""
    CURRENT_PERIOD = 21
    """Length of the period that runs, s."""
    BACKLOG = 22
    """Open-loop stores that stalls kept waiting, bytes."""
    RUN_TOTAL_S = 23
    WINDOW_RUN_S = 24
    """Run time in the window of the stall cost."""
    # Command.
    LIMIT = 25
    """Dirty-rate limit, bytes/s."""
    CAP = 26
    """Run-share cap."""
    # Telemetry, in the order of VcpuField.
    DIRTIED_BYTES = 27
    QUOTA_EXITS = 28
    STALLED_S = 29
    RUN_S = 30
    # Scratch: what a piece of a round brings, until it is booked.
    STORES = 31
    WANTED = 32
    HOT_WRITTEN = 33
    COLD_WRITTEN = 34
    HOT_CLEAN = 35
    COLD_CLEAN = 36
    HOT_INFLOW = 37
    COLD_INFLOW = 38
    SHARE = 39
    """Of the run time that the cap leaves."""


VCPU_PARAMETERS = int(Vcpu.HOT_PENDING)
"""Number of parameter rows."""
VCPU_TELEMETRY = slice(int(Vcpu.DIRTIED_BYTES), int(Vcpu.RUN_S) + 1)


class Vm(IntEnum):
    """Columns of the ``vm`` array."""

    # Parameters, from the scenario.
    MEMORY_BYTES = 0
    NOMINAL_BANDWIDTH = 1
    DOWNTIME_LIMIT_S = 2
    DEADLINE_S = 3
    PASS_TIME_S = 4
    VCPUS = 5
    BURSTY = 6
    """1 where any vCPU has a random period."""
    LINE_SPEED = 7
    """Speed of the last stage, bytes/s; 0: the bandwidth of the moment."""
    DEVICE_RATE = 8
    DEVICE_BYTES = 9
    LINK_KIND = 10
    LINK_A = 11
    LINK_B = 12
    LINK_C = 13
    LINK_D = 14
    # Telemetry, in the order of VmField.
    INTERVAL_S = 15
    TIME_S = 16
    SENT_BYTES = 17
    REMAINING_BYTES = 18
    ROUND = 19
    MEASURED_BANDWIDTH = 20
    SYNCS = 21
    SYNC_TIME_S = 22
    SYNCED_DIRTY_BYTES = 23
    SYNCED_SENT_BYTES = 24
    # State.
    PREFERENCE = 25
    ROUND_BYTES = 26
    """Bytes to send in this round."""
    ROUND_SENT = 27
    ROUND_TIME_S = 28
    DEVICE_PENDING = 29
    DEVICE_DIRTY = 30
    BANDWIDTH = 31
    """What the link carries now, bytes/s."""
    LINK_NEXT_S = 32
    """When the bandwidth changes next."""
    LINK_LEVEL = 33
    """State of the link process: an index or a level."""
    SHARE_UNCLAIMED = 34
    DONE = 35
    CONVERGED = 36
    DOWNTIME_S = 37
    LEAST_CAP = 38
    """Smallest run-share cap commanded so far."""
    PAUSED_S = 39
    """Time, up to now, for which no vCPU has been allowed to run."""
    WINDOW_S = 40
    STALL_S = 41
    """Integral of the stall cost over time."""
    TIME_TERM = 42
    """The four terms of the cost J so far; the reward is minus their growth."""
    STALL_TERM = 43
    DOWNTIME_TERM = 44
    DEADLINE_TERM = 45
    STEPS = 46
    """Control intervals so far, in an environment."""
    RETURN = 47
    """Sum of the rewards so far, in an environment."""


VM_PARAMETERS = int(Vm.INTERVAL_S)
VM_TELEMETRY = slice(int(Vm.INTERVAL_S), int(Vm.INTERVAL_S) + len(VmField))


class LinkKind(IntEnum):
    """Kinds of bandwidth process and what LINK_A .. LINK_D hold."""

    CONSTANT = 0
    """A: bandwidth."""
    TABLE = 1
    """A: first index into the shared tables, B: number of entries, C: period after which it repeats (0: never)."""
    MARKOV = 2
    """A: high and B: low bandwidth, C and D: their mean holding times in s."""
    ORNSTEIN_UHLENBECK = 3
    """A: mean and B: standard deviation of the bandwidth, C: correlation time in s, D: highest bandwidth."""


UNLIMITED_RATE = 1e30
"""An absent dirty-rate limit inside the model (finite, so that 0 * limit is 0)."""

SLOT_COUNTS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of vCPU slots that kernels are compiled for."""


def slots_for(vcpus: int) -> int:
    """The smallest compiled number of slots that holds ``vcpus``; ValueError beyond 64."""
    for slots in SLOT_COUNTS:
        if vcpus <= slots:
            return slots
    raise ValueError(f"vcpus={vcpus}: the model holds 1 to {SLOT_COUNTS[-1]} vCPUs")
