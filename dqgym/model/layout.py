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
    PAGE_BYTES = 17
    """What the first store to a page dirties, and charges to the quota."""
    RING_STORES = 18
    """Bytes of stores that fill the dirty ring, once it is empty (``UNLIMITED_RATE``: it never fills)."""
    RING_EXIT_S = 19
    """What full rings cost, s/byte stored."""
    RUN_SLICE_S = 20
    """How long it runs in each cycle of a run-share cap that works in time slices."""
    TABLE_FIRST = 21
    """Recorded schedules: first index into the shared tables; entries (0: not recorded); period (0: never repeats)."""
    TABLE_ENTRIES = 22
    TABLE_PERIOD = 23
    # State.
    HOT_PENDING = 24
    """Bytes that were to send when the round began."""
    COLD_PENDING = 25
    HOT_DIRTY = 26
    """Bytes dirtied after they were sent: the next round's."""
    COLD_DIRTY = 27
    AHEAD = 28
    """Sequential patterns: clean bytes in the loop when the round began, and the bytes stored since."""
    PASSED = 29
    STILL_WAITING = 30
    """Sequential patterns, log cleared at the sync: share of the pages that the writer comes to that still wait."""
    CREDIT = 31
    """Dirty quota left over from the last quota interval, bytes; negative after an overshoot."""
    PHASE = 32
    """Position in the period, s."""
    CURRENT_PERIOD = 33
    """Length of the period that runs, s."""
    PER_PERIOD = 34
    """1 / CURRENT_PERIOD; 0 for steady schedules."""
    BACKLOG = 35
    """Open-loop stores that stalls kept waiting, bytes."""
    RING_FILL = 36
    """Bytes stored since the dirty ring was emptied."""
    SLEEP_LEFT_S = 37
    """Rest of the sleep that a full ring brought."""
    RUN_TOTAL_S = 38
    WINDOW_RUN_S = 39
    """Run time in the window of the stall cost."""
    # Command.
    LIMIT = 40
    """Dirty-rate limit, bytes/s."""
    CAP = 41
    """Run-share cap; 0 or 1 where the vCPU sleeps and runs in turns."""
    COMMANDED_CAP = 42
    CAP_SINCE_S = 43
    """When the cap was set to this value."""
    RING_SLEEP_S = 44
    # Telemetry, in the order of VcpuField.
    DIRTIED_BYTES = 45
    QUOTA_EXITS = 46
    STALLED_S = 47
    RUN_S = 48
    # Scratch: what a piece of a round brings, until it is booked.
    STORES = 49
    WANTED = 50
    HOT_WRITTEN = 51
    COLD_WRITTEN = 52
    HOT_CLEAN = 53
    COLD_CLEAN = 54
    HOT_INFLOW = 55
    COLD_INFLOW = 56
    SHARE = 57
    """Of the run time that the cap leaves."""


VCPU_PARAMETERS = int(Vcpu.HOT_PENDING)
"""Number of parameter rows."""
VCPU_TELEMETRY = slice(int(Vcpu.DIRTIED_BYTES), int(Vcpu.RUN_S) + 1)


class Vm(IntEnum):
    """Columns of the ``vm`` array."""

    # Parameters, from the scenario.
    MEMORY_BYTES = 0
    ZERO_BYTES = 1
    NOMINAL_BANDWIDTH = 2
    DOWNTIME_LIMIT_S = 3
    DEADLINE_S = 4
    PASS_TIME_S = 5
    VCPUS = 6
    BURSTY = 7
    """1 where any vCPU has a random period."""
    HOT = 8
    """1 where any vCPU has a hot part."""
    LINE_SPEED = 9
    """Speed of the last stage, bytes/s; 0: the bandwidth of the moment."""
    DEVICE_RATE = 10
    DEVICE_BYTES = 11
    LAZY_CLEAR = 12
    """1 where a page's dirty log is cleared when the page is sent, 0 where all are cleared at the sync."""
    SYNC_WAITS = 13
    """1 where a sync waits for vCPUs in the sleeping part of their time slices."""
    RINGS = 14
    """1 where the dirty log is made of rings, and their size."""
    RING_BYTES = 15
    RECORDED = 16
    """1 where any vCPU has a recorded schedule."""
    LINK_KIND = 17
    LINK_A = 18
    LINK_B = 19
    LINK_C = 20
    LINK_D = 21
    # Telemetry, in the order of VmField.
    INTERVAL_S = 22
    TIME_S = 23
    SENT_BYTES = 24
    REMAINING_BYTES = 25
    ROUND = 26
    MEASURED_BANDWIDTH = 27
    SYNCS = 28
    SYNC_TIME_S = 29
    SYNCED_DIRTY_BYTES = 30
    SYNCED_SENT_BYTES = 31
    # State.
    PREFERENCE = 32
    ROUND_BYTES = 33
    """Bytes to send in this round."""
    ROUND_SENT = 34
    ROUND_TIME_S = 35
    """Time since the send window in which the round began."""
    DEVICE_PENDING = 36
    DEVICE_DIRTY = 37
    BANDWIDTH = 38
    """What the link carries now, bytes/s."""
    LINK_NEXT_S = 39
    """When the bandwidth changes next."""
    LINK_LEVEL = 40
    """State of the link process: an index or a level."""
    SHARE_UNCLAIMED = 41
    SLEEPS = 42
    """1 where any vCPU sleeps, or shall sleep, in time slices of its cap or for a full ring; then for rings only."""
    RING_SLEEPS = 43
    WAIT_S = 44
    """For how long the sync that is due waits for sleeping vCPUs, and how much of it is left."""
    WAIT_LEFT_S = 45
    DONE = 46
    CONVERGED = 47
    DOWNTIME_S = 48
    LEAST_CAP = 49
    """Smallest run-share cap commanded so far."""
    PAUSED_S = 50
    """Time, up to now, for which no vCPU has been allowed to run."""
    WINDOW_S = 51
    STALL_S = 52
    """Integral of the stall cost over time."""
    TIME_TERM = 53
    """The four terms of the cost J so far; the reward is minus their growth."""
    STALL_TERM = 54
    DOWNTIME_TERM = 55
    DEADLINE_TERM = 56
    STEPS = 57
    """Control intervals so far, in an environment."""
    RETURN = 58
    """Sum of the rewards so far, in an environment."""
    SENT_BEFORE = 59
    """SENT_BYTES when the interval began."""
    LEFT_S = 60
    """Rest of the control interval."""
    SENDING_S = 61
    """Time in the interval in which something was sent."""
    PIECE_S = 62
    """Length of the piece of a round that runs, and the bytes that leave in it."""
    PIECE_SENT = 63
    PIECE_ENDS_ROUND = 64
    UNSENT_FROM = 65
    """Shares of the round's set that stores meet as pending before and after the piece: the unsent ones, or none where
    the log is cleared at the sync."""
    UNSENT_TO = 66
    MET_SENT = 67
    """Share of the round's set that a sequential writer in its midst meets as sent, half-way through the piece."""
    UNCLAIMED = 68
    """What ``natural_writes`` returned."""
    BEYOND = 69
    BEYOND_COUNT = 70
    ROUND_END_SENT = 71
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
