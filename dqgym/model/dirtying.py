"""How the vCPUs dirty memory during a piece of a round, as vectorised ``numba`` code.

A fluid description of pages scattered over the address space. Each working set has three kinds of pages:
*pending* (to send in this round, not sent yet: a write to them costs nothing, because the dirty log is cleared only when a
page is sent), *clean* (sent and not written since: the first write makes them dirty and is charged to the vCPU's quota)
and *dirty* (the next round's). The sender turns pending pages of all vCPUs into clean ones at the same relative speed.

Within one piece of a round everything below is the closed solution, so a piece may be as long as the round:

* random writes with x = stores / working set: dC/dx = inflow - C, so that C e^-x + inflow (1 - e^-x) / x stay clean;
* sequential writes first meet the clean pages in front of them (every store is a first write), then the rest of their
  loop, in which clean pages lie evenly: they visit a share x = stores / rest of it, and of the pages that become clean
  meanwhile x / 2 (1 - 1 / 2x beyond one loop).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dqgym.elementary import FAST, log, one_minus_exp
from dqgym.model.layout import Vcpu
from dqgym.tiles import row

_f = np.float32
_BIG = _f(1e30)

@njit(inline="always", fastmath=FAST, error_model="numpy")
def random_writes(clean, inflow, x):  # type: ignore[no-untyped-def]
    """Bytes dirtied by random stores worth ``x`` working sets, of ``clean`` bytes and ``inflow`` that become clean."""
    visited = one_minus_exp(x)
    late = x * (_f(0.5) - x * _f(1.0 / 6.0)) if x < _f(0.02) else _f(1.0) - visited / max(x, _f(1e-12))
    return clean * visited + inflow * late


@njit(inline="always", fastmath=FAST, error_model="numpy")
def sequential_writes(stores, ahead, sent, clean, inflow):  # type: ignore[no-untyped-def]
    """Bytes dirtied by stores in order: first the clean pages ``ahead``, then this round's set, a share ``sent`` of it
    sent; a writer that loops faster than the sender finds only what was sent since its last visit, the ``inflow``."""
    rest = min(max(stores - ahead, _f(0.0)) * sent, inflow)
    return min(min(stores, ahead) + rest, clean + inflow)


@njit(inline="always", fastmath=FAST, error_model="numpy")
def random_share(available, natural, used):  # type: ignore[no-untyped-def]
    """Share of the stores after which random writes have dirtied ``used`` of the ``natural`` bytes they would dirty.

    Takes ``random_writes`` in the form available * (1 - e^(-x)) and solves both for x.
    """
    done = min(natural / max(available, _f(1e-6)), _f(0.999999))
    part = min(used / max(available, _f(1e-6)), _f(0.999999))
    return log(_f(1.0) - part) / log(_f(1.0) - done) if done > _f(1e-3) else used / max(natural, _f(1e-6))


@njit(inline="always", fastmath=FAST, error_model="numpy")
def natural_writes(vcpu, slots, duration_s, unsent_from, unsent_to):  # type: ignore[no-untyped-def]
    """What each vCPU would dirty in ``duration_s`` with its run-share cap but without a quota; fills the scratch rows.

    ``unsent_from`` and ``unsent_to`` are the shares of the round's set still unsent before and after. Advances the
    position in the periods of the schedules.
    """
    rate, low, duty, openloop = row(vcpu, Vcpu.RATE, slots), row(vcpu, Vcpu.LOW, slots), row(vcpu, Vcpu.DUTY, slots), row(vcpu, Vcpu.OPEN, slots)
    period, phase = row(vcpu, Vcpu.CURRENT_PERIOD, slots), row(vcpu, Vcpu.PHASE, slots)
    sequential, hot_share = row(vcpu, Vcpu.SEQUENTIAL, slots), row(vcpu, Vcpu.HOT_SHARE, slots)
    hot_bytes, cold_bytes = row(vcpu, Vcpu.HOT_BYTES, slots), row(vcpu, Vcpu.COLD_BYTES, slots)
    hot_pending, cold_pending = row(vcpu, Vcpu.HOT_PENDING, slots), row(vcpu, Vcpu.COLD_PENDING, slots)
    hot_dirty, cold_dirty, front = row(vcpu, Vcpu.HOT_DIRTY, slots), row(vcpu, Vcpu.COLD_DIRTY, slots), row(vcpu, Vcpu.FRONT, slots)
    first_speed, again_speed = row(vcpu, Vcpu.FIRST_SPEED, slots), row(vcpu, Vcpu.AGAIN_SPEED, slots)
    backlog, cap = row(vcpu, Vcpu.BACKLOG, slots), row(vcpu, Vcpu.CAP, slots)
    stores_row, wanted_row, share_row = row(vcpu, Vcpu.STORES, slots), row(vcpu, Vcpu.WANTED, slots), row(vcpu, Vcpu.SHARE, slots)
    hot_row, cold_row = row(vcpu, Vcpu.HOT_WRITTEN, slots), row(vcpu, Vcpu.COLD_WRITTEN, slots)
    hot_clean_row, cold_clean_row = row(vcpu, Vcpu.HOT_CLEAN, slots), row(vcpu, Vcpu.COLD_CLEAN, slots)
    hot_inflow_row, cold_inflow_row = row(vcpu, Vcpu.HOT_INFLOW, slots), row(vcpu, Vcpu.COLD_INFLOW, slots)
    h, u0, u1 = _f(duration_s), _f(unsent_from), _f(unsent_to)
    sent = _f(1.0) - _f(0.5) * (u0 + u1)
    for i in range(len(slots)):
        # Demand, averaged over the piece: the share of it that lies in the high part of the periods.
        begin, end, high = phase[i], phase[i] + h, duty[i] * period[i]
        begun, ended = np.floor(begin / period[i]), np.floor(end / period[i])
        high_s = (ended - begun) * high + min(end - ended * period[i], high) - min(begin - begun * period[i], high)
        phase[i] = end - ended * period[i]
        demand = rate[i] * (low[i] + (_f(1.0) - low[i]) * high_s / h)
        wanted = demand * h + backlog[i]
        # Clean pages now, and those that the sender adds.
        hot_clean = max(hot_bytes[i] - hot_pending[i] * u0 - hot_dirty[i], _f(0.0))
        cold_clean = max(cold_bytes[i] - cold_pending[i] * u0 - cold_dirty[i], _f(0.0))
        hot_inflow, cold_inflow = hot_pending[i] * (u0 - u1), cold_pending[i] * (u0 - u1)
        ahead = min(front[i], cold_clean)
        # Store speed at full run share: a first write costs the fault as well.
        spread = (hot_clean + cold_clean) / max(hot_bytes[i] + cold_bytes[i], _f(1.0))
        in_loop = _f(1.0) if ahead > _f(0.0) else min(sent, _f(1.0))
        hits = sequential[i] * in_loop + (_f(1.0) - sequential[i]) * spread
        paced = openloop[i] * _BIG + (_f(1.0) - openloop[i]) * max(demand, _f(1e-3))
        speed = _f(1.0) / (hits / min(paced, first_speed[i]) + (_f(1.0) - hits) / min(paced, again_speed[i]))
        stores = min(speed * cap[i] * h, wanted)
        # First writes of either pattern.
        in_order = sequential_writes(stores, ahead, sent, cold_clean, cold_inflow)
        at_random = random_writes(cold_clean, cold_inflow, stores * (_f(1.0) - hot_share[i]) / max(cold_bytes[i], _f(1.0)))
        hot_row[i] = random_writes(hot_clean, hot_inflow, stores * hot_share[i] / max(hot_bytes[i], _f(1.0)))
        cold_row[i] = sequential[i] * in_order + (_f(1.0) - sequential[i]) * at_random
        stores_row[i] = stores
        wanted_row[i] = wanted
        share_row[i] = _f(1.0)
        hot_clean_row[i] = hot_clean
        cold_clean_row[i] = cold_clean
        hot_inflow_row[i] = hot_inflow
        cold_inflow_row[i] = cold_inflow


@njit(inline="always", fastmath=FAST, error_model="numpy")
def quota_demand(vcpu, slots, duration_s):  # type: ignore[no-untyped-def]
    """(bytes of quota left unclaimed, bytes dirtied beyond the quotas, number of vCPUs beyond) without any stall."""
    limit, hot, cold = row(vcpu, Vcpu.LIMIT, slots), row(vcpu, Vcpu.HOT_WRITTEN, slots), row(vcpu, Vcpu.COLD_WRITTEN, slots)
    present = row(vcpu, Vcpu.PRESENT, slots)
    h = _f(duration_s)
    unclaimed, beyond, count = _f(0.0), _f(0.0), _f(0.0)
    for i in range(len(slots)):
        excess = hot[i] + cold[i] - limit[i] * h
        unclaimed += present[i] * max(-excess, _f(0.0))
        beyond += max(excess, _f(0.0))
        count += _f(1.0) if excess > _f(0.0) else _f(0.0)
    return unclaimed, beyond, count


@njit(inline="always", fastmath=FAST, error_model="numpy")
def apply_quota(vcpu, slots, duration_s, sent_share, granted, count, parameters):  # type: ignore[no-untyped-def]
    """Stop each vCPU where its quota is used up: lowers STORES, HOT_WRITTEN, COLD_WRITTEN and SHARE (of the run time).

    ``granted``: share of what is beyond the quotas that the common pool takes over; ``count``: vCPUs beyond. Exits cost
    time: a throttled vCPU achieves q with
    1/q = 1/limit + (1 - limit/natural) (1 + contention n (n - 1)) / exit_bytes_per_s, which is the harmonic rule that
    reproduces the letter's dirty-quota column, faded in so that a quota that hardly bites hardly costs.
    """
    limit, credit = row(vcpu, Vcpu.LIMIT, slots), row(vcpu, Vcpu.CREDIT, slots)
    sequential, hot_share = row(vcpu, Vcpu.SEQUENTIAL, slots), row(vcpu, Vcpu.HOT_SHARE, slots)
    hot_bytes, cold_bytes = row(vcpu, Vcpu.HOT_BYTES, slots), row(vcpu, Vcpu.COLD_BYTES, slots)
    front, exits = row(vcpu, Vcpu.FRONT, slots), row(vcpu, Vcpu.QUOTA_EXITS, slots)
    stores_row, share_row = row(vcpu, Vcpu.STORES, slots), row(vcpu, Vcpu.SHARE, slots)
    hot_row, cold_row = row(vcpu, Vcpu.HOT_WRITTEN, slots), row(vcpu, Vcpu.COLD_WRITTEN, slots)
    hot_clean_row, cold_clean_row = row(vcpu, Vcpu.HOT_CLEAN, slots), row(vcpu, Vcpu.COLD_CLEAN, slots)
    hot_inflow_row, cold_inflow_row = row(vcpu, Vcpu.HOT_INFLOW, slots), row(vcpu, Vcpu.COLD_INFLOW, slots)
    h, sent, grant, tiny = _f(duration_s), max(_f(sent_share), _f(1e-6)), _f(granted), _f(1e-6)
    interval_s, overshoot = _f(parameters.quota_interval_s), _f(parameters.overshoot_bytes)
    exit_s_per_byte = _f((1.0 + parameters.contention * count * (count - 1.0)) / parameters.exit_bytes_per_s)
    for i in range(len(slots)):
        natural = hot_row[i] + cold_row[i]
        excess = max(natural - limit[i] * h, _f(0.0))
        quota = limit[i] * h + excess * grant
        bites = max(_f(1.0) - quota / max(natural, tiny), _f(0.0))
        refill = quota / (_f(1.0) + quota / h * bites * exit_s_per_byte)
        kept = min(credit[i], quota / h * interval_s)
        used = min(max(kept + refill + overshoot * bites, _f(0.0)), natural)
        used = used if bites > _f(0.0) else natural
        credit[i] = max(min(kept + refill - used, quota / h * interval_s), -overshoot)
        # How much of the run time that took.
        ahead = min(front[i], cold_clean_row[i])
        in_order = min(used, ahead) + max(used - ahead, _f(0.0)) / sent
        available = hot_clean_row[i] + cold_clean_row[i] + hot_inflow_row[i] + cold_inflow_row[i]
        at_random = random_share(available, natural, used)
        share = sequential[i] * in_order / max(stores_row[i], tiny) + (_f(1.0) - sequential[i]) * at_random
        share = min(share, _f(1.0)) if used < natural else _f(1.0)
        stores = stores_row[i] * share
        # Few stores go to the hot part first: split as random stores of that number would, scaled to the exact sum.
        hot = random_writes(hot_clean_row[i], hot_inflow_row[i], stores * hot_share[i] / max(hot_bytes[i], _f(1.0)))
        cold = random_writes(
            cold_clean_row[i], cold_inflow_row[i], stores * (_f(1.0) - hot_share[i]) / max(cold_bytes[i], _f(1.0))
        )
        hot = used * hot / max(hot + cold, tiny)
        hot = hot if used < natural else hot_row[i]
        hot_row[i] = hot
        cold_row[i] = used - hot
        stores_row[i] = stores
        share_row[i] = share
        exits[i] += h / interval_s if used < natural else _f(0.0)


@njit(inline="always", fastmath=FAST, error_model="numpy")
def commit_writes(vcpu, slots, duration_s):  # type: ignore[no-untyped-def]
    """Book what the scratch rows hold: dirty pages, backlog, telemetry."""
    present, cap, openloop = row(vcpu, Vcpu.PRESENT, slots), row(vcpu, Vcpu.CAP, slots), row(vcpu, Vcpu.OPEN, slots)
    hot_dirty, cold_dirty = row(vcpu, Vcpu.HOT_DIRTY, slots), row(vcpu, Vcpu.COLD_DIRTY, slots)
    front, backlog = row(vcpu, Vcpu.FRONT, slots), row(vcpu, Vcpu.BACKLOG, slots)
    dirtied, stalled_s, run_s = row(vcpu, Vcpu.DIRTIED_BYTES, slots), row(vcpu, Vcpu.STALLED_S, slots), row(vcpu, Vcpu.RUN_S, slots)
    stores_row, wanted_row, share_row = row(vcpu, Vcpu.STORES, slots), row(vcpu, Vcpu.WANTED, slots), row(vcpu, Vcpu.SHARE, slots)
    hot_row, cold_row = row(vcpu, Vcpu.HOT_WRITTEN, slots), row(vcpu, Vcpu.COLD_WRITTEN, slots)
    h = _f(duration_s)
    for i in range(len(slots)):
        hot_dirty[i] += hot_row[i]
        cold_dirty[i] += cold_row[i]
        front[i] = max(front[i] - stores_row[i], _f(0.0))
        backlog[i] = openloop[i] * max(wanted_row[i] - stores_row[i], _f(0.0))
        dirtied[i] += hot_row[i] + cold_row[i]
        run = cap[i] * share_row[i] * present[i]
        run_s[i] += run * h
        stalled_s[i] += (present[i] - run) * h
