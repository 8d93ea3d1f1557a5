"""One control interval of one migration, exactly from event to event, as ``numba`` code.

Its parts work on single rows of the arrays of ``dqgym.model.layout``, ``advance`` on a block of them. The batch loops
around them are in ``dqgym.backends.model`` (explicit commands) and ``dqgym.envs.kernel`` (actions, observations,
rewards, resets).
``slots`` is a tuple as long as there are vCPU slots: its length is part of its type, so it is a constant for the
compiler, which then vectorises the loops over the slots.

The sender follows QEMU (migration/ram.c, migration/migration.c): it sends what is to send in this round; once no more
than bandwidth * downtime limit is left at the start of a send window it syncs the dirty log; it stops the guest and
sends the rest at line speed if that still holds with the pages found dirty, otherwise they are the next round.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.array_views import at, row
from dqgym.jit.compile import part, routine
from dqgym.jit.fast_math import exp, log
from dqgym.model.clear_chunks import next_clearing, uncleared
from dqgym.model.cost_terms import charge_interval
from dqgym.model.dirtying import (
    apply_quota,
    commit_writes,
    natural_hot_writes,
    natural_writes,
    random_writes,
    split_hot_writes,
)
from dqgym.model.ends import end_at_deadline, end_last_round, grow_limit, start_limits
from dqgym.model.layout import VCPU_PARAMETERS, VM_PARAMETERS, Vcpu, Vm
from dqgym.model.link_kernel import change_bandwidth, start_link
from dqgym.model.replayed_rates import replay_rates
from dqgym.model.schedules import begin_period, draw_periods
from dqgym.model.sleeping import (
    SAME_TIME_S,
    count_ring_entries,
    empty_rings,
    kick,
    plan_sleeps,
    stop_at_full_ring,
    sync_wait,
)
from dqgym.model.survey_kernel import run_survey

_f, _f64 = np.float32, np.float64
_ROWS = len(Vcpu)
_COLUMNS = len(Vm)
_EPSILON_S = 1e-9
_SAME_BYTES = 1.0
_FEW_BEYOND = 0.9
"""A piece is not parted for what lies beyond this share of it."""
_SAME_WINDOW = 1e-6
"""Share of a send window that rounding may take from a time."""
BLOCK = 16
"""Migrations that ``advance`` works on side by side: as many as the processor's first cache holds."""
_LEAST_SHARE = _f(1e-30)


@routine
def start_migration(  # type: ignore[no-untyped-def]
    vcpu, vm, random_states, n, slots, pool_vcpu, pool_vm, m, table_times, table_values, preference, survey_s
):  # fmt: skip
    """Make row ``n`` a fresh migration of scenario ``m`` of the pool: every page is to send.

    Nothing has happened yet, but for a survey of ``survey_s`` where that is not 0.
    """
    tile, state = at(vcpu, n), at(vm, n)
    for k in range(VCPU_PARAMETERS):
        for i in range(len(slots)):
            tile[k, i] = pool_vcpu[m, k, i]
    for k in range(VCPU_PARAMETERS, _ROWS):
        for i in range(len(slots)):
            tile[k, i] = 0.0
    for k in range(VM_PARAMETERS):
        state[k] = pool_vm[m, k]
    for k in range(VM_PARAMETERS, _COLUMNS):
        state[k] = 0.0
    for i in range(len(slots)):
        tile[Vcpu.PHASE, i] = tile[Vcpu.OFFSET, i]
        begin_period(tile, i, tile[Vcpu.PERIOD, i])
    start_link(state, random_states, n, table_times, table_values)
    if survey_s > 0.0:
        run_survey(tile, state, random_states, n, slots, survey_s, table_times, table_values)
    for i in range(len(slots)):
        tile[Vcpu.HOT_PENDING, i] = tile[Vcpu.HOT_BYTES, i]
        tile[Vcpu.COLD_PENDING, i] = tile[Vcpu.COLD_BYTES, i]
        tile[Vcpu.STILL_WAITING, i] = 1.0
        tile[Vcpu.AHEAD, i] = tile[Vcpu.COLD_BYTES, i] * (1.0 - state[Vm.LAZY_CLEAR])
    state[Vm.SYNC_TIME_S] = state[Vm.TIME_S]  # of the sync that setup makes
    state[Vm.PREFERENCE] = preference
    state[Vm.ROUND] = 1.0
    state[Vm.SYNCS] = 1.0
    state[Vm.ROUND_BYTES] = state[Vm.MEMORY_BYTES]
    state[Vm.REMAINING_BYTES] = state[Vm.MEMORY_BYTES]
    state[Vm.ZERO_LEFT] = state[Vm.ZERO_BYTES]
    state[Vm.DEVICE_PENDING] = state[Vm.DEVICE_BYTES]
    state[Vm.MEASURED_BANDWIDTH] = state[Vm.NOMINAL_BANDWIDTH]
    state[Vm.LEAST_CAP] = 1.0
    start_limits(state)


@part
def plan_scan(state, pending, low_at_s):  # type: ignore[no-untyped-def]
    """(when no more than fits into the downtime is left, whether zeros are gone through now, for how long that stays).

    Pages of zeros are the last of the first round; those that it leaves come first in the next. They wait like others,
    and ``low_at_s`` is when the others alone would fit.
    """
    zero_left, scan = state[Vm.ZERO_LEFT], state[Vm.SCAN_BYTES_PER_S]
    bandwidth, downtime_s = state[Vm.BANDWIDTH], state[Vm.DOWNTIME_LIMIT_NOW_S]
    counted = min(bandwidth, scan)  # speed at which zeros count
    if state[Vm.ROUND] > 1.0:
        room_s = max(downtime_s - pending / bandwidth, 0.0)
        return low_at_s + zero_left / scan + room_s * (1.0 - counted / scan), True, zero_left / scan
    low_at_s += min(zero_left / counted, downtime_s) + max(zero_left - counted * downtime_s, 0.0) / scan
    if pending > _SAME_BYTES:
        return low_at_s, False, pending / bandwidth
    return low_at_s, True, zero_left / scan


@part
def fits(state, remaining, bandwidth):  # type: ignore[no-untyped-def]
    """True where what remains, zeros included, needs no more than the downtime limit at this bandwidth.

    A zero page counts as one to send, as QEMU has it, or as the time of its scan where that is longer.
    """
    zeros = state[Vm.ZERO_LEFT] * max(bandwidth / state[Vm.SCAN_BYTES_PER_S], 1.0)
    return remaining + zeros <= bandwidth * state[Vm.DOWNTIME_LIMIT_NOW_S]


@part
def plan_piece(tile, state, slots, parameters):  # type: ignore[no-untyped-def]
    """The length of the next piece: to the sync, the end of the interval, a new bandwidth or downtime limit, or a vCPU
    that wakes.

    The sync is due at the first start of a send window at which no more than bandwidth * downtime limit is left. While
    it waits for sleeping vCPUs nothing is sent.
    """
    bandwidth, sent_before = state[Vm.BANDWIDTH], state[Vm.ROUND_SENT]
    pending = state[Vm.ROUND_BYTES] - sent_before
    window_s, round_time_s = parameters.window_s, state[Vm.ROUND_TIME_S]
    downtime_s = state[Vm.DOWNTIME_LIMIT_NOW_S]
    low_at_s = round_time_s + pending / bandwidth - downtime_s
    scans, scans_until_s = False, np.inf
    if state[Vm.ZERO_LEFT] > 0.0:
        low_at_s, scans, scans_until_s = plan_scan(state, pending, low_at_s)
    windows = max(np.ceil(max(low_at_s, round_time_s) / window_s - _SAME_WINDOW), 1.0)
    until_sync_s = windows * window_s - round_time_s
    waiting = state[Vm.WAIT_LEFT_S] > 0.0
    until_sync_s = state[Vm.WAIT_LEFT_S] if waiting else until_sync_s
    changes_s = min(state[Vm.LINK_NEXT_S], state[Vm.GROWS_AT_S]) - state[Vm.TIME_S]
    piece_s = min(state[Vm.LEFT_S], until_sync_s, changes_s)
    if scans_until_s < np.inf and not waiting:
        piece_s = min(piece_s, scans_until_s)
    if state[Vm.CLEARED_AHEAD] > 0.0 and not waiting and not scans:
        clearing = next_clearing(state, sent_before / max(state[Vm.ROUND_BYTES], 1.0))
        clearing_s = (clearing * state[Vm.ROUND_BYTES] - sent_before) / bandwidth
        piece_s = clearing_s if _SAME_WINDOW < clearing_s < _FEW_BEYOND * piece_s else piece_s
    if state[Vm.SLEEPS] > 0.0:
        piece_s = plan_sleeps(tile, slots, state[Vm.TIME_S], piece_s, state[Vm.SYNC_WAITS])
    piece_s = max(piece_s, _EPSILON_S)
    scans = scans and not waiting
    state[Vm.SCANS] = 1.0 if scans else 0.0
    sent = 0.0 if waiting or scans else min(bandwidth * piece_s, pending)
    per_round = 1.0 / max(state[Vm.ROUND_BYTES], 1.0)
    share_before = sent_before * per_round
    unsent_from = uncleared(state, share_before, share_before)
    unsent_to = uncleared(state, share_before + sent * per_round, share_before)
    lazy_clear = state[Vm.LAZY_CLEAR]
    state[Vm.PIECE_S] = piece_s
    state[Vm.PIECE_SENT] = sent
    tolerance_s = 2.0 * SAME_TIME_S if waiting else _EPSILON_S
    state[Vm.PIECE_ENDS_ROUND] = 1.0 if piece_s >= until_sync_s - tolerance_s else 0.0
    state[Vm.UNSENT_FROM] = lazy_clear * unsent_from
    state[Vm.UNSENT_TO] = lazy_clear * unsent_to
    state[Vm.MET_SENT] = lazy_clear * (1.0 - 0.5 * (unsent_from + unsent_to))


@part
def write_without_quota(tile, state, slots):  # type: ignore[no-untyped-def]
    """The bytes that the vCPUs would dirty in the piece if no quota stopped them."""
    h, unsent_from, unsent_to = state[Vm.PIECE_S], state[Vm.UNSENT_FROM], state[Vm.UNSENT_TO]
    unclaimed, beyond, count = natural_writes(tile, slots, h, unsent_from, unsent_to, state[Vm.MET_SENT])
    if state[Vm.HOT] > 0.0:
        unclaimed, beyond, count = natural_hot_writes(tile, slots, h, unsent_from, unsent_to)
    state[Vm.UNCLAIMED], state[Vm.BEYOND], state[Vm.BEYOND_COUNT] = unclaimed, beyond, count


@part
def stop_at_quota(tile, state, slots, parameters):  # type: ignore[no-untyped-def]
    """Stop the vCPUs that would go beyond their quotas, and those whose rings are full."""
    if state[Vm.BEYOND] > 0.0 or state[Vm.SLEEPS] > 0.0:  # Sleepers save quota.
        granted = state[Vm.SHARE_UNCLAIMED] * min(state[Vm.UNCLAIMED] / max(state[Vm.BEYOND], 1.0), 1.0)
        count = state[Vm.BEYOND_COUNT]
        exit_s_per_byte = (1.0 + state[Vm.CONTENTION] * count * (count - 1.0)) / state[Vm.EXIT_BYTES_PER_S]
        interval_s, overshoot_bytes = parameters.quota_interval_s, state[Vm.OVERSHOOT_BYTES]
        apply_quota(tile, slots, state[Vm.PIECE_S], granted, interval_s, overshoot_bytes, exit_s_per_byte)
        if state[Vm.HOT] > 0.0:
            split_hot_writes(tile, slots)
    if state[Vm.RING_SLEEPS] > 0.0:
        stop_at_full_ring(tile, slots, state[Vm.PIECE_S])


@part
def device_writes(state):  # type: ignore[no-untyped-def]
    """Random writes of devices and the hypervisor in the piece; charged to no vCPU."""
    working_set, pending = state[Vm.DEVICE_BYTES], state[Vm.DEVICE_PENDING]
    clean = max(working_set - pending * state[Vm.UNSENT_FROM] - state[Vm.DEVICE_DIRTY], 0.0)
    inflow = pending * (state[Vm.UNSENT_FROM] - state[Vm.UNSENT_TO])
    x = state[Vm.DEVICE_RATE] * state[Vm.PIECE_S] / working_set
    state[Vm.DEVICE_DIRTY] += random_writes(_f(clean), _f(inflow), _f(x))


@part
def sync_dirty_log(tile, state, slots):  # type: ignore[no-untyped-def]
    """Add the dirty pages to those still to send; returns the bytes then remaining.

    Where the log is cleared before a page is sent, dirty pages may be among those still to send. A random writer hits
    these as often as any others, a sequential one those that it found a loop ago and that have not been sent since.
    """
    unsent = 1.0 - state[Vm.ROUND_SENT] / max(state[Vm.ROUND_BYTES], 1.0)
    left, eager_clear = _f(unsent), _f(1.0 - state[Vm.LAZY_CLEAR])
    # Of those still to send, the share whose log is cleared.
    cleared = _f(1.0)
    if state[Vm.LAZY_CLEAR] > 0.0:
        sealed = uncleared(state, 1.0 - unsent, 1.0 - unsent)
        cleared = _f(max(1.0 - sealed / max(unsent, _EPSILON_S), 0.0))
    vcpus_found = _f(0.0)
    per_hot, per_cold = row(tile, Vcpu.PER_HOT, slots), row(tile, Vcpu.PER_COLD, slots)
    hot_pending, cold_pending = row(tile, Vcpu.HOT_PENDING, slots), row(tile, Vcpu.COLD_PENDING, slots)
    hot_dirty, cold_dirty = row(tile, Vcpu.HOT_DIRTY, slots), row(tile, Vcpu.COLD_DIRTY, slots)
    cold_bytes, sequential = row(tile, Vcpu.COLD_BYTES, slots), row(tile, Vcpu.SEQUENTIAL, slots)
    ahead, passed = row(tile, Vcpu.AHEAD, slots), row(tile, Vcpu.PASSED, slots)
    still_waiting = row(tile, Vcpu.STILL_WAITING, slots)
    for i in range(len(slots)):
        hot_left, cold_left = hot_pending[i] * left, cold_pending[i] * left
        hot_new = hot_dirty[i] * (_f(1.0) - cleared * hot_left * per_hot[i])
        at_random = cold_dirty[i] * (_f(1.0) - cleared * cold_left * per_cold[i])
        waits = max(still_waiting[i] * left, _LEAST_SHARE)
        in_order = cold_dirty[i] * (_f(1.0) - cleared * waits)
        # Those ahead were found a loop ago, and have survived the rounds since.
        still_waiting[i] = exp((_f(1.0) - min(cold_dirty[i] * per_cold[i], _f(1.0))) * log(waits))
        cold_new = sequential[i] * in_order + (_f(1.0) - sequential[i]) * at_random
        vcpus_found += hot_new + cold_new
        hot_pending[i] = hot_left + hot_new
        cold_pending[i] = cold_left + cold_new
        hot_dirty[i] = 0.0
        cold_dirty[i] = 0.0
        ahead[i] = max(cold_bytes[i] - cold_pending[i] * (_f(1.0) - eager_clear), _f(0.0))
        passed[i] = 0.0
    address = state[Vm.ADDRESS] + 1.0 - unsent
    state[Vm.ADDRESS] = address - np.floor(address)
    found = _f64(vcpus_found)
    if state[Vm.DEVICE_BYTES] > 0.0:
        device_left = state[Vm.DEVICE_PENDING] * unsent
        device_new = state[Vm.DEVICE_DIRTY] * (1.0 - cleared * device_left / state[Vm.DEVICE_BYTES])
        state[Vm.DEVICE_PENDING] = device_left + device_new
        state[Vm.DEVICE_DIRTY] = 0.0
        found += device_new
    if state[Vm.RINGS] + state[Vm.RING_SLEEPS] > 0.0:
        empty_rings(tile, slots)
    state[Vm.ROUND_BYTES] = max(state[Vm.ROUND_BYTES] - state[Vm.ROUND_SENT], 0.0) + found
    state[Vm.ROUND_SENT] = 0.0
    state[Vm.SYNCS] += 1.0
    state[Vm.SYNC_TIME_S] = state[Vm.TIME_S]
    state[Vm.SYNCED_DIRTY_BYTES] += found
    state[Vm.SYNCED_SENT_BYTES] = state[Vm.SENT_BYTES]
    return state[Vm.ROUND_BYTES]


@part
def must_wait(tile, state, slots):  # type: ignore[no-untyped-def]
    """True where the sync that is due has yet to wait for sleeping vCPUs."""
    if state[Vm.WAIT_S] > 0.0:  # It has waited.
        return False
    if state[Vm.KICKS_WAKE] > 0.0:
        kick(tile, slots)
    if state[Vm.SLEEPS] > 0.0:
        state[Vm.WAIT_S] = sync_wait(tile, slots, state[Vm.TIME_S], state[Vm.SYNC_WAITS])
    state[Vm.WAIT_LEFT_S] = state[Vm.WAIT_S]
    return state[Vm.WAIT_S] > 0.0


@part
def make_up_for_wait(state, waited_s, window_s):  # type: ignore[no-untyped-def]
    """Send at once, at line speed, the budget of the send window that went by while the sync waited.

    Where the window is over, QEMU looks again whether the rest fits (migration/migration.c: migration_update_counters).
    Returns the bandwidth that it does so with, which is what the wait left; negative where it does not look.
    """
    bandwidth = state[Vm.BANDWIDTH]
    idle = 1.0 - bandwidth / max(state[Vm.LINE_SPEED], bandwidth)
    sent = min(min(waited_s, window_s) * bandwidth * idle, state[Vm.ROUND_BYTES])
    state[Vm.ROUND_SENT] = sent
    state[Vm.SENT_BYTES] += sent
    state[Vm.SENDING_S] += sent / bandwidth
    return sent / waited_s if waited_s >= window_s else -1.0


@routine
def end_round(tile, state, slots, window_s):  # type: ignore[no-untyped-def]
    """Sync; stop the guest and send the rest if it fits into the downtime limit, else begin the next round."""
    if must_wait(tile, state, slots):
        return
    remaining, zero_left = sync_dirty_log(tile, state, slots), state[Vm.ZERO_LEFT]
    converges = fits(state, remaining, state[Vm.BANDWIDTH])
    waited_s = state[Vm.WAIT_S]
    state[Vm.WAIT_S] = 0.0
    if waited_s > 0.0 and not converges:
        carried = make_up_for_wait(state, waited_s, window_s)
        remaining -= state[Vm.ROUND_SENT]
        converges = fits(state, remaining, carried)
    if converges:
        downtime_s = remaining / max(state[Vm.BANDWIDTH], state[Vm.LINE_SPEED])
        downtime_s += zero_left / state[Vm.SCAN_BYTES_PER_S] + state[Vm.LAST_STAGE_S]
        state[Vm.DOWNTIME_S] = downtime_s
        state[Vm.ROUND_END_SENT] = state[Vm.SENT_BYTES]
        state[Vm.TIME_S] += downtime_s
        state[Vm.SENT_BYTES] += remaining
        state[Vm.ROUND_BYTES] = 0.0
        state[Vm.ZERO_LEFT] = 0.0
        state[Vm.DONE] = 1.0
        state[Vm.CONVERGED] = 1.0
        return
    state[Vm.ROUND_TIME_S] = waited_s if waited_s < window_s else 0.0
    if state[Vm.ROUND] >= state[Vm.MAX_ROUNDS] and state[Vm.PAUSED] == 0.0:
        end_last_round(tile, state, slots)
    if state[Vm.DONE] == 0.0:
        state[Vm.ROUND] += 1.0
        if state[Vm.ROUND] >= state[Vm.GROWS_IN_ROUND]:
            grow_limit(state)


@part
def begin_interval(tile, state, slots, interval_s, sync):  # type: ignore[no-untyped-def]
    """Clear the telemetry of the last interval; LEFT_S is then what this one may take."""
    for i in range(len(slots)):
        tile[Vcpu.DIRTIED_BYTES, i] = 0.0
        tile[Vcpu.QUOTA_EXITS, i] = 0.0
        tile[Vcpu.STALLED_S, i] = 0.0
        tile[Vcpu.RUN_S, i] = 0.0
    state[Vm.INTERVAL_S] = 0.0
    state[Vm.SENT_BEFORE] = state[Vm.SENT_BYTES]
    state[Vm.SENDING_S] = 0.0
    state[Vm.LEFT_S] = min(interval_s, state[Vm.ENDS_AT_S] - state[Vm.TIME_S])
    if sync:
        sync_dirty_log(tile, state, slots)


@part
def end_piece(tile, state, slots, window_s):  # type: ignore[no-untyped-def]
    """Book the piece; end the round where it led there."""
    piece_s, sent = state[Vm.PIECE_S], state[Vm.PIECE_SENT]
    commit_writes(tile, slots, piece_s)
    if state[Vm.RINGS] + state[Vm.RING_SLEEPS] > 0.0:
        count_ring_entries(tile, slots)
    if state[Vm.DEVICE_RATE] > 0.0:
        device_writes(state)
    state[Vm.ROUND_SENT] += sent
    state[Vm.SENT_BYTES] += sent
    state[Vm.SENDING_S] += sent / state[Vm.BANDWIDTH]
    state[Vm.TIME_S] += piece_s
    state[Vm.ROUND_TIME_S] += piece_s
    state[Vm.INTERVAL_S] += piece_s
    state[Vm.LEFT_S] -= piece_s
    if state[Vm.SCANS] > 0.0:
        state[Vm.ZERO_LEFT] = max(state[Vm.ZERO_LEFT] - piece_s * state[Vm.SCAN_BYTES_PER_S], 0.0)
    if state[Vm.WAIT_LEFT_S] > 0.0:
        state[Vm.WAIT_LEFT_S] = 0.0 if state[Vm.PIECE_ENDS_ROUND] > 0.0 else state[Vm.WAIT_LEFT_S] - piece_s
    if state[Vm.TIME_S] >= state[Vm.GROWS_AT_S] - _EPSILON_S:
        grow_limit(state)
    if state[Vm.PIECE_ENDS_ROUND] > 0.0:
        end_round(tile, state, slots, window_s)


@part
def end_interval(tile, state, slots):  # type: ignore[no-untyped-def]
    """Complete the telemetry, notice a missed deadline, charge the cost."""
    if state[Vm.SENDING_S] > 0.0:
        # A migration that ended has sent its rest at line speed; the bandwidth is that of the rounds.
        in_rounds = state[Vm.ROUND_END_SENT] if state[Vm.DONE] > 0.0 else state[Vm.SENT_BYTES]
        state[Vm.MEASURED_BANDWIDTH] = (in_rounds - state[Vm.SENT_BEFORE]) / state[Vm.SENDING_S]
    if state[Vm.DONE] == 0.0 and state[Vm.TIME_S] >= state[Vm.ENDS_AT_S] - _EPSILON_S:
        end_at_deadline(tile, state, slots)
    state[Vm.REMAINING_BYTES] = state[Vm.ROUND_BYTES] - state[Vm.ROUND_SENT]
    charge_interval(tile, state, slots)


@routine
def advance(vcpu, vm, random_states, members, count, slots, parameters, table_times, table_values):  # type: ignore[no-untyped-def]
    """Run the migrations ``members[0, :count]``, each for the interval that ``begin_interval`` gave it.

    Fills their telemetry and, where they end, their outcome. ``members[1]`` is scratch.
    """
    for k in range(count):
        members[1, k] = members[0, k]
    run_pieces(vcpu, vm, random_states, members, count, slots, parameters, table_times, table_values)
    for k in range(count):
        end_interval(at(vcpu, members[0, k]), at(vm, members[0, k]), slots)


@routine
def run_pieces(vcpu, vm, random_states, members, active, slots, parameters, table_times, table_values):  # type: ignore[no-untyped-def]
    """Run the migrations ``members[1, :active]``, which is scratch afterwards, for LEFT_S, or to their ends.

    The pieces of different migrations have nothing to do with each other, so they are computed pass by pass: while the
    processor waits for one, it works on the next.
    """
    while active > 0:
        for k in range(active):
            tile, state = at(vcpu, members[1, k]), at(vm, members[1, k])
            plan_piece(tile, state, slots, parameters)
            if state[Vm.RECORDED] > 0.0:
                replay_rates(tile, slots, state[Vm.TIME_S], state[Vm.PIECE_S], table_times, table_values)
        for k in range(active):
            write_without_quota(at(vcpu, members[1, k]), at(vm, members[1, k]), slots)
        for k in range(active):
            stop_at_quota(at(vcpu, members[1, k]), at(vm, members[1, k]), slots, parameters)
        still = 0
        for k in range(active):
            n = members[1, k]
            tile, state = at(vcpu, n), at(vm, n)
            end_piece(tile, state, slots, parameters.window_s)
            if state[Vm.RANDOM_PERIODS] > 0.0:
                draw_periods(tile, random_states, n, slots, state[Vm.PIECE_S])
            if state[Vm.DONE] == 0.0 and state[Vm.TIME_S] >= state[Vm.LINK_NEXT_S] - _EPSILON_S:
                change_bandwidth(state, random_states, n, table_times, table_values)
            if state[Vm.DONE] == 0.0 and state[Vm.LEFT_S] > _EPSILON_S:
                members[1, still] = n
                still += 1
        active = still
