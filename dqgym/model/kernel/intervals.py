"""Control intervals of a block of migrations.

The batch loops around them are in ``dqgym.backends.model`` (explicit commands) and ``dqgym.envs.kernel`` (actions,
observations, rewards, resets).
``slots`` is a tuple as long as there are vCPU slots: its length is part of its type, so it is a constant for the
compiler. ``members`` int64 lists migrations by their numbers in the batch; as many blocks are worked on at a time as
``GROUP`` says.
"""

from __future__ import annotations

from dqgym.jit.array_views import at
from dqgym.jit.compile import exact_part, exact_routine
from dqgym.jit.lane_rows import LANES, column, pack_of, pack_size, set_column, state_of, store
from dqgym.jit.lanes import bits, narrow, smaller, split_lowest, where
from dqgym.model.kernel.charges import charge_intervals
from dqgym.model.kernel.ends import EPSILON_S, end_at_deadline, grow_limit
from dqgym.model.kernel.links import change_bandwidth
from dqgym.model.kernel.pieces import book_pieces, limit_is_due, link_is_due, sync_is_due
from dqgym.model.kernel.plan import acting, plan_lengths, running, set_pieces
from dqgym.model.kernel.rounds import end_round
from dqgym.model.kernel.schedules import draw_periods, replay_rates
from dqgym.model.kernel.sleeping import plan_sleeps
from dqgym.model.kernel.writes import write_pack
from dqgym.model.layout import Number, Vcpu, Vm

GROUP = 2
"""Blocks that are worked on side by side: as many as the processor's first caches hold."""


@exact_routine
def begin_intervals(vcpu, vm, numbers, first, last, members, count, slots):  # type: ignore[no-untyped-def]
    """Clear the telemetry of ``members[:count]``, which are marked; LEFT_S, what they take, ends with the deadline."""
    for block in range(first, last):
        state = at(vm, block)
        acts = acting(at(numbers, block))
        until_end_s = column(state, Vm.ENDS_AT_S) - column(state, Vm.TIME_S)
        set_column(state, Vm.LEFT_S, where(acts, smaller(column(state, Vm.LEFT_S), until_end_s), 0.0))
        set_column(state, Vm.INTERVAL_S, where(acts, 0.0, column(state, Vm.INTERVAL_S)))
        set_column(state, Vm.SENDING_S, where(acts, 0.0, column(state, Vm.SENDING_S)))
        set_column(state, Vm.SENT_BEFORE, column(state, Vm.SENT_BYTES))
    for k in range(0, count, pack_size(slots)):
        pack = pack_of(members, k, count, slots)
        store(vcpu, pack, Vcpu.DIRTIED_BYTES, 0.0, slots)
        store(vcpu, pack, Vcpu.QUOTA_EXITS, 0.0, slots)
        store(vcpu, pack, Vcpu.STALLED_S, 0.0, slots)
        store(vcpu, pack, Vcpu.RUN_S, 0.0, slots)


@exact_part
def list_members(members, count, mask_bits, first):  # type: ignore[no-untyped-def]
    """Add the migrations of a mask to ``members[:count]``, of a block that begins with ``first``; the new count."""
    while mask_bits != 0:
        lane, mask_bits = split_lowest(mask_bits)
        members[count] = first + lane
        count += 1
    return count


@exact_part
def set_interval_numbers(state, numbers):  # type: ignore[no-untyped-def]
    """What stays the same in all pieces of an interval."""
    sleeps, ring_sleeps = narrow(column(state, Vm.SLEEPS)), narrow(column(state, Vm.RING_SLEEPS))
    rings = narrow(column(state, Vm.RINGS))
    set_column(numbers, Number.SLEEPS, sleeps)
    set_column(numbers, Number.RING_SLEEPS, ring_sleeps)
    set_column(numbers, Number.RINGS, where(ring_sleeps > 0.0, ring_sleeps, rings))
    set_column(numbers, Number.SHARE_UNCLAIMED, narrow(column(state, Vm.SHARE_UNCLAIMED)))
    set_column(numbers, Number.CONTENTION, narrow(column(state, Vm.CONTENTION)))
    set_column(numbers, Number.S_PER_EXIT_BYTE, 1.0 / narrow(column(state, Vm.EXIT_BYTES_PER_S)))
    set_column(numbers, Number.OVERSHOOT_BYTES, narrow(column(state, Vm.OVERSHOOT_BYTES)))


@exact_part
def plan_pieces(vcpu, vm, numbers, block, active, slots, window_s, table_times, table_values):  # type: ignore[no-untyped-def]
    """The next piece of each migration of a block that is in the mask ``active``."""
    state, first = at(vm, block), block * LANES
    plan_lengths(state, window_s)
    rest = active & bits(column(state, Vm.SLEEPS) > 0.0)
    while rest != 0:
        lane, rest = split_lowest(rest)
        n = first + lane
        own = state_of(vm, n)
        own[Vm.PIECE_S] = plan_sleeps(at(vcpu, n), slots, own[Vm.TIME_S], own[Vm.PIECE_S], own[Vm.SYNC_WAITS])
    set_pieces(state, at(numbers, block))
    rest = active & bits(column(state, Vm.RECORDED) > 0.0)
    while rest != 0:
        lane, rest = split_lowest(rest)
        n = first + lane
        own = state_of(vm, n)
        replay_rates(at(vcpu, n), slots, own[Vm.TIME_S], own[Vm.PIECE_S], table_times, table_values)


@exact_part
def end_pieces(vcpu, vm, numbers, block, random_states, slots, window_s, table_times, table_values):  # type: ignore[no-untyped-def]
    """Book the pieces of a block; end what ends with them."""
    state, first = at(vm, block), block * LANES
    book_pieces(state)
    rest = bits(limit_is_due(state))
    while rest != 0:
        lane, rest = split_lowest(rest)
        grow_limit(state_of(vm, first + lane))
    rest = bits(sync_is_due(state))
    while rest != 0:
        lane, rest = split_lowest(rest)
        n = first + lane
        end_round(at(vcpu, n), state_of(vm, n), slots, window_s)
    rest = bits(column(at(numbers, block), Number.PERIODS_ENDED) > 0.0)
    while rest != 0:
        lane, rest = split_lowest(rest)
        n = first + lane
        draw_periods(at(vcpu, n), random_states, n, slots, state_of(vm, n)[Vm.PIECE_S])
    rest = bits(link_is_due(state))
    while rest != 0:
        lane, rest = split_lowest(rest)
        n = first + lane
        change_bandwidth(state_of(vm, n), random_states, n, table_times, table_values)


@exact_routine
def run_pieces(vcpu, vm, numbers, first, last, members, random_states, slots, parameters, table_times, table_values):  # type: ignore[no-untyped-def]
    """Run the migrations of blocks ``first`` to ``last`` that have time left, for LEFT_S or to their ends.

    ``members`` is scratch. The more blocks there are, the fuller are the packs when most migrations are done.
    """
    window_s, quota_interval_s = parameters.window_s, parameters.quota_interval_s
    for block in range(first, last):
        set_interval_numbers(at(vm, block), at(numbers, block))
    while True:
        count, busy = 0, 0
        for block in range(first, last):
            active = bits(running(at(vm, block)))
            if active != 0:
                busy = busy | (1 << (block - first))
                plan_pieces(vcpu, vm, numbers, block, active, slots, window_s, table_times, table_values)
                count = list_members(members, count, active, block * LANES)
        if count == 0:
            break
        for k in range(0, count, pack_size(slots)):
            pack = pack_of(members, k, count, slots)
            write_pack(vcpu, numbers, pack, min(count - k, pack_size(slots)), slots, quota_interval_s)
        while busy != 0:
            place, busy = split_lowest(busy)
            end_pieces(vcpu, vm, numbers, first + place, random_states, slots, window_s, table_times, table_values)


@exact_part
def complete_telemetry(state, numbers):  # type: ignore[no-untyped-def]
    """The measured bandwidth, and what remains."""
    sending_s = column(state, Vm.SENDING_S)
    was_sending = acting(numbers) & (sending_s > 0.0)
    # A migration that ended has sent its rest at line speed; the bandwidth is that of the rounds.
    in_rounds = where(column(state, Vm.DONE) > 0.0, column(state, Vm.ROUND_END_SENT), column(state, Vm.SENT_BYTES))
    measured = (in_rounds - column(state, Vm.SENT_BEFORE)) / sending_s
    set_column(state, Vm.MEASURED_BANDWIDTH, where(was_sending, measured, column(state, Vm.MEASURED_BANDWIDTH)))
    set_column(state, Vm.REMAINING_BYTES, column(state, Vm.ROUND_BYTES) - column(state, Vm.ROUND_SENT))


@exact_part
def deadline_is_due(state):  # type: ignore[no-untyped-def]
    """Mask of the migrations that have come to their deadlines."""
    late = column(state, Vm.TIME_S) >= column(state, Vm.ENDS_AT_S) - EPSILON_S
    return (column(state, Vm.DONE) == 0.0) & late


@exact_routine
def end_intervals(vcpu, vm, numbers, first, last, members, count, slots):  # type: ignore[no-untyped-def]
    """Complete the telemetry of ``members[:count]``, which are marked, notice missed deadlines, charge the cost."""
    for block in range(first, last):
        state, own = at(vm, block), at(numbers, block)
        complete_telemetry(state, own)
        rest = bits(acting(own) & deadline_is_due(state))
        while rest != 0:
            lane, rest = split_lowest(rest)
            n = block * LANES + lane
            end_at_deadline(at(vcpu, n), state_of(vm, n), slots)
    charge_intervals(vcpu, vm, numbers, first, last, members, count, slots)


@exact_part
def advance(  # type: ignore[no-untyped-def]
    vcpu, vm, numbers, first, last, members, count, scratch, random_states, slots, parameters,
    table_times, table_values,
):  # fmt: skip
    """Run ``members[:count]``, each for the interval that ``begin_intervals`` gave it.

    They are all of the blocks ``first`` to ``last`` that have an interval. Fills their telemetry and, where they end,
    their outcome. ``scratch`` is as long as ``members``.
    """
    run_pieces(vcpu, vm, numbers, first, last, scratch, random_states, slots, parameters, table_times, table_values)
    end_intervals(vcpu, vm, numbers, first, last, members, count, slots)
