"""The place of each number of a migration in the arrays of the model.

A batch of N migrations with V vCPU slots is two arrays: ``vcpu`` float32 [N, len(Vcpu), V], a tile of one row a
quantity; and ``vm`` float64 [blocks, len(Vm), LANES], LANES migrations side by side (``dqgym.jit.lane_rows``), because
times and byte counts are accumulated over long migrations. The parameter rows come first in either, so that a scenario
of a pool is copied with one slice. Beside them, for one block at a time, ``numbers`` float32 [len(Number), LANES] is
what the code of the vCPUs takes from that of their migrations, and gives back.
"""

from __future__ import annotations

from enum import IntEnum, auto

from dqgym.errors import BadInputError
from dqgym.telemetry.telemetry import VmField


class _Numbered(IntEnum):
    """Members are numbered from 0 in the order in which they stand."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:
        return count


class Vcpu(_Numbered):
    """Rows of the ``vcpu`` tile. A working set has a hot and a cold part; only hot-cold patterns have a hot one."""

    # Parameters, from the scenario.
    PRESENT = auto()
    """1 for a vCPU that exists, 0 for padding."""
    SEQUENTIAL = auto()
    """1 where the working set is written in order, in a loop; 0 where at random."""
    OPEN = auto()
    """1 for open-loop demand: what a stall kept from being written is made up for later."""
    RANDOM_PERIOD = auto()
    """The law of the next period's length: 0: it is PERIOD; 1: exponentially; between them: uniformly, off by as
    much of PERIOD at most; ``IN_STEP``: it is that of the slot before."""
    RATE = auto()
    """Demanded stores, bytes/s (a store dirties one page and counts as its size)."""
    LOW = auto()
    """Factor on RATE in the low part of a period (1 for steady schedules)."""
    DUTY = auto()
    """Share of the high part in a period."""
    PERIOD = auto()
    """Mean length of a period, s."""
    OFFSET = auto()
    """Position in the first period at the start, s."""
    HOT_SHARE = auto()
    """Share of the stores that go to the hot part."""
    HOT_BYTES = auto()
    COLD_BYTES = auto()
    PER_HOT = auto()
    """1 / HOT_BYTES; 0 where there is no hot part."""
    PER_COLD = auto()
    """1 / COLD_BYTES; 0 where there is no cold part."""
    PER_BYTE = auto()
    """1 / (HOT_BYTES + COLD_BYTES)."""
    FIRST_S = auto()
    """Least time to store to a clean page, s/byte: the write and the write fault."""
    AGAIN_S = auto()
    """Least time to store to a dirty page, s/byte."""
    PAGE_BYTES = auto()
    """Bytes that the first store to a page dirties, and charges to the quota."""
    RING_STORES = auto()
    """Bytes of stores that fill the dirty ring, once it is empty (``UNLIMITED_RATE``: it never fills)."""
    RING_EXIT_S = auto()
    """Cost of full rings, s/byte stored."""
    RUN_SLICE_S = auto()
    """Its run time in each cycle of a run-share cap that works in time slices."""
    TABLE_FIRST = auto()
    """Recorded schedules: first index into the shared tables; entries (0: not recorded); period (0: never repeats)."""
    TABLE_ENTRIES = auto()
    TABLE_PERIOD = auto()
    # State.
    HOT_PENDING = auto()
    """Bytes that were to send when the round began."""
    COLD_PENDING = auto()
    HOT_DIRTY = auto()
    """Bytes dirtied after they were sent: the next round's."""
    COLD_DIRTY = auto()
    AHEAD = auto()
    """Sequential patterns: clean bytes in the loop when the round began, and the bytes stored since."""
    PASSED = auto()
    STILL_WAITING = auto()
    """Sequential patterns, log cleared at the sync: share of the pages that the writer comes to that still wait."""
    CREDIT = auto()
    """Dirty quota left over from the last quota interval, bytes; negative after an overshoot."""
    PHASE = auto()
    """Position in the period, s."""
    CURRENT_PERIOD = auto()
    """Length of the period that runs, s."""
    PER_PERIOD = auto()
    """1 / CURRENT_PERIOD; 0 for steady schedules."""
    BACKLOG = auto()
    """Open-loop stores that stalls kept waiting, bytes."""
    RING_FILL = auto()
    """Bytes stored since the dirty ring was emptied."""
    SLEEP_LEFT_S = auto()
    """Rest of the sleep that a full ring brought."""
    SURVEYED = auto()
    """Distinct bytes dirtied at the first mark of the survey (``dqgym.telemetry.survey``); the other marks follow."""
    SURVEYED_2 = auto()
    SURVEYED_3 = auto()
    SURVEYED_4 = auto()
    RUN_TOTAL_S = auto()
    WINDOW_RUN_S = auto()
    """Run time in the window of the stall cost."""
    # Command.
    LIMIT = auto()
    """Dirty-rate limit, bytes/s."""
    CAP = auto()
    """Run-share cap; 0 or 1 where the vCPU sleeps and runs in turns."""
    COMMANDED_CAP = auto()
    CAP_SINCE_S = auto()
    """When the cap was set to this value."""
    RING_SLEEP_S = auto()
    # Telemetry, in the order of VcpuField.
    DIRTIED_BYTES = auto()
    QUOTA_EXITS = auto()
    STALLED_S = auto()
    RUN_S = auto()
    NEXT_LIMIT = auto()
    """The limit that takes effect within the interval, where commands come late."""
    # Scratch of vCPUs with dirty rings: what a piece of a round brings, until it is booked.
    STORES = auto()
    WANTED = auto()
    HOT_WRITTEN = auto()
    COLD_WRITTEN = auto()
    SHARE = auto()
    """Of the run time that the cap leaves."""


VCPU_PARAMETERS = int(Vcpu.HOT_PENDING)
"""Number of parameter rows."""
VCPU_SURVEY = slice(int(Vcpu.SURVEYED), int(Vcpu.SURVEYED_4) + 1)
VCPU_TELEMETRY = slice(int(Vcpu.DIRTIED_BYTES), int(Vcpu.RUN_S) + 1)


class Vm(_Numbered):
    """Columns of the ``vm`` array."""

    # Parameters, from the scenario.
    MEMORY_BYTES = auto()
    ZERO_BYTES = auto()
    NOMINAL_BANDWIDTH = auto()
    DOWNTIME_LIMIT_S = auto()
    """At the start."""
    DEADLINE_S = auto()
    PASS_TIME_S = auto()
    VCPUS = auto()
    LINE_SPEED = auto()
    """Speed of the last stage, bytes/s; 0: the bandwidth of the moment."""
    DEVICE_RATE = auto()
    DEVICE_BYTES = auto()
    LAZY_CLEAR = auto()
    """0 where the log of all pages is cleared at the sync, 1 where a chunk's is when its first page is sent."""
    CLEARED_AHEAD = auto()
    """A chunk over the memory; 0: page by page."""
    SYNC_WAITS = auto()
    """1 where a sync waits for vCPUs in the sleeping part of their time slices."""
    RINGS = auto()
    """1 where the dirty log is made of rings, and their size."""
    RING_BYTES = auto()
    RECORDED = auto()
    """1 where any vCPU has a recorded schedule."""
    SCAN_BYTES_PER_S = auto()
    """Speed of going through pages of zeros."""
    LAST_STAGE_S = auto()
    """Downtime where nothing is left to send."""
    EXIT_BYTES_PER_S = auto()
    """Constants of the host (``dqgym.model.parameters``), which training varies from scenario to scenario."""
    CONTENTION = auto()
    OVERSHOOT_BYTES = auto()
    GROWTH_FIRST_S = auto()
    """When the downtime limit grows first, or in which round; a very large number where it does not, and otherwise one
    of the two."""
    GROWTH_FIRST_ROUND = auto()
    GROWTH_EVERY_S = auto()
    """Time between two steps, or rounds; one of them is 0."""
    GROWTH_EVERY_ROUNDS = auto()
    GROWTH_FACTOR = auto()
    """A step: ``min(factor * limit + add, end)``."""
    GROWTH_ADD_S = auto()
    GROWTH_END_S = auto()
    PAUSES_AT_DEADLINE = auto()
    """1 where the guest is paused at the deadline, 0 where the migration is cancelled."""
    MAX_ROUNDS = auto()
    PAUSES_AFTER_ROUNDS = auto()
    LINK_KIND = auto()
    LINK_A = auto()
    LINK_B = auto()
    LINK_C = auto()
    LINK_D = auto()
    # Telemetry, in the order of VmField.
    INTERVAL_S = auto()
    TIME_S = auto()
    SENT_BYTES = auto()
    REMAINING_BYTES = auto()
    ROUND = auto()
    MEASURED_BANDWIDTH = auto()
    SYNCS = auto()
    SYNC_TIME_S = auto()
    SYNCED_DIRTY_BYTES = auto()
    SYNCED_SENT_BYTES = auto()
    DOWNTIME_LIMIT_NOW_S = auto()
    PAUSED = auto()
    # State.
    PREFERENCE = auto()
    SURVEY_S = auto()
    """Length of the survey before the migration."""
    ROUND_BYTES = auto()
    """Bytes to send in this round."""
    ROUND_SENT = auto()
    ROUND_TIME_S = auto()
    """Time since the send window in which the round began."""
    ADDRESS = auto()
    """Where in the memory this round began, as a share of it."""
    ZERO_LEFT = auto()
    """Pages of zeros that the sender has yet to go through, bytes."""
    DEVICE_PENDING = auto()
    DEVICE_DIRTY = auto()
    BANDWIDTH = auto()
    """Bandwidth of the link now, bytes/s."""
    LINK_NEXT_S = auto()
    """When the bandwidth changes next."""
    LINK_LEVEL = auto()
    """State of the link process: an index or a level."""
    SHARE_UNCLAIMED = auto()
    SLEEPS = auto()
    """1 where any vCPU sleeps, or shall sleep, in time slices of its cap or for a full ring; then for rings only."""
    RING_SLEEPS = auto()
    KICKS_WAKE = auto()
    """1 where a sync wakes those that sleep for a full ring."""
    WAIT_S = auto()
    """For how long the sync that is due waits for sleeping vCPUs, and how much of it is left."""
    WAIT_LEFT_S = auto()
    GROWS_AT_S = auto()
    """When, or in which round, the downtime limit grows next (``dqgym.model.kernel.ends``)."""
    GROWS_IN_ROUND = auto()
    ENDS_AT_S = auto()
    """The deadline, or twice the deadline once the guest is paused."""
    DONE = auto()
    CONVERGED = auto()
    DOWNTIME_S = auto()
    """Of the last stage."""
    LEAST_CAP = auto()
    """Smallest run-share cap commanded so far."""
    PAUSED_S = auto()
    """Time, up to now, for which no vCPU has been allowed to run."""
    WINDOW_S = auto()
    STALL_S = auto()
    """Integral of the stall cost over time."""
    TIME_TERM = auto()
    """The four terms of the cost J so far; the reward is minus their growth."""
    STALL_TERM = auto()
    DOWNTIME_TERM = auto()
    DEADLINE_TERM = auto()
    TIME_TERM_BEFORE = auto()
    """When the control interval began, in an environment."""
    STALL_TERM_BEFORE = auto()
    REWARD = auto()
    """Of the last control interval, in an environment, and what each term of the cost grew by in it."""
    TIME_GROWN = auto()
    STALL_GROWN = auto()
    DOWNTIME_GROWN = auto()
    DEADLINE_GROWN = auto()
    STEPS = auto()
    """Control intervals so far, in an environment."""
    RETURN = auto()
    """Sum of the rewards so far, in an environment."""
    LATENCY = auto()
    """Share of a control interval that is over before its command takes effect, in an environment, and what is then
    left of it."""
    COMMANDED_S = auto()
    SENT_BEFORE = auto()
    """SENT_BYTES when the interval began."""
    LEFT_S = auto()
    """Rest of the control interval."""
    SENDING_S = auto()
    """Time in the interval in which something was sent."""
    PIECES = auto()
    """Pieces of rounds so far."""
    PIECE_S = auto()
    """Length of the piece of a round that runs, and the bytes that leave in it."""
    PIECE_SENT = auto()
    UNTIL_SYNC_S = auto()
    """Time to the sync, or what is left of its wait."""
    ENDS_ROUND = auto()
    """1 where the piece ends with the sync."""
    SCANS = auto()
    """1 where the sender goes through pages of zeros in the piece."""
    UNSENT_FROM = auto()
    """Shares of the round's set that stores meet as pending before and after the piece: those whose log has not been
    cleared since the sync."""
    UNSENT_TO = auto()
    ROUND_END_SENT = auto()
    """SENT_BYTES when the last round ended."""


class Number(_Numbered):
    """Columns of ``numbers``."""

    # Of the interval.
    SLEEPS = auto()
    """1 where any vCPU sleeps, for whatever reason; where rings may fill; where the dirty log is made of rings."""
    RING_SLEEPS = auto()
    RINGS = auto()
    SHARE_UNCLAIMED = auto()
    CONTENTION = auto()
    S_PER_EXIT_BYTE = auto()
    """1 / EXIT_BYTES_PER_S."""
    OVERSHOOT_BYTES = auto()
    # Of the piece.
    PIECE_S = auto()
    PER_S = auto()
    """1 / PIECE_S."""
    UNSENT_FROM = auto()
    UNSENT_TO = auto()
    MET_SENT = auto()
    """Share of the round's set that a sequential writer in its midst meets as sent, or with its log cleared, half-way
    through the piece."""
    PERIODS_ENDED = auto()
    """Above 0 where a random period of any vCPU ended in it."""
    # Of the window of the stall cost.
    ACTS = auto()
    """1 where the migration had an interval."""
    PER_WINDOW = auto()
    """1 / its length, s."""
    CHARGED = auto()
    """1 where it ends."""
    STALL = auto()
    """Sum over its vCPUs."""
    LONGEST_RUN_S = auto()
    """In the interval, of any vCPU."""
    FAIR_SHARE = auto()
    """Unit of actions, bytes/s."""


NUMBERS = len(Number)
VM_PARAMETERS = int(Vm.INTERVAL_S)
VM_GROWN = slice(int(Vm.TIME_GROWN), int(Vm.DEADLINE_GROWN) + 1)
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


IN_STEP = -1.0
"""RANDOM_PERIOD of a vCPU whose schedule is that of the slot before, period by period."""

UNLIMITED_RATE = 1e30
"""An absent dirty-rate limit inside the model (finite, so that 0 * limit is 0)."""

SLOT_COUNTS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of vCPU slots that kernels are compiled for."""


def slots_for(vcpus: int) -> int:
    """The smallest compiled number of slots that holds ``vcpus``; ValueError beyond 64."""
    for slots in SLOT_COUNTS:
        if vcpus <= slots:
            return slots
    raise BadInputError(f"vcpus={vcpus}: the model holds 1 to {SLOT_COUNTS[-1]} vCPUs")
