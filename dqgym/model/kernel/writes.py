"""The bytes that vCPUs dirty in a piece of a round, in lanes: the fluid limit of many random pages.

A working set of W bytes is split by what the sender has done this round: pages still to send (dirtying them costs
nothing more), clean pages, and pages dirtied since they were sent. Which pages become clean depends on the dirty log:
those that the sender passes, or all of them at the sync. One row of a tile holds one quantity of all vCPUs of a
migration, padded to V slots; a padded slot has rate 0, and so all its numbers stay 0 or harmless. A pack of migrations
is worked on at a time (``dqgym.jit.lane_rows``). Divisions are what costs most, so rates come in as seconds per byte,
sizes with their inverse.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.array_views import at
from dqgym.jit.compile import exact_part, exact_routine
from dqgym.jit.fast_math import log, one_minus_exp
from dqgym.jit.lane_rows import load, put, spread, state_of, store, totals
from dqgym.jit.lanes import alike, bits, floor, larger, smaller, where
from dqgym.model.kernel.sequential import clean_up_to, sequential_writes, solid_ahead
from dqgym.model.kernel.sleeping import count_ring_entries, stop_at_full_ring
from dqgym.model.layout import Number, Vcpu

_f = np.float32
_NOTHING, _HALF, _ONE = _f(0.0), _f(0.5), _f(1.0)
_TINY = 1e-6
_LEAST_DEMAND = 1e-3
_NEARLY_ALL = 0.999999
_HARDLY_ANY = 1e-3
_HARDLY_BITES = 1e-6


@exact_part
def random_writes(clean, inflow, x):  # type: ignore[no-untyped-def]
    """Bytes dirtied by random stores worth ``x`` working sets, of ``clean`` bytes and ``inflow`` that become clean."""
    visited = one_minus_exp(x)
    late = where(x < _f(0.02), x * (_HALF - x * _f(1.0 / 6.0)), _ONE - visited / x)
    return clean * visited + inflow * late


@exact_part
def demanded(vcpu, pack, slots, h, per_s):  # type: ignore[no-untyped-def]
    """(rate of the demand, bytes/s, mean over the piece; the positions in the periods after it).

    The demand is high for as much of the piece as lies in the high part of the periods.
    """
    begin, per_period = load(vcpu, pack, Vcpu.PHASE, slots), load(vcpu, pack, Vcpu.PER_PERIOD, slots)
    period = load(vcpu, pack, Vcpu.CURRENT_PERIOD, slots)
    end, high = begin + h, load(vcpu, pack, Vcpu.DUTY, slots) * period
    begun, ended = floor(begin * per_period), floor(end * per_period)
    end_phase = end - ended * period
    high_s = (ended - begun) * high + smaller(end_phase, high) - smaller(begin - begun * period, high)
    # Where a period ends, rounding may leave a little less than nothing of the high part.
    low = load(vcpu, pack, Vcpu.LOW, slots)
    rate = load(vcpu, pack, Vcpu.RATE, slots)
    return rate * (low + (1.0 - low) * larger(high_s, 0.0) * per_s), end_phase


@exact_part
def run_share_of(used, natural, stores, sequential, ahead, available):  # type: ignore[no-untyped-def]
    """The share of the run time that the first ``used`` of ``natural`` dirtied bytes take.

    ``ahead``: bytes in front of a sequential writer that are all clean. The inverses of ``sequential_writes``, and of
    ``random_writes`` in the form available * (1 - e^(-x)).
    """
    first = smaller(ahead, natural)
    left = larger(stores - first, 0.0) / larger(natural - first, _TINY)
    in_order = (smaller(used, first) + larger(used - first, 0.0) * left) / larger(stores, _TINY)
    per_available = 1.0 / larger(available, _TINY)
    done, some = smaller(natural * per_available, _NEARLY_ALL), smaller(used * per_available, _NEARLY_ALL)
    curved = log(1.0 - some) / smaller(log(1.0 - done), -_TINY)
    at_random = where(done > _HARDLY_ANY, curved, used / larger(natural, _TINY))
    return smaller(where(sequential, in_order, at_random), 1.0)


@exact_part
def granted_share(excess, present, numbers, pack, slots):  # type: ignore[no-untyped-def]
    """Share of what is beyond the quotas that the common pool of unclaimed quota takes over."""
    shares = spread(numbers, Number.SHARE_UNCLAIMED, pack, slots)
    granted = alike(excess, 0.0)
    if bits(shares > 0.0) != 0:
        unclaimed = totals(present * larger(-excess, 0.0), slots)
        granted = shares * smaller(unclaimed / larger(totals(larger(excess, 0.0), slots), 1.0), 1.0)
    return granted


@exact_part
def within_quota(vcpu, numbers, pack, slots, natural, quota, per_s, beyond, throttled, bank_s):  # type: ignore[no-untyped-def]
    """Bytes that the quota lets each vCPU dirty of the ``natural`` ones; keeps what is left of it.

    ``beyond``: number of vCPUs beyond their quotas; ``throttled``: whether quotas are kept and used up at all. Exits
    cost time: a throttled vCPU achieves q with 1/q = 1/limit + (1 - limit/natural) (1 + contention n (n - 1)) /
    exit_bytes_per_s, which is the harmonic rule that reproduces the letter's dirty-quota column, faded in so that a
    quota that hardly bites hardly costs.
    """
    contention = spread(numbers, Number.CONTENTION, pack, slots)
    exit_s_per_byte = (1.0 + contention * beyond * (beyond - 1.0)) * spread(
        numbers, Number.S_PER_EXIT_BYTE, pack, slots
    )
    bites = larger(1.0 - quota / larger(natural, _TINY), 0.0)
    rate = quota * per_s
    refill = quota / (1.0 + rate * bites * exit_s_per_byte)
    credit, bank = load(vcpu, pack, Vcpu.CREDIT, slots), rate * bank_s
    kept = smaller(credit, bank)
    page_bytes = load(vcpu, pack, Vcpu.PAGE_BYTES, slots)
    overshoot = larger(spread(numbers, Number.OVERSHOOT_BYTES, pack, slots), page_bytes)
    used = smaller(larger(kept + refill + overshoot * bites, 0.0), natural)
    # A pool that grants all that is wanted leaves a quota that is what is written, but for rounding.
    used = where(bites > _HARDLY_BITES, used, natural)
    left = larger(smaller(kept + refill - used, bank), -overshoot)
    store(vcpu, pack, Vcpu.CREDIT, where(throttled, left, credit), slots)
    return where(throttled, used, natural)


@exact_routine
def write_pack(vcpu, numbers, pack, count, slots, quota_interval_s):  # type: ignore[no-untyped-def]
    """One piece of a round of the migrations of a pack, the first ``count`` of which are different ones.

    What the vCPUs would dirty under their caps alone; how much of it their quotas allow, and their rings; then it is
    booked. PERIODS_ENDED says where ``dqgym.model.kernel.schedules`` has something to do.
    """
    h, per_s = spread(numbers, Number.PIECE_S, pack, slots), spread(numbers, Number.PER_S, pack, slots)
    unsent_from = spread(numbers, Number.UNSENT_FROM, pack, slots)
    became_clean = unsent_from - spread(numbers, Number.UNSENT_TO, pack, slots)
    sent = spread(numbers, Number.MET_SENT, pack, slots)
    demand, end_phase = demanded(vcpu, pack, slots, h, per_s)
    store(vcpu, pack, Vcpu.PHASE, end_phase, slots)
    openloop, backlog = load(vcpu, pack, Vcpu.OPEN, slots), load(vcpu, pack, Vcpu.BACKLOG, slots)
    wanted = demand * h + backlog

    # Clean pages now, and those that the sender adds.
    cold_bytes, cold_pending = load(vcpu, pack, Vcpu.COLD_BYTES, slots), load(vcpu, pack, Vcpu.COLD_PENDING, slots)
    cold_dirty, per_cold = load(vcpu, pack, Vcpu.COLD_DIRTY, slots), load(vcpu, pack, Vcpu.PER_COLD, slots)
    cold_clean = larger(cold_bytes - cold_pending * unsent_from - cold_dirty, 0.0)
    cold_inflow = cold_pending * became_clean
    hot_share = load(vcpu, pack, Vcpu.HOT_SHARE, slots)
    has_hot = bits(hot_share > 0.0) != 0
    hot_clean, hot_inflow, hot = alike(h, 0.0), alike(h, 0.0), alike(h, 0.0)
    per_hot, hot_dirty = alike(h, 0.0), alike(h, 0.0)
    if has_hot:
        hot_pending, hot_dirty = load(vcpu, pack, Vcpu.HOT_PENDING, slots), load(vcpu, pack, Vcpu.HOT_DIRTY, slots)
        hot_bytes, per_hot = load(vcpu, pack, Vcpu.HOT_BYTES, slots), load(vcpu, pack, Vcpu.PER_HOT, slots)
        hot_clean = larger(hot_bytes - hot_pending * unsent_from - hot_dirty, 0.0)
        hot_inflow = hot_pending * became_clean

    # Seconds per byte stored: a first write costs the fault as well; closed-loop demand is paced.
    sequential = load(vcpu, pack, Vcpu.SEQUENTIAL, slots) > 0.0
    ahead, passed = load(vcpu, pack, Vcpu.AHEAD, slots), load(vcpu, pack, Vcpu.PASSED, slots)
    per_byte = load(vcpu, pack, Vcpu.PER_BYTE, slots)
    solid, density = solid_ahead(ahead, _NOTHING, cold_bytes), smaller(2.0 * ahead * per_byte, 1.0)
    per_ramp = 1.0 / larger(cold_bytes - solid, _TINY)
    start = smaller(passed, cold_bytes)
    density_here = density * larger(1.0 - larger(start - solid, 0.0) * per_ramp, 0.0)
    in_loop = density_here + (1.0 - density_here) * sent
    hits = where(sequential, in_loop, (hot_clean + cold_clean) * per_byte)
    paced_s = (1.0 - openloop) / larger(demand, _LEAST_DEMAND)
    first_s, again_s = load(vcpu, pack, Vcpu.FIRST_S, slots), load(vcpu, pack, Vcpu.AGAIN_S, slots)
    store_s = hits * larger(paced_s, first_s) + (1.0 - hits) * larger(paced_s, again_s)
    store_s = store_s + load(vcpu, pack, Vcpu.RING_EXIT_S, slots)
    cap = load(vcpu, pack, Vcpu.CAP, slots)
    stores = smaller(cap * h / store_s, wanted)

    # First writes of either pattern.
    stop = smaller(passed + stores, cold_bytes)
    met = clean_up_to(stop, solid, density, per_ramp) - clean_up_to(start, solid, density, per_ramp)
    in_order = sequential_writes(stores, passed, met, sent, cold_clean, cold_inflow, cold_bytes, per_byte)
    at_random = random_writes(cold_clean, cold_inflow, stores * (1.0 - hot_share) * per_cold)
    cold = where(sequential, in_order, at_random)
    if has_hot:
        hot = random_writes(hot_clean, hot_inflow, stores * hot_share * per_hot)

    # The quota stops each vCPU where it is used up; so does a full ring.
    present, limit = load(vcpu, pack, Vcpu.PRESENT, slots), load(vcpu, pack, Vcpu.LIMIT, slots)
    natural, share = hot + cold, alike(h, 1.0)
    excess = natural - limit * h
    sleeps = spread(numbers, Number.SLEEPS, pack, slots) > 0.0
    if bits((excess > 0.0) | sleeps) != 0:
        beyond = totals(where(excess > 0.0, alike(h, 1.0), 0.0), slots)
        granted = granted_share(excess, present, numbers, pack, slots)
        quota = limit * h + larger(excess, 0.0) * granted
        bank_s = 2.0 * quota_interval_s  # this interval's quota, and what is left of the last
        throttled = (beyond > 0.0) | sleeps  # sleepers save quota
        used = within_quota(vcpu, numbers, pack, slots, natural, quota, per_s, beyond, throttled, bank_s)
        stopped = used < natural
        all_clean = solid_ahead(ahead, passed, cold_bytes)
        available = hot_clean + cold_clean + hot_inflow + cold_inflow
        share = where(stopped, run_share_of(used, natural, stores, sequential, all_clean, available), share)
        stores = stores * share
        exits = load(vcpu, pack, Vcpu.QUOTA_EXITS, slots)
        store(vcpu, pack, Vcpu.QUOTA_EXITS, where(stopped, exits + h * (1.0 / quota_interval_s), exits), slots)
        if has_hot:
            # Where few stores are left, more of them are first writes to the hot part: split as random ones would be.
            to_hot = random_writes(hot_clean, hot_inflow, stores * hot_share * per_hot)
            to_cold = random_writes(cold_clean, cold_inflow, stores * (1.0 - hot_share) * per_cold)
            split = used * to_hot / larger(to_hot + to_cold, _TINY)
            in_proportion = hot * (used / larger(natural, _TINY))
            hot = where(stopped, where((share < 1.0) & (hot_share > 0.0), split, in_proportion), hot)
        cold = where(stopped, used - hot, cold)
    rings = bits(spread(numbers, Number.RINGS, pack, slots) > 0.0) != 0
    if rings:
        _put_scratch(vcpu, pack, slots, stores, wanted, hot, cold, share)
        for j in range(count):
            if state_of(numbers, pack[j])[Number.RING_SLEEPS] > 0.0:
                stop_at_full_ring(at(vcpu, pack[j]), slots, state_of(numbers, pack[j])[Number.PIECE_S])
        stores, share = load(vcpu, pack, Vcpu.STORES, slots), load(vcpu, pack, Vcpu.SHARE, slots)
        hot, cold = load(vcpu, pack, Vcpu.HOT_WRITTEN, slots), load(vcpu, pack, Vcpu.COLD_WRITTEN, slots)

    # Book it.
    if has_hot:
        store(vcpu, pack, Vcpu.HOT_DIRTY, hot_dirty + hot, slots)
    store(vcpu, pack, Vcpu.COLD_DIRTY, cold_dirty + cold, slots)
    store(vcpu, pack, Vcpu.PASSED, passed + stores, slots)
    store(vcpu, pack, Vcpu.BACKLOG, openloop * larger(wanted - stores, 0.0), slots)
    store(vcpu, pack, Vcpu.DIRTIED_BYTES, load(vcpu, pack, Vcpu.DIRTIED_BYTES, slots) + hot + cold, slots)
    run = cap * share * present
    store(vcpu, pack, Vcpu.RUN_S, load(vcpu, pack, Vcpu.RUN_S, slots) + run * h, slots)
    store(vcpu, pack, Vcpu.STALLED_S, load(vcpu, pack, Vcpu.STALLED_S, slots) + (present - run) * h, slots)
    if rings:
        for j in range(count):
            if state_of(numbers, pack[j])[Number.RINGS] > 0.0:
                count_ring_entries(at(vcpu, pack[j]), slots)
    ended = (end_phase < h) & ~(load(vcpu, pack, Vcpu.RANDOM_PERIOD, slots) == 0.0)
    if bits(ended) != 0:
        put(numbers, Number.PERIODS_ENDED, pack, totals(where(ended, alike(h, 1.0), 0.0), slots), slots)


@exact_part
def _put_scratch(vcpu, pack, slots, stores, wanted, hot, cold, share):  # type: ignore[no-untyped-def]
    store(vcpu, pack, Vcpu.STORES, stores, slots)
    store(vcpu, pack, Vcpu.WANTED, wanted, slots)
    store(vcpu, pack, Vcpu.HOT_WRITTEN, hot, slots)
    store(vcpu, pack, Vcpu.COLD_WRITTEN, cold, slots)
    store(vcpu, pack, Vcpu.SHARE, share, slots)
