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
    PER_HOT = 12
    """1 / HOT_BYTES; 0 where there is no hot part. Likewise the next two."""
    PER_COLD = 13
    PER_BYTE = 14
    """1 / (HOT_BYTES + COLD_BYTES)."""
    FIRST_S = 15
    """Least time to store to a clean page, s/byte: the write and the write fault."""
    AGAIN_S = 16
    """Least time to store to a dirty page, s/byte."""
    # State.
    HOT_PENDING = 17
    """Bytes that were to send when the round began."""
    COLD_PENDING = 18
    HOT_DIRTY = 19
    """Bytes dirtied after they were sent: the next round's."""
    COLD_DIRTY = 20
    FRONT = 21
    """Sequential patterns: clean bytes that lie ahead of the writer before it meets pages of this round's set."""
    CREDIT = 22
    """Dirty quota left over from the last quota interval, bytes; negative after an overshoot."""
    PHASE = 23
    """Position in the period, s."""
    CURRENT_PERIOD = 24
    """Length of the period that runs, s."""
    PER_PERIOD = 25
    """1 / CURRENT_PERIOD; 0 for steady schedules."""
    BACKLOG = 26
    """Open-loop stores that stalls kept waiting, bytes."""
    RUN_TOTAL_S = 27
    WINDOW_RUN_S = 28
    """Run time in the window of the stall cost."""
    # Command.
    LIMIT = 29
    """Dirty-rate limit, bytes/s."""
    CAP = 30
    """Run-share cap."""
    # Telemetry, in the order of VcpuField.
    DIRTIED_BYTES = 31
    QUOTA_EXITS = 32
    STALLED_S = 33
    RUN_S = 34
    # Scratch: what a piece of a round brings, until it is booked.
    STORES = 35
    WANTED = 36
    HOT_WRITTEN = 37
    COLD_WRITTEN = 38
    HOT_CLEAN = 39
    COLD_CLEAN = 40
    HOT_INFLOW = 41
    COLD_INFLOW = 42
    SHARE = 43
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
    HOT = 7
    """1 where any vCPU has a hot part."""
    LINE_SPEED = 8
    """Speed of the last stage, bytes/s; 0: the bandwidth of the moment."""
    DEVICE_RATE = 9
    DEVICE_BYTES = 10
    LINK_KIND = 11
    LINK_A = 12
    LINK_B = 13
    LINK_C = 14
    LINK_D = 15
    # Telemetry, in the order of VmField.
    INTERVAL_S = 16
    TIME_S = 17
    SENT_BYTES = 18
    REMAINING_BYTES = 19
    ROUND = 20
    MEASURED_BANDWIDTH = 21
    SYNCS = 22
    SYNC_TIME_S = 23
    SYNCED_DIRTY_BYTES = 24
    SYNCED_SENT_BYTES = 25
    # State.
    PREFERENCE = 26
    ROUND_BYTES = 27
    """Bytes to send in this round."""
    ROUND_SENT = 28
    ROUND_TIME_S = 29
    DEVICE_PENDING = 30
    DEVICE_DIRTY = 31
    BANDWIDTH = 32
    """What the link carries now, bytes/s."""
    LINK_NEXT_S = 33
    """When the bandwidth changes next."""
    LINK_LEVEL = 34
    """State of the link process: an index or a level."""
    SHARE_UNCLAIMED = 35
    DONE = 36
    CONVERGED = 37
    DOWNTIME_S = 38
    LEAST_CAP = 39
    """Smallest run-share cap commanded so far."""
    PAUSED_S = 40
    """Time, up to now, for which no vCPU has been allowed to run."""
    WINDOW_S = 41
    STALL_S = 42
    """Integral of the stall cost over time."""
    TIME_TERM = 43
    """The four terms of the cost J so far; the reward is minus their growth."""
    STALL_TERM = 44
    DOWNTIME_TERM = 45
    DEADLINE_TERM = 46
    STEPS = 47
    """Control intervals so far, in an environment."""
    RETURN = 48
    """Sum of the rewards so far, in an environment."""
    SENT_BEFORE = 49
    """SENT_BYTES when the interval began."""
    LEFT_S = 50
    """Rest of the control interval."""
    SENDING_S = 51
    """Time in the interval in which something was sent."""
    PIECE_S = 52
    """Length of the piece of a round that runs, and the bytes that leave in it."""
    PIECE_SENT = 53
    PIECE_ENDS_ROUND = 54
    UNSENT_FROM = 55
    """Shares of the set of this round that are unsent before and after the piece."""
    UNSENT_TO = 56
    UNCLAIMED = 57
    """What ``natural_writes`` returned."""
    BEYOND = 58
    BEYOND_COUNT = 59
    ROUND_END_SENT = 60
    """SENT_BYTES when the last round ended."""


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
