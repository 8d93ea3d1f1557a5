"""vCPUs and devices of the page-exact reference (``dqgym.model.page_exact.migration``): stores and throttles."""

from __future__ import annotations

import math

import numpy as np

from dqgym.jit.compile import routine
from dqgym.jit.random import exponential, next_seed, uniform
from dqgym.model.page_exact.state import CLEARED, DIRTY, IN_RING, LINK, PAGES, PENDING
from dqgym.model.parameters import TIMESLICE_S

# --- the writers -----------------------------------------------------------------------------------------------------


@routine
def store(vm, pages, address):  # type: ignore[no-untyped-def]
    """Write to a page and let the dirty log know."""
    if is_first_write(vm, pages, address):
        pages[address] |= DIRTY


@routine
def is_first_write(vm, pages, address):  # type: ignore[no-untyped-def]
    """True where a store to the page makes it dirty, which takes a fault and is charged to the vCPU.

    A log that is cleared at the sync protects every page again. Otherwise a page is protected again when its chunk is
    about to be sent, so that one which is still pending may be written for nothing until then.
    """
    if pages[address] & DIRTY:
        return False
    return vm.cleared_at_sync or not pages[address] & PENDING or bool(pages[address] & CLEARED)


@routine
def write_as_device(vm, pages, address_of, random, duration_s):  # type: ignore[no-untyped-def]
    """Stores at random, whatever the vCPUs do, charged to nobody."""
    vm.device_due += vm.device_pages_per_s * duration_s
    while vm.device_due >= 1.0:
        page = vm.device_first_page + random_below(random, vm.device_pages)
        store(vm, pages, address_of[page])
        vm.device_due -= 1.0


@routine
def write_as_vcpu(vm, vcpu, pages, address_of, schedule, zipf, random, duration_s):  # type: ignore[no-untyped-def]
    """Let a vCPU run for what its throttles leave of the time, and write page by page.

    Closed-loop demand: a page takes as long as the demanded rate says, or as the host needs if that is longer; what a
    stall costs is lost. Open-loop demand: pages fall due at the demanded rate, and are written as fast as the host can.
    """
    left_s = allowed_s(vcpu, vm.time_s, vm.time_s + duration_s)
    vcpu.run_s += left_s
    demand = vcpu.pages_per_s * rate_factor(vcpu, schedule, random, vm.time_s)
    vcpu.backlog += demand * duration_s if vcpu.open_loop else 0.0
    while left_s > 0.0 and (vcpu.backlog >= 1.0 if vcpu.open_loop else demand > 0.0):
        if vcpu.next_page < 0:
            vcpu.next_page = choose_page(vcpu, zipf, random)
        address = address_of[vcpu.first_page + vcpu.next_page]
        first, enters = is_first_write(vm, pages, address), enters_ring(vm, vcpu, pages, address)
        page_s = vcpu.store_s + (vm.fault_s if first else 0.0)
        page_s = page_s if vcpu.open_loop else max(page_s, 1.0 / demand)
        if left_s < (1.0 - vcpu.progress) * page_s:
            vcpu.progress += left_s / page_s
            break
        left_s -= (1.0 - vcpu.progress) * page_s
        vcpu.progress = 1.0
        if first and not take_quota(vm, vcpu):
            vcpu.run_s -= left_s
            break
        store(vm, pages, address)
        vcpu.progress = 0.0
        vcpu.next_page = -1
        vcpu.backlog -= 1.0 if vcpu.open_loop else 0.0
        if enters or (first and not has_ring(vm, vcpu)):
            vcpu.dirtied_bytes += vm.page_bytes
        if enters:
            pages[address] |= IN_RING
            vcpu.ring_bytes += vm.page_bytes
            if vcpu.ring_bytes >= vm.ring_bytes:
                left_s = stop_for_full_ring(vm, vcpu, pages, address_of, vm.time_s + duration_s, left_s)


@routine
def choose_page(vcpu, zipf, random):  # type: ignore[no-untyped-def]
    """Number of the page of its region that the vCPU writes next."""
    if vcpu.sequential:
        page = vcpu.next_in_order
        vcpu.next_in_order = (page + 1) % vcpu.pages
        return page
    if vcpu.zipf_first >= 0:
        return zipf_page(vcpu, zipf, uniform(random, PAGES))
    if vcpu.hot_pages > 0 and (vcpu.hot_pages == vcpu.pages or uniform(random, PAGES) < vcpu.hot_share):
        return random_below(random, vcpu.hot_pages)
    return vcpu.hot_pages + random_below(random, vcpu.pages - vcpu.hot_pages)


@routine
def zipf_page(vcpu, zipf, share):  # type: ignore[no-untyped-def]
    """The page at which the cumulative Zipf law passes ``share``."""
    low, high = 0, vcpu.pages - 1
    while low < high:
        middle = (low + high) // 2
        if zipf[vcpu.zipf_first + middle] > share:
            high = middle
        else:
            low = middle + 1
    return low


@routine
def random_below(random, count):  # type: ignore[no-untyped-def]
    """A random integer in 0 .. count - 1."""
    return np.int64(next_seed(random, PAGES) % np.uint64(count))


@routine
def rate_factor(vcpu, schedule, random, time_s):  # type: ignore[no-untyped-def]
    """The factor that the schedule puts on the demand at this moment.

    A schedule is a table that repeats after its period. One of random periods draws the length of each but the first
    anew, and its table stretches with it.
    """
    while time_s >= vcpu.period_began_s + vcpu.period_s:
        vcpu.period_began_s += vcpu.period_s
        vcpu.entry = 0
        if vcpu.random_period:
            vcpu.period_s = exponential(random, LINK, vcpu.mean_period_s)
        elif vcpu.jitter > 0.0:
            factor = 1.0 + vcpu.jitter * (2.0 * uniform(random, vcpu.periods) - 1.0)
            vcpu.period_s = factor * vcpu.mean_period_s
    stretch = vcpu.period_s / vcpu.mean_period_s if vcpu.random_period or vcpu.jitter > 0.0 else 1.0
    times_s, factors, first = schedule[0], schedule[1], vcpu.schedule_first
    while (
        vcpu.entry + 1 < vcpu.schedule_entries
        and time_s >= vcpu.period_began_s + times_s[first + vcpu.entry + 1] * stretch
    ):
        vcpu.entry += 1
    return factors[first + vcpu.entry]


# --- the throttles ---------------------------------------------------------------------------------------------------


@routine
def command_cap(vcpu, cap, time_s):  # type: ignore[no-untyped-def]
    """A new cap: its cycles begin now, or at the end of the cycle that the old one has begun (its timer fires once)."""
    if cap == vcpu.cap:
        return
    since_s = time_s
    if 0.0 < vcpu.cap < 1.0:
        cycle_s = TIMESLICE_S / vcpu.cap
        since_s = vcpu.cap_since_s + math.ceil((time_s - vcpu.cap_since_s) / cycle_s - 1e-9) * cycle_s
        if vcpu.cap_since_s > time_s:
            since_s = vcpu.cap_since_s
    vcpu.cap, vcpu.cap_since_s = cap, since_s


@routine
def allowed_s(vcpu, begin_s, end_s):  # type: ignore[no-untyped-def]
    """The time that the vCPU may run in a span: not while its full ring stops it, nor in a capped cycle's sleep.

    A run-share cap c makes cycles of TIMESLICE_S / c: first asleep, then running for its slice.
    """
    begin_s = max(begin_s, vcpu.busy_until_s)
    if begin_s >= end_s or vcpu.cap <= 0.0:
        return 0.0
    if vcpu.cap >= 1.0:
        return end_s - begin_s
    slice_s = vcpu.run_slice_s
    return capped_run_s(vcpu.cap, slice_s, end_s - vcpu.cap_since_s) - capped_run_s(
        vcpu.cap, slice_s, begin_s - vcpu.cap_since_s
    )


@routine
def capped_run_s(cap, slice_s, since_s):  # type: ignore[no-untyped-def]
    """The time that a vCPU has run ``since_s`` after its first cycle began; before that, the last old one runs out."""
    if since_s < 0.0:
        return max(since_s, -slice_s)
    cycle_s = TIMESLICE_S / cap
    slice_s = min(slice_s, cycle_s)
    whole = math.floor(since_s / cycle_s)
    return whole * slice_s + max(since_s - whole * cycle_s - (cycle_s - slice_s), 0.0)


@routine
def wakes_in_s(vcpu, time_s, sync_waits):  # type: ignore[no-untyped-def]
    """The time that the vCPU will go on sleeping; what a run-share cap makes it sleep counts with ``sync_waits`` only.

    A vCPU that a cap of 0 has stopped is not asleep: nobody waits for it.
    """
    left_s = max(vcpu.asleep_until_s - time_s, 0.0)
    if sync_waits and 0.0 < vcpu.cap < 1.0:
        cycle_s = TIMESLICE_S / vcpu.cap
        since_s = time_s - vcpu.cap_since_s
        until_s = cycle_s - since_s % cycle_s if since_s >= 0.0 else -since_s
        left_s = max(left_s, until_s - vcpu.run_slice_s)
    return left_s


@routine
def refill_quotas(vm, vcpus):  # type: ignore[no-untyped-def]
    """A quota interval begins: every vCPU gets its limit's worth.

    What is left of the last interval is kept for this one; under ``share_unclaimed`` it goes to the common pool, out of
    which any vCPU may take in this interval (the pool keeps the fraction of a page). An overshoot is charged.
    """
    vm.pool_bytes %= vm.page_bytes
    for i in range(len(vcpus)):
        vcpu = vcpus[i]
        if math.isinf(vcpu.limit_bytes_per_s):
            vcpu.quota_bytes = 0.0
            continue
        quota_bytes = vcpu.limit_bytes_per_s * vm.quota_interval_s
        if vm.share_unclaimed:
            vm.pool_bytes += max(vcpu.quota_bytes, 0.0)
            kept_bytes = min(vcpu.quota_bytes, 0.0)
        else:
            kept_bytes = min(vcpu.quota_bytes, quota_bytes)
        vcpu.quota_bytes = kept_bytes + quota_bytes
        vcpu.out_of_quota = False
    vm.quota_due_s += vm.quota_interval_s


@routine
def take_quota(vm, vcpu):  # type: ignore[no-untyped-def]
    """Charge one page, to the vCPU as long as it has not overshot by too much, else to the pool; False: neither."""
    if math.isinf(vcpu.limit_bytes_per_s):
        return True
    if vcpu.quota_bytes - vm.page_bytes >= -vm.overshoot_bytes:
        vcpu.quota_bytes -= vm.page_bytes
        return True
    if vm.share_unclaimed and vm.pool_bytes >= vm.page_bytes:
        vm.pool_bytes -= vm.page_bytes
        return True
    if not vcpu.out_of_quota:
        vcpu.quota_exits += 1.0
        vcpu.out_of_quota = True
    return False


@routine
def has_ring(vm, vcpu):  # type: ignore[no-untyped-def]
    """True where the vCPU's stores go through a ring: the log is made of rings, or it shall sleep for a full one."""
    return vm.rings or vcpu.ring_sleep_s > 0.0


@routine
def enters_ring(vm, vcpu, pages, address):  # type: ignore[no-untyped-def]
    """True where a store to the page makes an entry in the ring: each page makes one, until the ring is emptied."""
    return has_ring(vm, vcpu) and not pages[address] & IN_RING


@routine
def stop_for_full_ring(vm, vcpu, pages, address_of, end_s, left_s):  # type: ignore[no-untyped-def]
    """Empty a full ring, which protects its pages again; then the vCPU sleeps. Returns what is left of its turn.

    ``end_s``: when the turn ends, of which the vCPU has ``left_s`` to run. Emptying takes a while where the log is made
    of rings; nobody waits for that, as for a sleep.
    """
    release_ring(vcpu, pages, address_of)
    stop_s = vcpu.ring_sleep_s + (vm.ring_exit_s if vm.rings else 0.0)
    vcpu.run_s -= min(stop_s, left_s)
    vcpu.busy_until_s = end_s - left_s + stop_s
    if vcpu.ring_sleep_s > 0.0:
        vcpu.quota_exits += 1.0
        vcpu.asleep_until_s = vcpu.busy_until_s
    return max(left_s - stop_s, 0.0)


@routine
def release_ring(vcpu, pages, address_of):  # type: ignore[no-untyped-def]
    """Empty one ring: a store to any page of its vCPU makes an entry again."""
    for page in range(vcpu.first_page, vcpu.first_page + vcpu.pages):
        pages[address_of[page]] &= ~IN_RING
    vcpu.ring_bytes = 0.0


@routine
def release_rings(migration):  # type: ignore[no-untyped-def]
    """Read all rings, without a sync of the sender's."""
    for i in range(len(migration.vcpus)):
        release_ring(migration.vcpus[i], migration.pages, migration.address_of)


@routine
def kick(vm, vcpus):  # type: ignore[no-untyped-def]
    """Wake those that sleep for a full ring, where a kick does: up to QEMU 8.1."""
    if vm.kicks_wake:
        for i in range(len(vcpus)):
            if vcpus[i].asleep_until_s > vm.time_s:
                vcpus[i].asleep_until_s = vcpus[i].busy_until_s = vm.time_s


@routine
def empty_rings(vcpus):  # type: ignore[no-untyped-def]
    """Every vCPU can dirty a whole ring before it sleeps."""
    for i in range(len(vcpus)):
        vcpus[i].ring_bytes = 0.0
