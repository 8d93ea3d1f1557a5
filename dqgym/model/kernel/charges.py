"""The terms that a control interval adds to the cost of a migration (``dqgym.cost.definition``)."""

from __future__ import annotations

from dqgym.cost.window import (
    FULL_WINDOW_S,
    cost_terms,
    downtime_stall,
    lane_cost_terms,
    missed_share,
    pause_after,
    stall_in_window,
)
from dqgym.jit.array_views import at
from dqgym.jit.compile import exact_part, routine
from dqgym.jit.lane_rows import (
    column,
    largest,
    load,
    pack_of,
    pack_size,
    put,
    set_column,
    spread,
    state_of,
    store,
    totals,
)
from dqgym.jit.lanes import alike, narrow, where, widen
from dqgym.model.kernel.plan import acting
from dqgym.model.layout import Number, Vcpu, Vm


@exact_part
def lengthen_windows(state, numbers):  # type: ignore[no-untyped-def]
    """Add the interval to the window of the stall cost; says which windows it ends."""
    acts = acting(numbers)
    window_s = column(state, Vm.WINDOW_S) + where(acts, column(state, Vm.INTERVAL_S), 0.0)
    ended = (column(state, Vm.DONE) > 0.0) & (window_s > 0.0)
    charged = acts & ((window_s >= FULL_WINDOW_S) | ended)
    set_column(state, Vm.WINDOW_S, window_s)
    set_column(numbers, Number.PER_WINDOW, 1.0 / narrow(window_s))
    set_column(numbers, Number.CHARGED, where(charged, narrow(alike(window_s, 1.0)), 0.0))


@exact_part
def charge_pack(vcpu, numbers, pack, slots):  # type: ignore[no-untyped-def]
    """Book the run times of the vCPUs; STALL is what they stalled in the window, where it ends."""
    run_s = load(vcpu, pack, Vcpu.RUN_S, slots)
    window_run_s = load(vcpu, pack, Vcpu.WINDOW_RUN_S, slots) + run_s
    store(vcpu, pack, Vcpu.RUN_TOTAL_S, load(vcpu, pack, Vcpu.RUN_TOTAL_S, slots) + run_s, slots)
    per_window, charged = spread(numbers, Number.PER_WINDOW, pack, slots), spread(numbers, Number.CHARGED, pack, slots)
    stall = stall_in_window(load(vcpu, pack, Vcpu.PRESENT, slots), window_run_s, per_window)
    store(vcpu, pack, Vcpu.WINDOW_RUN_S, where(charged > 0.0, alike(run_s, 0.0), window_run_s), slots)
    put(numbers, Number.STALL, pack, totals(stall, slots), slots)
    put(numbers, Number.LONGEST_RUN_S, pack, largest(run_s, slots), slots)


@exact_part
def charge_windows(state, numbers):  # type: ignore[no-untyped-def]
    """Bring the terms up to date, of migrations that go on."""
    acts, charged = acting(numbers), column(numbers, Number.CHARGED) > 0.0
    window_s, before_s = column(state, Vm.WINDOW_S), column(state, Vm.STALL_S)
    window_stall_s = widen(column(numbers, Number.STALL)) / column(state, Vm.VCPUS) * window_s
    stall_s = where(charged, before_s + window_stall_s, before_s)
    time, stall, _, _ = lane_cost_terms(
        column(state, Vm.TIME_S), stall_s, alike(stall_s, 0.0), alike(stall_s, 0.0),
        column(state, Vm.PASS_TIME_S), column(state, Vm.PREFERENCE),
    )  # fmt: skip
    set_column(state, Vm.STALL_S, stall_s)
    set_column(state, Vm.WINDOW_S, where(charged, 0.0, window_s))
    set_column(state, Vm.TIME_TERM, where(acts, time, column(state, Vm.TIME_TERM)))
    set_column(state, Vm.STALL_TERM, where(acts, stall, column(state, Vm.STALL_TERM)))


@routine
def charge_end(state):  # type: ignore[no-untyped-def]
    """The terms of one migration that has ended."""
    converged = state[Vm.CONVERGED] > 0.0
    beyond_s = downtime_stall(state[Vm.DOWNTIME_S], state[Vm.DOWNTIME_LIMIT_NOW_S]) if converged else 0.0
    missed = 0.0 if converged else missed_share(state[Vm.TIME_S], state[Vm.DEADLINE_S])
    (
        state[Vm.TIME_TERM], state[Vm.STALL_TERM], state[Vm.DOWNTIME_TERM], state[Vm.DEADLINE_TERM],
    ) = cost_terms(
        state[Vm.TIME_S], state[Vm.STALL_S], beyond_s, missed,
        state[Vm.PASS_TIME_S], state[Vm.PREFERENCE],
    )  # fmt: skip
    state[Vm.STALL_S] += beyond_s


@exact_part
def charge_intervals(vcpu, vm, numbers, first, last, members, count, slots):  # type: ignore[no-untyped-def]
    """Bring the four terms of the cost of ``members[:count]`` up to date."""
    for block in range(first, last):
        lengthen_windows(at(vm, block), at(numbers, block))
    for k in range(0, count, pack_size(slots)):
        charge_pack(vcpu, numbers, pack_of(members, k, count, slots), slots)
    for block in range(first, last):
        charge_windows(at(vm, block), at(numbers, block))
    for k in range(count):
        own, longest_run_s = state_of(vm, members[k]), state_of(numbers, members[k])[Number.LONGEST_RUN_S]
        own[Vm.PAUSED_S] = pause_after(own[Vm.PAUSED_S], own[Vm.INTERVAL_S], longest_run_s, own[Vm.SLEEPS] > 0.0, 0.0)
        if own[Vm.DONE] > 0.0:
            charge_end(own)
