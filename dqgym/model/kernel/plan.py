"""How long the next piece of a round of each migration is: a block of them at a time, in lanes.

The sender follows QEMU (migration/ram.c, migration/migration.c): it sends what is to send in this round; once no more
than bandwidth * downtime limit is left at the start of a send window it syncs the dirty log.
"""

from __future__ import annotations

from dqgym.jit.compile import exact_part
from dqgym.jit.lane_rows import column, set_column
from dqgym.jit.lanes import alike, bits, ceil, larger, narrow, smaller, where
from dqgym.model.kernel.clear_chunks import next_clearing, uncleared
from dqgym.model.kernel.ends import EPSILON_S
from dqgym.model.kernel.links import NEVER
from dqgym.model.kernel.sleeping import SAME_TIME_S
from dqgym.model.layout import Number, Vm

_SAME_BYTES = 1.0
_FEW_BEYOND = 0.9
"""A piece is not parted for what lies beyond this share of it."""
_SAME_WINDOW = 1e-6
"""Share of a send window that rounding may take from a time."""


@exact_part
def acting(numbers):  # type: ignore[no-untyped-def]
    """Mask of the migrations that have an interval."""
    return column(numbers, Number.ACTS) > 0.0


@exact_part
def running(state):  # type: ignore[no-untyped-def]
    """Mask of the migrations that have time left in their intervals."""
    return (column(state, Vm.DONE) == 0.0) & (column(state, Vm.LEFT_S) > EPSILON_S)


@exact_part
def plan_scan(state, pending, low_at_s):  # type: ignore[no-untyped-def]
    """(when no more than fits into the downtime is left, whether zeros are gone through now, for how long that stays).

    Pages of zeros are the last of the first round; those that it leaves come first in the next. They wait like others,
    and ``low_at_s`` is when the others alone would fit.
    """
    zero_left, scan = column(state, Vm.ZERO_LEFT), column(state, Vm.SCAN_BYTES_PER_S)
    bandwidth, downtime_s = column(state, Vm.BANDWIDTH), column(state, Vm.DOWNTIME_LIMIT_NOW_S)
    first_round = column(state, Vm.ROUND) <= 1.0
    scan_s = zero_left / scan
    counted = smaller(bandwidth, scan)  # speed at which zeros count
    after_first_s = smaller(zero_left / counted, downtime_s)
    after_first_s = after_first_s + larger(zero_left - counted * downtime_s, 0.0) / scan
    room_s = larger(downtime_s - pending / bandwidth, 0.0)
    later_s = scan_s + room_s * (1.0 - counted / scan)
    waits = first_round & (pending > _SAME_BYTES)
    low_at_s = low_at_s + where(first_round, after_first_s, later_s)
    return low_at_s, (zero_left > 0.0) & ~waits, where(waits, pending / bandwidth, scan_s)


@exact_part
def plan_lengths(state, window_s):  # type: ignore[no-untyped-def]
    """Lengths up to the sync, the end of the interval, a new bandwidth or downtime limit, in PIECE_S.

    The sync is due at the first start of a send window at which no more than bandwidth * downtime limit is left. While
    it waits for sleeping vCPUs nothing is sent. Where vCPUs sleep, ``dqgym.model.kernel.sleeping`` may yet cut a piece.
    """
    bandwidth, sent_before = column(state, Vm.BANDWIDTH), column(state, Vm.ROUND_SENT)
    round_bytes, round_time_s = column(state, Vm.ROUND_BYTES), column(state, Vm.ROUND_TIME_S)
    zero_left, wait_left_s = column(state, Vm.ZERO_LEFT), column(state, Vm.WAIT_LEFT_S)
    pending = round_bytes - sent_before
    low_at_s = round_time_s + pending / bandwidth - column(state, Vm.DOWNTIME_LIMIT_NOW_S)
    has_zeros = zero_left > 0.0
    scans, scans_until_s = has_zeros, alike(pending, NEVER)
    if bits(has_zeros) != 0:
        with_zeros_s, scans, until_s = plan_scan(state, pending, low_at_s)
        low_at_s = where(has_zeros, with_zeros_s, low_at_s)
        scans_until_s = where(has_zeros, until_s, scans_until_s)
    windows = larger(ceil(larger(low_at_s, round_time_s) * (1.0 / window_s) - _SAME_WINDOW), 1.0)
    waiting = wait_left_s > 0.0
    until_sync_s = where(waiting, wait_left_s, windows * window_s - round_time_s)
    changes_s = smaller(column(state, Vm.LINK_NEXT_S), column(state, Vm.GROWS_AT_S)) - column(state, Vm.TIME_S)
    piece_s = smaller(smaller(column(state, Vm.LEFT_S), until_sync_s), changes_s)
    piece_s = where(waiting, piece_s, smaller(piece_s, scans_until_s))
    chunk = column(state, Vm.CLEARED_AHEAD)
    if bits(chunk > 0.0) != 0:
        share_before = sent_before / larger(round_bytes, 1.0)
        clearing = next_clearing(chunk, column(state, Vm.ADDRESS), share_before)
        clearing_s = (clearing * round_bytes - sent_before) / bandwidth
        parts = (chunk > 0.0) & ~waiting & ~scans & (clearing_s > _SAME_WINDOW)
        piece_s = where(parts & (clearing_s < _FEW_BEYOND * piece_s), clearing_s, piece_s)
    set_column(state, Vm.PIECE_S, piece_s)
    set_column(state, Vm.UNTIL_SYNC_S, until_sync_s)
    set_column(state, Vm.SCANS, where(scans & ~waiting, alike(piece_s, 1.0), 0.0))


@exact_part
def set_pieces(state, numbers):  # type: ignore[no-untyped-def]
    """What is sent in the pieces, whose lengths stand now; those of migrations that do not run are 0."""
    runs = running(state)
    bandwidth, sent_before = column(state, Vm.BANDWIDTH), column(state, Vm.ROUND_SENT)
    round_bytes, lazy_clear = column(state, Vm.ROUND_BYTES), column(state, Vm.LAZY_CLEAR)
    piece_s = where(runs, larger(column(state, Vm.PIECE_S), EPSILON_S), 0.0)
    waiting, scans = column(state, Vm.WAIT_LEFT_S) > 0.0, column(state, Vm.SCANS) > 0.0
    sent = where(waiting | scans, 0.0, smaller(bandwidth * piece_s, round_bytes - sent_before))
    per_round = 1.0 / larger(round_bytes, 1.0)
    share_before = sent_before * per_round
    share_after = share_before + sent * per_round
    unsent_from, unsent_to = larger(1.0 - share_before, 0.0), larger(1.0 - share_after, 0.0)
    chunk = column(state, Vm.CLEARED_AHEAD)
    if bits(chunk > 0.0) != 0:
        began = column(state, Vm.ADDRESS)
        unsent_from = uncleared(chunk, began, share_before, share_before)
        unsent_to = uncleared(chunk, began, share_after, share_before)
    met_sent = lazy_clear * (1.0 - 0.5 * (unsent_from + unsent_to))
    tolerance_s = where(waiting, alike(piece_s, 2.0 * SAME_TIME_S), EPSILON_S)
    ends = runs & (piece_s >= column(state, Vm.UNTIL_SYNC_S) - tolerance_s)
    set_column(state, Vm.PIECE_S, piece_s)
    set_column(state, Vm.PIECE_SENT, where(runs, sent, 0.0))
    set_column(state, Vm.ENDS_ROUND, where(ends, alike(piece_s, 1.0), 0.0))
    set_column(state, Vm.UNSENT_FROM, lazy_clear * unsent_from)
    set_column(state, Vm.UNSENT_TO, lazy_clear * unsent_to)
    set_column(numbers, Number.PIECE_S, narrow(piece_s))
    set_column(numbers, Number.PER_S, 1.0 / narrow(piece_s))
    set_column(numbers, Number.UNSENT_FROM, narrow(lazy_clear * unsent_from))
    set_column(numbers, Number.UNSENT_TO, narrow(lazy_clear * unsent_to))
    set_column(numbers, Number.MET_SENT, narrow(met_sent))
    set_column(numbers, Number.PERIODS_ENDED, 0.0)
