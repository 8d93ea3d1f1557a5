"""A piece of a round of each migration of a block is over: it is booked, in lanes."""

from __future__ import annotations

from dqgym.jit.compile import exact_part
from dqgym.jit.lane_rows import column, set_column
from dqgym.jit.lanes import alike, bits, larger, narrow, where, widen
from dqgym.model.kernel.ends import EPSILON_S
from dqgym.model.kernel.writes import random_writes
from dqgym.model.layout import Vm


@exact_part
def book_pieces(state):  # type: ignore[no-untyped-def]
    """Bring the block up to the end of its pieces; those of migrations that do not run have length 0."""
    piece_s, sent = column(state, Vm.PIECE_S), column(state, Vm.PIECE_SENT)
    if bits(column(state, Vm.DEVICE_RATE) > 0.0) != 0:
        book_device_writes(state, piece_s)
    set_column(state, Vm.ROUND_SENT, column(state, Vm.ROUND_SENT) + sent)
    set_column(state, Vm.SENT_BYTES, column(state, Vm.SENT_BYTES) + sent)
    set_column(
        state, Vm.SENDING_S, column(state, Vm.SENDING_S) + where(sent > 0.0, sent / column(state, Vm.BANDWIDTH), 0.0)
    )
    set_column(state, Vm.TIME_S, column(state, Vm.TIME_S) + piece_s)
    set_column(state, Vm.ROUND_TIME_S, column(state, Vm.ROUND_TIME_S) + piece_s)
    set_column(state, Vm.INTERVAL_S, column(state, Vm.INTERVAL_S) + piece_s)
    set_column(state, Vm.LEFT_S, column(state, Vm.LEFT_S) - piece_s)
    set_column(state, Vm.PIECES, column(state, Vm.PIECES) + where(piece_s > 0.0, alike(piece_s, 1.0), 0.0))
    scans, wait_left_s = column(state, Vm.SCANS) > 0.0, column(state, Vm.WAIT_LEFT_S)
    if bits(scans) != 0:
        zero_left = column(state, Vm.ZERO_LEFT)
        scanned = larger(zero_left - piece_s * column(state, Vm.SCAN_BYTES_PER_S), 0.0)
        set_column(state, Vm.ZERO_LEFT, where(scans, scanned, zero_left))
    if bits(wait_left_s > 0.0) != 0:
        over = column(state, Vm.ENDS_ROUND) > 0.0
        set_column(state, Vm.WAIT_LEFT_S, where(wait_left_s > 0.0, where(over, 0.0, wait_left_s - piece_s), 0.0))


@exact_part
def book_device_writes(state, piece_s):  # type: ignore[no-untyped-def]
    """Random writes of devices and the hypervisor in the piece; charged to no vCPU."""
    working_set, pending = column(state, Vm.DEVICE_BYTES), column(state, Vm.DEVICE_PENDING)
    unsent_from, dirty = column(state, Vm.UNSENT_FROM), column(state, Vm.DEVICE_DIRTY)
    clean = larger(working_set - pending * unsent_from - dirty, 0.0)
    inflow = pending * (unsent_from - column(state, Vm.UNSENT_TO))
    stores = column(state, Vm.DEVICE_RATE) * piece_s
    wrote = widen(random_writes(narrow(clean), narrow(inflow), narrow(stores / larger(working_set, 1.0))))
    set_column(state, Vm.DEVICE_DIRTY, dirty + where(stores > 0.0, wrote, 0.0))


@exact_part
def limit_is_due(state):  # type: ignore[no-untyped-def]
    """Mask of the migrations whose downtime limit grows now."""
    return (column(state, Vm.PIECE_S) > 0.0) & (column(state, Vm.TIME_S) >= column(state, Vm.GROWS_AT_S) - EPSILON_S)


@exact_part
def sync_is_due(state):  # type: ignore[no-untyped-def]
    """Mask of the migrations whose round ends now."""
    return column(state, Vm.ENDS_ROUND) > 0.0


@exact_part
def link_is_due(state):  # type: ignore[no-untyped-def]
    """Mask of the migrations whose link has another bandwidth from now on."""
    ran = (column(state, Vm.PIECE_S) > 0.0) & (column(state, Vm.DONE) == 0.0)
    return ran & (column(state, Vm.TIME_S) >= column(state, Vm.LINK_NEXT_S) - EPSILON_S)
