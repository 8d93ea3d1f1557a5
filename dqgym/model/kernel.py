"""One control interval of one migration, exactly from event to event, as ``numba`` code.

``start_migration`` and ``advance`` work on row ``n`` of the arrays of ``dqgym.model.layout``. The batch loops around them
are in ``dqgym.backends.model`` (explicit commands) and ``dqgym.envs.kernel`` (actions, observations, rewards, resets).
``slots`` is a tuple as long as there are vCPU slots: its length is part of its type, so it is a constant for the
compiler, which then vectorises the loops over the slots.

The sender follows QEMU (migration/ram.c, migration/migration.c): it sends what is to send in this round; once no more
than bandwidth * downtime limit is left it syncs the dirty log; it stops the guest and sends the rest at line speed if
that still holds with the pages found dirty, otherwise they are the next round.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dqgym import cost
from dqgym.model.dirtying import apply_quota, commit_writes, natural_writes, quota_demand
from dqgym.elementary import FAST, one_minus_exp
from dqgym.model.layout import VCPU_PARAMETERS, VM_PARAMETERS, Vcpu, Vm
from dqgym.model.link import change_bandwidth, start_link
from dqgym.random import exponential
from dqgym.stall import window_stall
from dqgym.tiles import at, row

_f = np.float32
_ROWS = len(Vcpu)
_COLUMNS = len(Vm)
_EPSILON_S = 1e-9
_WINDOW_S = cost.WINDOW_S - _EPSILON_S
_MISSED = cost.MISSED_DEADLINE_FACTOR - 1.0


@njit(fastmath=FAST, error_model="numpy")
def start_migration(vcpu, vm, random_states, n, slots, pool_vcpu, pool_vm, m, table_times, table_values, preference):  # type: ignore[no-untyped-def]
    """Make row ``n`` a fresh migration of scenario ``m`` of the pool: every page is to send, nothing has happened."""
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
        tile[Vcpu.HOT_PENDING, i] = tile[Vcpu.HOT_BYTES, i]
        tile[Vcpu.COLD_PENDING, i] = tile[Vcpu.COLD_BYTES, i]
        tile[Vcpu.PHASE, i] = tile[Vcpu.OFFSET, i]
        tile[Vcpu.CURRENT_PERIOD, i] = tile[Vcpu.PERIOD, i]
    state[Vm.PREFERENCE] = preference
    state[Vm.ROUND] = 1.0
    state[Vm.SYNCS] = 1.0  # the one that setup makes
    state[Vm.ROUND_BYTES] = state[Vm.MEMORY_BYTES]
    state[Vm.REMAINING_BYTES] = state[Vm.MEMORY_BYTES]
    state[Vm.DEVICE_PENDING] = state[Vm.DEVICE_BYTES]
    state[Vm.MEASURED_BANDWIDTH] = state[Vm.NOMINAL_BANDWIDTH]
    state[Vm.LEAST_CAP] = 1.0
    start_link(state, random_states, n, table_times, table_values)


@njit(inline="always", fastmath=FAST, error_model="numpy")
def write_piece(tile, state, slots, duration_s, sent_bytes, parameters):  # type: ignore[no-untyped-def]
    """All writes of the guest and its devices in a piece of a round in which ``sent_bytes`` leave."""
    round_bytes = max(state[Vm.ROUND_BYTES], 1.0)
    unsent_from = 1.0 - state[Vm.ROUND_SENT] / round_bytes
    unsent_to = 1.0 - (state[Vm.ROUND_SENT] + sent_bytes) / round_bytes
    natural_writes(tile, slots, duration_s, unsent_from, unsent_to)
    unclaimed, beyond, count = quota_demand(tile, slots, duration_s)
    if beyond > 0.0:
        granted = state[Vm.SHARE_UNCLAIMED] * min(unclaimed / beyond, _f(1.0))
        sent_share = 1.0 - 0.5 * (unsent_from + unsent_to)
        apply_quota(tile, slots, duration_s, sent_share, granted, count, parameters)
    commit_writes(tile, slots, duration_s)
    if state[Vm.DEVICE_RATE] > 0.0:
        working_set, pending = state[Vm.DEVICE_BYTES], state[Vm.DEVICE_PENDING]
        clean = max(working_set - pending * unsent_from - state[Vm.DEVICE_DIRTY], 0.0)
        inflow = pending * (unsent_from - unsent_to)
        x = state[Vm.DEVICE_RATE] * duration_s / working_set
        visited = one_minus_exp(_f(x))
        state[Vm.DEVICE_DIRTY] += clean * visited + inflow * max(1.0 - visited / max(x, 1e-12), 0.0)


@njit(fastmath=FAST, error_model="numpy")
def draw_periods(tile, random_states, n, slots, duration_s):  # type: ignore[no-untyped-def]
    """Bursty schedules: a period that ended in the last piece is followed by one of another length."""
    for i in range(len(slots)):
        if tile[Vcpu.RANDOM_PERIOD, i] > 0.0 and tile[Vcpu.PHASE, i] < duration_s:
            tile[Vcpu.CURRENT_PERIOD, i] = max(
                _f(exponential(random_states, n, tile[Vcpu.PERIOD, i])), tile[Vcpu.PHASE, i] + _f(1e-3)
            )


@njit(inline="always", fastmath=FAST, error_model="numpy")
def sync_dirty_log(tile, state, slots):  # type: ignore[no-untyped-def]
    """Add the dirty pages to those still to send; returns the bytes then remaining."""
    unsent = 1.0 - state[Vm.ROUND_SENT] / max(state[Vm.ROUND_BYTES], 1.0)
    found = state[Vm.DEVICE_DIRTY]
    vcpus_found = _f(0.0)
    hot_pending, cold_pending = row(tile, Vcpu.HOT_PENDING, slots), row(tile, Vcpu.COLD_PENDING, slots)
    hot_dirty, cold_dirty = row(tile, Vcpu.HOT_DIRTY, slots), row(tile, Vcpu.COLD_DIRTY, slots)
    cold_bytes, sequential, front = row(tile, Vcpu.COLD_BYTES, slots), row(tile, Vcpu.SEQUENTIAL, slots), row(tile, Vcpu.FRONT, slots)
    for i in range(len(slots)):
        vcpus_found += hot_dirty[i] + cold_dirty[i]
        hot_pending[i] = hot_pending[i] * _f(unsent) + hot_dirty[i]
        cold_pending[i] = cold_pending[i] * _f(unsent) + cold_dirty[i]
        hot_dirty[i] = 0.0
        cold_dirty[i] = 0.0
        # What a sequential writer wrote lies behind it; it meets everything else first.
        front[i] = sequential[i] * max(cold_bytes[i] - cold_pending[i], _f(0.0))
    found += vcpus_found
    state[Vm.DEVICE_PENDING] = state[Vm.DEVICE_PENDING] * unsent + state[Vm.DEVICE_DIRTY]
    state[Vm.DEVICE_DIRTY] = 0.0
    state[Vm.ROUND_BYTES] = max(state[Vm.ROUND_BYTES] - state[Vm.ROUND_SENT], 0.0) + found
    state[Vm.ROUND_SENT] = 0.0
    state[Vm.SYNCS] += 1.0
    state[Vm.SYNC_TIME_S] = state[Vm.TIME_S]
    state[Vm.SYNCED_DIRTY_BYTES] += found
    state[Vm.SYNCED_SENT_BYTES] = state[Vm.SENT_BYTES]
    return state[Vm.ROUND_BYTES]


@njit(fastmath=FAST, error_model="numpy")
def end_round(tile, state, slots):  # type: ignore[no-untyped-def]
    """Sync; stop the guest and send the rest if it fits into the downtime limit, else begin the next round."""
    remaining = sync_dirty_log(tile, state, slots)
    if remaining <= state[Vm.BANDWIDTH] * state[Vm.DOWNTIME_LIMIT_S]:
        downtime_s = remaining / max(state[Vm.BANDWIDTH], state[Vm.LINE_SPEED])
        state[Vm.DOWNTIME_S] = downtime_s
        state[Vm.TIME_S] += downtime_s
        state[Vm.SENT_BYTES] += remaining
        state[Vm.ROUND_BYTES] = 0.0
        state[Vm.DONE] = 1.0
        state[Vm.CONVERGED] = 1.0
    else:
        state[Vm.ROUND] += 1.0
        state[Vm.ROUND_TIME_S] = 0.0


@njit(inline="always", fastmath=FAST, error_model="numpy")
def charge_window(tile, state, slots):  # type: ignore[no-untyped-def]
    """Add the stall cost of the window that ends now and begin another."""
    run_s = row(tile, Vcpu.WINDOW_RUN_S, slots)
    state[Vm.STALL_S] += window_stall(row(tile, Vcpu.PRESENT, slots), run_s, state[Vm.WINDOW_S], state[Vm.VCPUS])
    for i in range(len(slots)):
        run_s[i] = 0.0
    state[Vm.WINDOW_S] = 0.0


@njit(inline="always", fastmath=FAST, error_model="numpy")
def charge_interval(tile, state, slots):  # type: ignore[no-untyped-def]
    """Bring the four terms of the cost (``dqgym.cost``) up to date."""
    running_s = state[Vm.INTERVAL_S]
    run_total, window_run, run_s = row(tile, Vcpu.RUN_TOTAL_S, slots), row(tile, Vcpu.WINDOW_RUN_S, slots), row(tile, Vcpu.RUN_S, slots)
    total_run_s = _f(0.0)
    for i in range(len(slots)):
        run_total[i] += run_s[i]
        window_run[i] += run_s[i]
        total_run_s += run_s[i]
    state[Vm.PAUSED_S] = 0.0 if total_run_s > 0.0 else state[Vm.PAUSED_S] + running_s
    state[Vm.WINDOW_S] += running_s
    done = state[Vm.DONE] > 0.0
    if state[Vm.WINDOW_S] >= _WINDOW_S or (done and state[Vm.WINDOW_S] > 0.0):
        charge_window(tile, state, slots)
    per_pass = 1.0 / state[Vm.PASS_TIME_S]
    state[Vm.TIME_TERM] = state[Vm.TIME_S] * per_pass
    state[Vm.STALL_TERM] = state[Vm.PREFERENCE] * state[Vm.STALL_S] * per_pass
    if done:
        beyond_s = max(state[Vm.DOWNTIME_S] - state[Vm.DOWNTIME_LIMIT_S], 0.0) * cost.MAX_STALL
        state[Vm.STALL_S] += beyond_s
        state[Vm.DOWNTIME_TERM] = state[Vm.PREFERENCE] * beyond_s * per_pass
        if state[Vm.CONVERGED] == 0.0:
            state[Vm.DEADLINE_TERM] = _MISSED * (state[Vm.TIME_TERM] + state[Vm.STALL_TERM] + state[Vm.DOWNTIME_TERM])


@njit(fastmath=FAST, error_model="numpy")
def advance(vcpu, vm, random_states, n, slots, interval_s, sync, parameters, table_times, table_values):  # type: ignore[no-untyped-def]
    """Run migration ``n`` for ``interval_s`` seconds under the command in its tile.

    Fills its telemetry and, where it ends, its outcome. A round that ends in the interval, or a bandwidth that changes,
    cuts the interval into pieces.
    """
    tile, state = at(vcpu, n), at(vm, n)
    for i in range(len(slots)):
        tile[Vcpu.DIRTIED_BYTES, i] = 0.0
        tile[Vcpu.QUOTA_EXITS, i] = 0.0
        tile[Vcpu.STALLED_S, i] = 0.0
        tile[Vcpu.RUN_S, i] = 0.0
    began_s, sent_bytes, sending_s = state[Vm.TIME_S], 0.0, 0.0
    state[Vm.INTERVAL_S] = 0.0
    if sync:
        sync_dirty_log(tile, state, slots)
    left_s = min(interval_s, state[Vm.DEADLINE_S] - began_s)
    while left_s > _EPSILON_S and state[Vm.DONE] == 0.0:
        bandwidth = state[Vm.BANDWIDTH]
        pending = state[Vm.ROUND_BYTES] - state[Vm.ROUND_SENT]
        until_low_s = (pending - bandwidth * state[Vm.DOWNTIME_LIMIT_S]) / bandwidth
        round_left_s = max(until_low_s, parameters.least_round_s - state[Vm.ROUND_TIME_S])
        piece_s = min(left_s, round_left_s, state[Vm.LINK_NEXT_S] - state[Vm.TIME_S])
        if piece_s > _EPSILON_S:
            sent = min(bandwidth * piece_s, pending)
            write_piece(tile, state, slots, piece_s, sent, parameters)
            sent_bytes += sent
            sending_s += sent / bandwidth
            state[Vm.ROUND_SENT] += sent
            state[Vm.SENT_BYTES] += sent
            state[Vm.TIME_S] += piece_s
            state[Vm.ROUND_TIME_S] += piece_s
            state[Vm.INTERVAL_S] = state[Vm.TIME_S] - began_s
            left_s -= piece_s
            if state[Vm.BURSTY] > 0.0:
                draw_periods(tile, random_states, n, slots, piece_s)
        if piece_s >= round_left_s - _EPSILON_S:
            end_round(tile, state, slots)
        if state[Vm.DONE] == 0.0 and state[Vm.TIME_S] >= state[Vm.LINK_NEXT_S] - _EPSILON_S:
            change_bandwidth(state, random_states, n, table_times, table_values)
    if sending_s > 0.0:
        state[Vm.MEASURED_BANDWIDTH] = sent_bytes / sending_s
    if state[Vm.DONE] == 0.0 and state[Vm.TIME_S] >= state[Vm.DEADLINE_S] - _EPSILON_S:
        state[Vm.DONE] = 1.0
    state[Vm.REMAINING_BYTES] = state[Vm.ROUND_BYTES] - state[Vm.ROUND_SENT]
    charge_interval(tile, state, slots)
