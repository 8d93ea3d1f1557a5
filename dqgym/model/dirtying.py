"""The memory that vCPUs dirty during a piece of a round, as vectorised ``numba`` code.

A fluid description of pages scattered over the address space. Each working set has three kinds of pages:
*pending* (to send in this round, not sent yet: a write to them costs nothing, because the dirty log is cleared only
when a page is sent), *clean* (sent and not written since: the first write makes them dirty and is charged to the vCPU's
quota) and *dirty* (the next round's). The sender turns pending pages of all vCPUs into clean ones at the same relative
speed. Where the dirty log is cleared at the sync, all pages are clean after it, sent or not: the callers then pass
shares of 0 for what is unsent.

Within one piece of a round everything below is the closed solution, so a piece may be as long as the round:

* random writes with x = stores / working set: dC/dx = inflow - C, so that C e^-x + inflow (1 - e^-x) / x stay clean;
* sequential writes first go once around the loop and meet the pages that were clean when the round began. A page that
  the writer passed while it waited became clean behind its back, so these lie densest in front of it: solid at first,
  then thinning out in a line to nothing just behind the writer (``clean_up_to``). Where no such page lies it meets this
  round's set, of which a share is sent. From the second loop on it finds what was sent since its last visit.

Each pass is one loop over the rows of the migration's tile (``dqgym.jit.array_views``) and leaves what later passes
need in its scratch rows. Divisions are what these loops cost most, so rates come in as seconds per byte, sizes with
their inverse.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.array_views import row
from dqgym.jit.compile import part
from dqgym.jit.fast_math import log, one_minus_exp
from dqgym.model.layout import Vcpu

_f = np.float32
_ZERO, _ONE, _HALF = _f(0.0), _f(1.0), _f(0.5)
_TWO = _f(2.0)
_TINY = _f(1e-6)
_LOOP_DENSITY = _f(1.5)
"""Pages in front of a looping writer over the mean: between 1, right after a stall, and 2, in a steady loop."""


@part
def random_writes(clean, inflow, x):  # type: ignore[no-untyped-def]
    """Bytes dirtied by random stores worth ``x`` working sets, of ``clean`` bytes and ``inflow`` that become clean."""
    visited = one_minus_exp(x)
    late = x * (_HALF - x * _f(1.0 / 6.0)) if x < _f(0.02) else _ONE - visited / x
    return clean * visited + inflow * late


@part
def solid_ahead(ahead, passed, working_set):  # type: ignore[no-untyped-def]
    """Bytes in front of a sequential writer that are all clean."""
    return max(_TWO * ahead - working_set - passed, _ZERO)


@part
def clean_up_to(distance, ahead, working_set, per_byte):  # type: ignore[no-untyped-def]
    """(bytes, density there) of the ``ahead`` clean bytes that lie up to ``distance`` in front of a sequential writer.

    All pages are clean up to the distance that the writer did not reach in the last round; beyond it the clean share
    falls in a line. Both follow from how many are clean; ``distance`` is at most the working set, where all are met.
    """
    solid = solid_ahead(ahead, _ZERO, working_set)
    density = min(_TWO * ahead * per_byte, _ONE)
    into, per_ramp = max(distance - solid, _ZERO), _ONE / max(working_set - solid, _TINY)
    met = min(distance, solid) + density * into * (_ONE - _HALF * into * per_ramp)
    return met, density * max(_ONE - into * per_ramp, _ZERO)


@part
def sequential_writes(stores, passed, ahead, sent, clean, inflow, working_set, per_byte):  # type: ignore[no-untyped-def]
    """Bytes dirtied by stores in order, ``passed`` bytes after the beginning of the round.

    In the first loop: the ``ahead`` pages of ``clean_up_to``, and between them this round's set, a share ``sent`` of
    it. Later: what was sent since the last visit, the ``inflow``, or, where a stall let more pile up, the clean pages
    in the loop, which lie up to twice as dense ahead of the writer as behind it.
    """
    start = min(passed, working_set)
    end = min(passed + stores, working_set)
    met_before, _ = clean_up_to(start, ahead, working_set, per_byte)
    met_after, _ = clean_up_to(end, ahead, working_set, per_byte)
    met, again = met_after - met_before, stores - (end - start)
    piled_up = again * _LOOP_DENSITY * clean * per_byte
    later = min(again * sent, max(inflow, piled_up))
    return min(met + (end - start - met) * sent + later, clean + inflow)


@part
def natural_writes(tile, slots, duration_s, unsent_from, unsent_to, met_sent):  # type: ignore[no-untyped-def]
    """The bytes that each vCPU would dirty in ``duration_s`` under its cap but without a quota; fills the scratch rows.

    ``unsent_from`` and ``unsent_to`` are the shares of the round's set that are pending before and after, ``met_sent``
    is the share of it that a sequential writer in its midst meets as sent, on average. Advances the
    position in the periods of the schedules. Hot parts are left to ``natural_hot_writes``. Returns the bytes of quota
    that would be left unclaimed, the bytes dirtied beyond the quotas, and the number of vCPUs beyond.
    """
    rate, openloop = row(tile, Vcpu.RATE, slots), row(tile, Vcpu.OPEN, slots)
    low, duty = row(tile, Vcpu.LOW, slots), row(tile, Vcpu.DUTY, slots)
    period, per_period = row(tile, Vcpu.CURRENT_PERIOD, slots), row(tile, Vcpu.PER_PERIOD, slots)
    phase, sequential = row(tile, Vcpu.PHASE, slots), row(tile, Vcpu.SEQUENTIAL, slots)
    hot_share, hot_bytes = row(tile, Vcpu.HOT_SHARE, slots), row(tile, Vcpu.HOT_BYTES, slots)
    cold_bytes, per_cold = row(tile, Vcpu.COLD_BYTES, slots), row(tile, Vcpu.PER_COLD, slots)
    per_byte = row(tile, Vcpu.PER_BYTE, slots)
    hot_pending, cold_pending = row(tile, Vcpu.HOT_PENDING, slots), row(tile, Vcpu.COLD_PENDING, slots)
    hot_dirty, cold_dirty = row(tile, Vcpu.HOT_DIRTY, slots), row(tile, Vcpu.COLD_DIRTY, slots)
    first_s, again_s = row(tile, Vcpu.FIRST_S, slots), row(tile, Vcpu.AGAIN_S, slots)
    ring_exit_s = row(tile, Vcpu.RING_EXIT_S, slots)
    backlog, cap = row(tile, Vcpu.BACKLOG, slots), row(tile, Vcpu.CAP, slots)
    ahead, passed = row(tile, Vcpu.AHEAD, slots), row(tile, Vcpu.PASSED, slots)
    stores_row, wanted_row = row(tile, Vcpu.STORES, slots), row(tile, Vcpu.WANTED, slots)
    written, share = row(tile, Vcpu.COLD_WRITTEN, slots), row(tile, Vcpu.SHARE, slots)
    hot_clean_row, cold_clean_row = row(tile, Vcpu.HOT_CLEAN, slots), row(tile, Vcpu.COLD_CLEAN, slots)
    cold_inflow_row = row(tile, Vcpu.COLD_INFLOW, slots)
    limit, present = row(tile, Vcpu.LIMIT, slots), row(tile, Vcpu.PRESENT, slots)
    h, per_s, u0, u1 = _f(duration_s), _f(1.0 / duration_s), _f(unsent_from), _f(unsent_to)
    sent = _f(met_sent)
    unclaimed, beyond, count = _ZERO, _ZERO, _ZERO
    for i in range(len(slots)):
        # Demand, averaged over the piece: the share of it that lies in the high part of the periods.
        begin, end, high = phase[i], phase[i] + h, duty[i] * period[i]
        begun, ended = np.floor(begin * per_period[i]), np.floor(end * per_period[i])
        end_phase = end - ended * period[i]
        high_s = (ended - begun) * high + min(end_phase, high) - min(begin - begun * period[i], high)
        phase[i] = end_phase
        # Where a period ends, rounding may leave a little less than nothing of the high part.
        demand = rate[i] * (low[i] + (_ONE - low[i]) * max(high_s, _ZERO) * per_s)
        wanted = demand * h + backlog[i]
        # Clean pages now, and those that the sender adds.
        hot_clean = max(hot_bytes[i] - hot_pending[i] * u0 - hot_dirty[i], _ZERO)
        cold_clean = max(cold_bytes[i] - cold_pending[i] * u0 - cold_dirty[i], _ZERO)
        cold_inflow = cold_pending[i] * (u0 - u1)
        # Seconds per byte stored: a first write costs the fault as well; closed-loop demand is paced.
        _, density = clean_up_to(min(passed[i], cold_bytes[i]), ahead[i], cold_bytes[i], per_byte[i])
        in_loop = density + (_ONE - density) * sent
        hits = sequential[i] * in_loop + (_ONE - sequential[i]) * (hot_clean + cold_clean) * per_byte[i]
        paced_s = (_ONE - openloop[i]) / max(demand, _f(1e-3))
        store_s = hits * max(paced_s, first_s[i]) + (_ONE - hits) * max(paced_s, again_s[i]) + ring_exit_s[i]
        stores = min(cap[i] * h / store_s, wanted)
        # First writes of either pattern.
        in_order = sequential_writes(
            stores, passed[i], ahead[i], sent, cold_clean, cold_inflow, cold_bytes[i], per_byte[i]
        )
        at_random = random_writes(cold_clean, cold_inflow, stores * (_ONE - hot_share[i]) * per_cold[i])
        wrote = sequential[i] * in_order + (_ONE - sequential[i]) * at_random
        excess = wrote - limit[i] * h
        unclaimed += present[i] * max(-excess, _ZERO)
        beyond += max(excess, _ZERO)
        count += _ONE if excess > _ZERO else _ZERO
        written[i] = wrote
        share[i] = _ONE
        stores_row[i] = stores
        wanted_row[i] = wanted
        hot_clean_row[i] = hot_clean
        cold_clean_row[i] = cold_clean
        cold_inflow_row[i] = cold_inflow
    return unclaimed, beyond, count


@part
def natural_hot_writes(tile, slots, duration_s, unsent_from, unsent_to):  # type: ignore[no-untyped-def]
    """The same for hot and cold parts together, after ``natural_writes``; only needed where a vCPU has a hot part."""
    hot_share, per_hot = row(tile, Vcpu.HOT_SHARE, slots), row(tile, Vcpu.PER_HOT, slots)
    hot_pending, hot_clean = row(tile, Vcpu.HOT_PENDING, slots), row(tile, Vcpu.HOT_CLEAN, slots)
    stores, inflow = row(tile, Vcpu.STORES, slots), row(tile, Vcpu.HOT_INFLOW, slots)
    hot_row, cold_row = row(tile, Vcpu.HOT_WRITTEN, slots), row(tile, Vcpu.COLD_WRITTEN, slots)
    limit, present = row(tile, Vcpu.LIMIT, slots), row(tile, Vcpu.PRESENT, slots)
    h, u = _f(duration_s), _f(unsent_from - unsent_to)
    unclaimed, beyond, count = _ZERO, _ZERO, _ZERO
    for i in range(len(slots)):
        inflow[i] = hot_pending[i] * u
        wrote = random_writes(hot_clean[i], inflow[i], stores[i] * hot_share[i] * per_hot[i])
        excess = wrote + cold_row[i] - limit[i] * h
        unclaimed += present[i] * max(-excess, _ZERO)
        beyond += max(excess, _ZERO)
        count += _ONE if excess > _ZERO else _ZERO
        hot_row[i] = wrote
    return unclaimed, beyond, count


@part
def run_share_of(used, natural, stores, sequential, ahead, available):  # type: ignore[no-untyped-def]
    """The share of the run time that the first ``used`` of ``natural`` dirtied bytes take; ``ahead``: ``solid_ahead``.

    The inverses of ``sequential_writes``, and of ``random_writes`` in the form available * (1 - e^(-x)).
    """
    ahead = min(ahead, natural)
    left = max(stores - ahead, _ZERO) / max(natural - ahead, _TINY)
    in_order = (min(used, ahead) + max(used - ahead, _ZERO) * left) / max(stores, _TINY)
    per_available = _ONE / max(available, _TINY)
    done, part = min(natural * per_available, _f(0.999999)), min(used * per_available, _f(0.999999))
    curved = log(_ONE - part) / min(log(_ONE - done), -_TINY)
    at_random = curved if done > _f(1e-3) else used / max(natural, _TINY)
    share = min(sequential * in_order + (_ONE - sequential) * at_random, _ONE)
    return share if used < natural else _ONE


@part
def apply_quota(tile, slots, duration_s, granted, quota_interval_s, overshoot_bytes, exit_s_per_byte):  # type: ignore[no-untyped-def]
    """Stop each vCPU where its quota is used up: lowers STORES, HOT_WRITTEN, COLD_WRITTEN and SHARE (of the run time).

    ``granted``: share of what is beyond the quotas that the common pool takes over. Exits cost time
    (``exit_s_per_byte`` with n vCPUs beyond their quotas): a throttled vCPU achieves q with
    1/q = 1/limit + (1 - limit/natural) (1 + contention n (n - 1)) / exit_bytes_per_s, which is the harmonic rule that
    reproduces the letter's dirty-quota column, faded in so that a quota that hardly bites hardly costs.
    """
    limit, credit = row(tile, Vcpu.LIMIT, slots), row(tile, Vcpu.CREDIT, slots)
    sequential, cold_bytes = row(tile, Vcpu.SEQUENTIAL, slots), row(tile, Vcpu.COLD_BYTES, slots)
    ahead, passed = row(tile, Vcpu.AHEAD, slots), row(tile, Vcpu.PASSED, slots)
    exits, share_row = row(tile, Vcpu.QUOTA_EXITS, slots), row(tile, Vcpu.SHARE, slots)
    stores_row = row(tile, Vcpu.STORES, slots)
    hot_row, cold_row = row(tile, Vcpu.HOT_WRITTEN, slots), row(tile, Vcpu.COLD_WRITTEN, slots)
    hot_clean, cold_clean = row(tile, Vcpu.HOT_CLEAN, slots), row(tile, Vcpu.COLD_CLEAN, slots)
    hot_inflow, cold_inflow = row(tile, Vcpu.HOT_INFLOW, slots), row(tile, Vcpu.COLD_INFLOW, slots)
    h, per_s, grant = _f(duration_s), _f(1.0 / duration_s), _f(granted)
    page_bytes = row(tile, Vcpu.PAGE_BYTES, slots)
    bank_s = _f(2.0 * quota_interval_s)  # this interval's quota, and what is left of the last
    least_overshoot = _f(overshoot_bytes)
    exits_of_piece = _f(duration_s / quota_interval_s)
    exit_s_per_byte = _f(exit_s_per_byte)
    for i in range(len(slots)):
        natural = hot_row[i] + cold_row[i]
        per_natural = _ONE / max(natural, _TINY)
        quota = limit[i] * h + max(natural - limit[i] * h, _ZERO) * grant
        bites = max(_ONE - quota * per_natural, _ZERO)
        rate = quota * per_s
        refill = quota / (_ONE + rate * bites * exit_s_per_byte)
        kept = min(credit[i], rate * bank_s)
        overshoot = max(least_overshoot, page_bytes[i])
        used = min(max(kept + refill + overshoot * bites, _ZERO), natural)
        used = used if bites > _ZERO else natural
        credit[i] = max(min(kept + refill - used, rate * bank_s), -overshoot)
        share = run_share_of(
            used, natural, stores_row[i], sequential[i], solid_ahead(ahead[i], passed[i], cold_bytes[i]),
            hot_clean[i] + cold_clean[i] + hot_inflow[i] + cold_inflow[i],
        )  # fmt: skip
        hot_row[i] = hot_row[i] * used * per_natural
        cold_row[i] = used - hot_row[i]
        stores_row[i] = stores_row[i] * share
        share_row[i] = share
        exits[i] += exits_of_piece if used < natural else _ZERO


@part
def split_hot_writes(tile, slots):  # type: ignore[no-untyped-def]
    """Where a quota left few stores, more of them are first writes to the hot part: split as random stores would."""
    hot_share = row(tile, Vcpu.HOT_SHARE, slots)
    per_hot, per_cold = row(tile, Vcpu.PER_HOT, slots), row(tile, Vcpu.PER_COLD, slots)
    stores, share = row(tile, Vcpu.STORES, slots), row(tile, Vcpu.SHARE, slots)
    hot_row, cold_row = row(tile, Vcpu.HOT_WRITTEN, slots), row(tile, Vcpu.COLD_WRITTEN, slots)
    hot_clean, cold_clean = row(tile, Vcpu.HOT_CLEAN, slots), row(tile, Vcpu.COLD_CLEAN, slots)
    hot_inflow, cold_inflow = row(tile, Vcpu.HOT_INFLOW, slots), row(tile, Vcpu.COLD_INFLOW, slots)
    for i in range(len(slots)):
        used = hot_row[i] + cold_row[i]
        hot = random_writes(hot_clean[i], hot_inflow[i], stores[i] * hot_share[i] * per_hot[i])
        cold = random_writes(cold_clean[i], cold_inflow[i], stores[i] * (_ONE - hot_share[i]) * per_cold[i])
        hot = used * hot / max(hot + cold, _TINY)
        hot_row[i] = hot if share[i] < _ONE and hot_share[i] > _ZERO else hot_row[i]
        cold_row[i] = used - hot_row[i]


@part
def commit_writes(tile, slots, duration_s):  # type: ignore[no-untyped-def]
    """Book what the scratch rows hold: dirty pages, backlog, telemetry."""
    present, cap = row(tile, Vcpu.PRESENT, slots), row(tile, Vcpu.CAP, slots)
    hot_dirty, cold_dirty = row(tile, Vcpu.HOT_DIRTY, slots), row(tile, Vcpu.COLD_DIRTY, slots)
    passed, openloop = row(tile, Vcpu.PASSED, slots), row(tile, Vcpu.OPEN, slots)
    backlog, dirtied = row(tile, Vcpu.BACKLOG, slots), row(tile, Vcpu.DIRTIED_BYTES, slots)
    stalled_s, run_s = row(tile, Vcpu.STALLED_S, slots), row(tile, Vcpu.RUN_S, slots)
    stores, wanted, share = row(tile, Vcpu.STORES, slots), row(tile, Vcpu.WANTED, slots), row(tile, Vcpu.SHARE, slots)
    hot_row, cold_row = row(tile, Vcpu.HOT_WRITTEN, slots), row(tile, Vcpu.COLD_WRITTEN, slots)
    h = _f(duration_s)
    for i in range(len(slots)):
        hot_dirty[i] += hot_row[i]
        cold_dirty[i] += cold_row[i]
        passed[i] += stores[i]
        backlog[i] = openloop[i] * max(wanted[i] - stores[i], _ZERO)
        dirtied[i] += hot_row[i] + cold_row[i]
        run = cap[i] * share[i] * present[i]
        run_s[i] += run * h
        stalled_s[i] += (present[i] - run) * h
