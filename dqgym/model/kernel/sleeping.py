"""vCPUs that sleep, as ``numba`` code: full dirty rings (QEMU's dirty limit), and syncs that wait for sleepers.

QEMU 10.0: ``system/dirtylimit.c`` lets a vCPU sleep when its ring is full; ``system/cpu-throttle.c`` lets all vCPUs
sleep in each time slice. Neither answers to a sync before it wakes (recorded runs show the sender idle for as long).
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.array_views import row
from dqgym.jit.compile import part, routine
from dqgym.jit.fast_math import one_minus_exp
from dqgym.model.kernel.sequential import solid_ahead
from dqgym.model.layout import Vcpu, Vm
from dqgym.model.parameters import TIMESLICE_S

_f = np.float32
_ZERO, _ONE = _f(0.0), _f(1.0)
_TIMESLICE_S = np.float64(TIMESLICE_S)
"""Not a float: Python would compute with it in float32, the compiler in float64."""
_LEAST_LEFT_S = _f(1e-6)
SAME_TIME_S = 1e-6
LEAST_SLEEP_S = 1e-3
"""Sleeps that are shorter count as none: so long takes a full ring anyway."""


@part
def _has_time_slices(tile, i):  # type: ignore[no-untyped-def]
    return _ZERO < tile[Vcpu.COMMANDED_CAP, i] < _ONE


@routine
def _time_slice(tile, i, time_s):  # type: ignore[no-untyped-def]
    """(whether vCPU ``i`` runs in its time slice now, how long that stays so): first it sleeps, then it runs."""
    cycle_s = _TIMESLICE_S / tile[Vcpu.COMMANDED_CAP, i]
    until_s = tile[Vcpu.CAP_SINCE_S, i] - time_s  # the end of this cycle: the old cap's last one, or one of this cap
    if until_s < SAME_TIME_S:
        until_s = cycle_s - (-until_s) % cycle_s
        until_s = cycle_s if until_s < SAME_TIME_S else until_s
    slice_s = tile[Vcpu.RUN_SLICE_S, i]
    runs = until_s <= slice_s + SAME_TIME_S
    return runs, until_s if runs else until_s - slice_s


@routine
def command_sleeps(tile, state, slots):  # type: ignore[no-untyped-def]
    """Take over the commanded caps and ring sleeps."""
    time_s = state[Vm.TIME_S]
    slices, rings = False, False
    for i in range(len(slots)):
        cap = tile[Vcpu.CAP, i]
        if cap != tile[Vcpu.COMMANDED_CAP, i]:
            # The timer of the old slices fires once more before it sees the new cap.
            since_s = time_s
            if _has_time_slices(tile, i):
                runs, left_s = _time_slice(tile, i, time_s)
                since_s += left_s + (0.0 if runs else tile[Vcpu.RUN_SLICE_S, i])
            tile[Vcpu.CAP_SINCE_S, i] = since_s
        tile[Vcpu.COMMANDED_CAP, i] = cap
        if _ZERO < cap < _ONE:
            slices = True
        sleep_s = tile[Vcpu.RING_SLEEP_S, i] if tile[Vcpu.RING_SLEEP_S, i] >= LEAST_SLEEP_S else _ZERO
        tile[Vcpu.RING_SLEEP_S, i] = sleep_s
        if sleep_s > _ZERO or tile[Vcpu.SLEEP_LEFT_S, i] > _ZERO:
            rings = True
    state[Vm.RING_SLEEPS] = 1.0 if rings else 0.0
    state[Vm.SLEEPS] = 1.0 if rings or (slices and state[Vm.SYNC_WAITS] > 0.0) else 0.0


@routine
def lose_quota_asleep(tile, slots, parameters):  # type: ignore[no-untyped-def]
    """Lower the dirty-rate limits of capped vCPUs, where caps do not work in explicit time slices.

    Quota is kept for one interval, so most of what is refilled while a vCPU sleeps is lost: in each cycle it can use
    two refills when it wakes, one in its slice, and overshoot.
    """
    for i in range(len(slots)):
        overshoot = max(_f(parameters.overshoot_bytes), tile[Vcpu.PAGE_BYTES, i])
        limit, cap = tile[Vcpu.LIMIT, i], tile[Vcpu.CAP, i]
        tile[Vcpu.LIMIT, i] = min(limit, cap * (_f(3.0) * limit + overshoot * _f(1.0 / TIMESLICE_S)))


@routine
def plan_sleeps(tile, slots, time_s, piece_s, time_slices):  # type: ignore[no-untyped-def]
    """Let the sleepers not run in this piece; returns its length, cut so that none wakes or falls asleep in its midst.

    ``time_slices``: whether run-share caps work in time slices here; otherwise only the mean matters, and they stay.
    """
    for i in range(len(slots)):
        cap = tile[Vcpu.COMMANDED_CAP, i]
        if time_slices > 0.0 and _has_time_slices(tile, i):
            runs, left_s = _time_slice(tile, i, time_s)
            cap = _ONE if runs else _ZERO
            piece_s = min(piece_s, left_s)
        left_s, sleep_s = tile[Vcpu.SLEEP_LEFT_S, i], tile[Vcpu.RING_SLEEP_S, i]
        if left_s > _ZERO:
            cap = _ZERO
            piece_s = min(piece_s, left_s)
        elif sleep_s > _ZERO:
            piece_s = min(piece_s, sleep_s)  # A ring may fill at once, and its vCPU wake this much later.
        tile[Vcpu.CAP, i] = cap
    return piece_s


@routine
def stop_at_full_ring(tile, slots, duration_s):  # type: ignore[no-untyped-def]
    """Stop each vCPU where its ring is full, and let it sleep."""
    h = _f(duration_s)
    for i in range(len(slots)):
        if tile[Vcpu.SLEEP_LEFT_S, i] > _ZERO:
            left_s = tile[Vcpu.SLEEP_LEFT_S, i] - h
            tile[Vcpu.SLEEP_LEFT_S, i] = left_s if left_s > _LEAST_LEFT_S else _ZERO
            continue
        stores, room = tile[Vcpu.STORES, i], tile[Vcpu.RING_STORES, i] - tile[Vcpu.RING_FILL, i]
        if tile[Vcpu.RING_SLEEP_S, i] == _ZERO or stores < max(room, _ONE):
            continue
        share = room / stores
        # The clean pages in front of a sequential writer come first.
        ahead = solid_ahead(tile[Vcpu.AHEAD, i], tile[Vcpu.PASSED, i], tile[Vcpu.COLD_BYTES, i])
        ahead *= tile[Vcpu.SEQUENTIAL, i]
        cold = tile[Vcpu.COLD_WRITTEN, i]
        tile[Vcpu.COLD_WRITTEN, i] = min(cold, max(cold * share, min(room, ahead)))
        tile[Vcpu.HOT_WRITTEN, i] *= share
        tile[Vcpu.STORES, i] = room
        backlog = tile[Vcpu.BACKLOG, i]
        if backlog > _ZERO:  # It is written at once, what comes in later at the pace of the demand.
            demand_s = h / max(tile[Vcpu.WANTED, i] - backlog, _ONE)
            share = min(share, max(room * tile[Vcpu.FIRST_S, i], (room - backlog) * demand_s) / h)
        tile[Vcpu.SHARE, i] *= share
        tile[Vcpu.QUOTA_EXITS, i] += _ONE
        tile[Vcpu.SLEEP_LEFT_S, i] = max(tile[Vcpu.RING_SLEEP_S, i] - h * (_ONE - share), _LEAST_LEFT_S)


@part
def _entered(tile, i, stores):  # type: ignore[no-untyped-def]
    """Bytes of pages that so many bytes of stores bring into an empty ring: each page once."""
    hot_bytes, cold_bytes = tile[Vcpu.HOT_BYTES, i], tile[Vcpu.COLD_BYTES, i]
    to_hot = stores * tile[Vcpu.HOT_SHARE, i]
    at_random = hot_bytes * one_minus_exp(to_hot * tile[Vcpu.PER_HOT, i]) + cold_bytes * one_minus_exp(
        (stores - to_hot) * tile[Vcpu.PER_COLD, i]
    )
    return min(stores, cold_bytes) if tile[Vcpu.SEQUENTIAL, i] > _ZERO else at_random


@routine
def count_ring_entries(tile, slots):  # type: ignore[no-untyped-def]
    """Count the entries of the rings as what the vCPUs dirtied: a page that a full ring brought back enters again.

    Follows ``commit_writes``, which counts first writes since the sync.
    """
    for i in range(len(slots)):
        full, before = tile[Vcpu.RING_STORES, i], tile[Vcpu.RING_FILL, i]
        after = before + tile[Vcpu.STORES, i]
        rings = np.floor(after / full)
        after -= rings * full
        entries = rings * _entered(tile, i, full) if rings > _ZERO else _ZERO
        entries += _entered(tile, i, after) - _entered(tile, i, before)
        tile[Vcpu.DIRTIED_BYTES, i] += entries - tile[Vcpu.HOT_WRITTEN, i] - tile[Vcpu.COLD_WRITTEN, i]
        tile[Vcpu.RING_FILL, i] = after


@part
def empty_rings(tile, slots):  # type: ignore[no-untyped-def]
    """All rings are read, as in a sync."""
    fill = row(tile, Vcpu.RING_FILL, slots)
    for i in range(len(slots)):
        fill[i] = _ZERO


@routine
def kick(tile, slots):  # type: ignore[no-untyped-def]
    """Wake those that sleep for a full ring, as the signal of a sync does where the sleep does not outlast it."""
    for i in range(len(slots)):
        tile[Vcpu.SLEEP_LEFT_S, i] = _ZERO


@routine
def sync_wait(tile, slots, time_s, time_slices):  # type: ignore[no-untyped-def]
    """The wait of a sync, s: until the last vCPU wakes. One that is stopped for good is not waited for."""
    longest_s = 0.0
    for i in range(len(slots)):
        longest_s = max(longest_s, tile[Vcpu.SLEEP_LEFT_S, i])
        if time_slices > 0.0 and tile[Vcpu.PRESENT, i] > _ZERO and _has_time_slices(tile, i):
            runs, left_s = _time_slice(tile, i, time_s)
            longest_s = max(longest_s, 0.0 if runs else left_s)
    return longest_s if longest_s > SAME_TIME_S else 0.0
