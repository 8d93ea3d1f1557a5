"""The model page by page: the definition that the fluid kernel (``dqgym.model.kernel``) is checked against.

A migration is played through with one byte for every page, one store and one sent page after another. Everybody does
in turns of at most a millisecond what it can do in that time: first the sender, then the devices, then the vCPUs.
What vCPUs do in their turn is in ``dqgym.model.page_exact.vcpu``.

Nothing here is a formula for many pages, and nothing is shared with the kernel but the bandwidth over time
(``dqgym.model.kernel.links``) and the random numbers. It reads as plain Python; the decorators only
make it fast enough.

What it leaves out: the cost of quota exits (``exit_bytes_per_s``, ``contention``), which summarises measurements and
has no mechanism that could be played through.

Sources: QEMU 10.0, migration/ram.c, migration/migration.c, system/cpu-throttle.c, system/dirtylimit.c; the dirty-quota
RFC of November 2022.
"""

from __future__ import annotations

import math

import numpy as np

from dqgym.jit.compile import kernel, routine
from dqgym.jit.random import uniform
from dqgym.model.kernel.links import change_bandwidth, start_link
from dqgym.model.layout import Vm
from dqgym.model.page_exact.state import CLEARED, DIRTY, LINK, PAGES, PENDING
from dqgym.model.page_exact.vcpu import (
    command_cap,
    empty_rings,
    kick,
    random_below,
    refill_quotas,
    release_rings,
    wakes_in_s,
    write_as_device,
    write_as_vcpu,
)
from dqgym.scenario import limits

PAUSED_DEADLINES = limits.PAUSED_DEADLINES
TURN_S = 1e-3
"""Nobody does more at a time than what takes this long."""
_EPSILON_S = 1e-9


# --- the dirty log ---------------------------------------------------------------------------------------------------


@routine
def begin_sync(vm, vcpus, ends_round):  # type: ignore[no-untyped-def]
    """Sync the dirty log as soon as every vCPU can flush its ring: those that a throttle keeps asleep wake first."""
    kick(vm, vcpus)
    wait_s = 0.0
    for i in range(0 if vm.paused else len(vcpus)):
        wait_s = max(wait_s, wakes_in_s(vcpus[i], vm.time_s, vm.sync_waits))
    vm.sync_until_s = vm.time_s + wait_s
    vm.sync_ends_round = ends_round


@routine
def read_dirty_log(vm, vcpus, pages):  # type: ignore[no-untyped-def]
    """Dirty pages become pending; the log and the rings are empty again. Counts those that were not pending already."""
    found = 0
    for address in range(len(pages)):
        if pages[address] & DIRTY and not pages[address] & PENDING:
            found += 1
        pages[address] = PENDING if pages[address] & (DIRTY | PENDING) else 0
    empty_rings(vcpus)
    vm.pending_pages += found
    vm.syncs += 1
    vm.sync_time_s = vm.time_s
    vm.synced_dirty_pages += found
    vm.synced_sent_pages = vm.sent_pages
    vm.sync_until_s = np.inf


# --- the sender ------------------------------------------------------------------------------------------------------


@routine
def fits_into_downtime(vm):  # type: ignore[no-untyped-def]
    """True where what is pending, pages of zeros included, could be dealt with within the downtime limit.

    A page of zeros counts as one to send, as QEMU has it, or as the time of its scan where that is longer.
    """
    zero_bytes = vm.zero_bytes * max(vm.carried_bytes_per_s / vm.scan_bytes_per_s, 1.0)
    return vm.pending_pages * vm.page_bytes + zero_bytes <= vm.threshold_bytes


@routine
def begin_window(vm, vcpus, bandwidth):  # type: ignore[no-untyped-def]
    """A new budget, which goes with the window; then look whether the round has come to its end.

    What fits into the downtime limit is computed with the bandwidth of the moment, or, where a sync that waited made
    the last window longer, with what that one carried. Without a line speed the budget is spread over the window, so
    that there is nothing to count.
    """
    lasted_s = vm.time_s - vm.window_began_s
    carried = bandwidth
    if lasted_s > vm.window_s + _EPSILON_S:
        carried = min((vm.sent_pages - vm.window_began_sent_pages) * vm.page_bytes / lasted_s, bandwidth)
    vm.carried_bytes_per_s, vm.threshold_bytes = carried, carried * vm.downtime_limit_s
    vm.window_began_s, vm.window_ends_s = vm.time_s, vm.time_s + vm.window_s
    vm.window_began_sent_pages = vm.sent_pages
    vm.budget_bytes = vm.budget_bytes % vm.page_bytes + bandwidth * vm.window_s if vm.line_speed > 0.0 else np.inf
    if not vm.first_window and fits_into_downtime(vm):
        begin_sync(vm, vcpus, True)
    vm.first_window = False


@routine
def end_sync(vm, vcpus, pages, bandwidth):  # type: ignore[no-untyped-def]
    """All vCPUs are awake: read the log; if that ended the round, stop the guest or begin the next round.

    Where the wait was longer than the window, its budget is sent now, as fast as the line allows, and then the next
    window begins.
    """
    read_dirty_log(vm, vcpus, pages)
    if vm.sync_ends_round:
        if fits_into_downtime(vm):
            last_stage(vm, bandwidth)
            return
        if vm.rounds >= vm.max_rounds and not vm.paused:
            end_before_convergence(vm, vm.pauses_after_rounds)
            if vm.done:
                return
        vm.rounds += 1
        grow_limit(vm)
    if vm.time_s >= vm.window_ends_s - _EPSILON_S:
        vm.window_ends_s = vm.time_s + vm.budget_bytes / vm.line_speed if vm.line_speed > 0.0 else vm.time_s


@routine
def clear_log(vm, pages):  # type: ignore[no-untyped-def]
    """Clear the dirty log of the chunk in which the sender is: stores to its pages count again, sent or not."""
    first = vm.address // vm.chunk_pages * vm.chunk_pages
    for address in range(first, min(first + vm.chunk_pages, len(pages))):
        pages[address] |= CLEARED


@routine
def send(vm, pages, bandwidth, duration_s):  # type: ignore[no-untyped-def]
    """Send what is pending, at ascending addresses and around the end, as far as the line and the budget allow.

    Pages of zeros come after all others in the first round, and those left of them before all others in the next. The
    sender goes through them at its own speed, and sends nothing.
    """
    if vm.zero_bytes > 0.0 and (vm.pending_pages == 0 or vm.rounds > 1):
        vm.zero_bytes = max(vm.zero_bytes - vm.scan_bytes_per_s * duration_s, 0.0)
        vm.transmitted_bytes %= vm.page_bytes
        return
    speed = vm.line_speed if vm.line_speed > 0.0 else bandwidth
    if vm.pending_pages > 0:
        vm.sending_s += duration_s
        vm.offered_bytes += bandwidth * duration_s
    vm.transmitted_bytes += speed * duration_s
    while vm.pending_pages > 0 and vm.transmitted_bytes >= vm.page_bytes and vm.budget_bytes >= vm.page_bytes:
        while not pages[vm.address] & PENDING:
            vm.address = (vm.address + 1) % len(pages)
        if not pages[vm.address] & CLEARED:
            clear_log(vm, pages)
        pages[vm.address] &= ~PENDING
        vm.pending_pages -= 1
        vm.sent_pages += 1
        vm.transmitted_bytes -= vm.page_bytes
        vm.budget_bytes -= vm.page_bytes
    if vm.pending_pages == 0 or vm.budget_bytes < vm.page_bytes:
        vm.transmitted_bytes %= vm.page_bytes  # a line that was idle does not make up for it


@routine
def last_stage(vm, bandwidth):  # type: ignore[no-untyped-def]
    """The last stage: nobody writes any more, the rest goes at line speed."""
    vm.downtime_s = vm.pending_pages * vm.page_bytes / max(bandwidth, vm.line_speed) + vm.last_stage_s
    vm.downtime_s += vm.zero_bytes / vm.scan_bytes_per_s
    vm.zero_bytes = 0.0
    vm.time_s += vm.downtime_s
    vm.sent_pages += vm.pending_pages
    vm.pending_pages = 0
    vm.done = True
    vm.converged = True


# --- limits that grow, and ends without convergence ------------------------------------------------------------------


@routine
def grow_limit(vm):  # type: ignore[no-untyped-def]
    """Raise the downtime limit as often as is due."""
    while vm.time_s + _EPSILON_S >= vm.grows_at_s or vm.rounds >= vm.grows_in_round:
        vm.downtime_limit_s = min(vm.growth_factor * vm.downtime_limit_s + vm.growth_add_s, vm.growth_end_s)
        due_s = min(vm.grows_at_s, vm.time_s)
        vm.grows_at_s = vm.grows_in_round = np.inf
        if vm.downtime_limit_s < vm.growth_end_s:
            if vm.growth_every_s > 0.0:
                vm.grows_at_s = due_s + vm.growth_every_s
            else:
                vm.grows_in_round = vm.rounds + vm.growth_every_rounds


@routine
def end_before_convergence(vm, pauses):  # type: ignore[no-untyped-def]
    """At the deadline, or after the last round: cancel, or pause the guest for good and let the sender go on."""
    if not pauses:
        vm.done = True
        return
    vm.paused = True
    if not math.isinf(vm.sync_until_s):
        vm.sync_until_s = vm.time_s  # those that it waited for stand now
    vm.ends_at_s = PAUSED_DEADLINES * vm.deadline_s if vm.pauses_at_deadline else vm.deadline_s


# --- a migration -----------------------------------------------------------------------------------------------------


@kernel
def start(migration):  # type: ignore[no-untyped-def]
    """Draw what is random at the start."""
    for i in range(len(migration.vcpus)):
        migration.vcpus[i].progress = uniform(migration.random, PAGES)
    start_link(migration.link, migration.random, LINK, migration.link_times, migration.link_values)


@kernel
def run_interval(migration, interval_s, limit, cap, ring_sleep_s, share_unclaimed, sync, kicks_wake, read_rings):  # type: ignore[no-untyped-def]
    """Play the migration through a control interval under the commands (arrays [V]), or to its end."""
    vm, vcpus = migration.vm[0], migration.vcpus
    vm.kicks_wake = kicks_wake
    if read_rings:
        kick(vm, vcpus)
        release_rings(migration)
    begin_interval(vm, vcpus, limit, cap, ring_sleep_s, share_unclaimed, sync)
    ends_s, paused_before = min(vm.time_s + interval_s, vm.ends_at_s), vm.paused
    while not vm.done and vm.paused == paused_before and vm.time_s < ends_s - _EPSILON_S:
        what_happens_now(migration)
        if not vm.done and vm.paused == paused_before:  # An interval ends where the guest is paused.
            vm.interval_s += take_turns(migration, ends_s)
    if not vm.done and vm.time_s >= vm.ends_at_s - _EPSILON_S:
        end_before_convergence(vm, vm.pauses_at_deadline and not vm.paused)


@routine
def begin_interval(vm, vcpus, limit, cap, ring_sleep_s, share_unclaimed, sync):  # type: ignore[no-untyped-def]
    """Take over the commands and clear the telemetry."""
    for i in range(len(vcpus)):
        vcpu = vcpus[i]
        command_cap(vcpu, cap[i], vm.time_s)
        vcpu.limit_bytes_per_s, vcpu.ring_sleep_s = limit[i], ring_sleep_s[i]
        vcpu.dirtied_bytes = vcpu.quota_exits = vcpu.run_s = 0.0
    vm.share_unclaimed = share_unclaimed
    vm.interval_s = vm.sending_s = vm.offered_bytes = 0.0
    if sync and math.isinf(vm.sync_until_s):
        begin_sync(vm, vcpus, False)


@routine
def follow_link(migration):  # type: ignore[no-untyped-def]
    """The bandwidth of this moment."""
    while migration.vm[0].time_s + _EPSILON_S >= migration.link[Vm.LINK_NEXT_S]:
        change_bandwidth(migration.link, migration.random, LINK, migration.link_times, migration.link_values)


@routine
def what_happens_now(migration):  # type: ignore[no-untyped-def]
    """All that is due at this moment."""
    vm, vcpus, link, now_s = migration.vm[0], migration.vcpus, migration.link, migration.vm[0].time_s + _EPSILON_S
    follow_link(migration)
    grow_limit(vm)
    if now_s >= vm.quota_due_s:
        refill_quotas(vm, vcpus)
    if now_s >= vm.sync_until_s:
        end_sync(vm, vcpus, migration.pages, link[Vm.BANDWIDTH])
    if not vm.done and math.isinf(vm.sync_until_s) and now_s >= vm.window_ends_s:
        begin_window(vm, vcpus, link[Vm.BANDWIDTH])
        if now_s >= vm.sync_until_s:
            end_sync(vm, vcpus, migration.pages, link[Vm.BANDWIDTH])


@routine
def take_turns(migration, ends_s):  # type: ignore[no-untyped-def]
    """Everybody's turn, up to the next thing that happens; returns its length. A sync that waits stops the sender."""
    vm = migration.vm[0]
    waits = not math.isinf(vm.sync_until_s)
    next_s = min(ends_s, migration.link[Vm.LINK_NEXT_S], vm.quota_due_s, vm.sync_until_s if waits else vm.window_ends_s)
    duration_s = min(TURN_S, next_s - vm.time_s, vm.grows_at_s - vm.time_s)
    if not waits:
        send(vm, migration.pages, migration.link[Vm.BANDWIDTH], duration_s)
    run_guest(migration, duration_s)
    return duration_s


@routine
def run_guest(migration, duration_s):  # type: ignore[no-untyped-def]
    """The turns of the devices and of the vCPUs; then so much time has gone by."""
    vm, vcpus, random = migration.vm[0], migration.vcpus, migration.random
    if vm.paused:
        vm.time_s += duration_s
        return
    write_as_device(vm, migration.pages, migration.address_of, random, duration_s)
    # At the pool, nobody comes before another more often than after it.
    first, step = random_below(random, len(vcpus)), 1 if random_below(random, 2) == 0 else -1
    for k in range(len(vcpus)):
        write_as_vcpu(
            vm, vcpus[(first + step * k) % len(vcpus)], migration.pages, migration.address_of,
            migration.schedule, migration.zipf, random, duration_s,
        )  # fmt: skip
    vm.time_s += duration_s
