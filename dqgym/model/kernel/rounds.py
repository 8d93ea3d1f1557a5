"""The end of a round, of one migration: the sync, and what follows from it.

The sender follows QEMU (migration/ram.c, migration/migration.c): it stops the guest and sends the rest at line speed if
that fits into the downtime limit with the pages found dirty, otherwise they are the next round.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.array_views import row
from dqgym.jit.compile import part, routine
from dqgym.jit.fast_math import exp, log
from dqgym.model.kernel.clear_chunks import uncleared
from dqgym.model.kernel.ends import end_last_round, grow_limit
from dqgym.model.kernel.sleeping import empty_rings, kick, sync_wait
from dqgym.model.layout import Vcpu, Vm

_f, _f64 = np.float32, np.float64
_TINY = 1e-9
"""Keeps a share that nothing is left of from dividing by 0."""
_LEAST_SHARE = _f(1e-30)


@part
def fits(state, remaining, bandwidth):  # type: ignore[no-untyped-def]
    """True where what remains, zeros included, needs no more than the downtime limit at this bandwidth.

    A zero page counts as one to send, as QEMU has it, or as the time of its scan where that is longer.
    """
    zeros = state[Vm.ZERO_LEFT] * max(bandwidth / state[Vm.SCAN_BYTES_PER_S], 1.0)
    return remaining + zeros <= bandwidth * state[Vm.DOWNTIME_LIMIT_NOW_S]


@routine
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
        sealed = uncleared(state[Vm.CLEARED_AHEAD], state[Vm.ADDRESS], 1.0 - unsent, 1.0 - unsent)
        cleared = _f(max(1.0 - sealed / max(unsent, _TINY), 0.0))
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
