"""Commands that take effect within their control interval, not at its beginning (``Randomisation.latency``)."""

from __future__ import annotations

from dqgym.jit.array_views import at, row
from dqgym.jit.compile import part, routine
from dqgym.jit.lane_rows import state_of
from dqgym.model.kernel.intervals import end_intervals, run_pieces
from dqgym.model.layout import UNLIMITED_RATE, Vcpu, Vm


@part
def run_free(tile, slots):  # type: ignore[no-untyped-def]
    """The free command, which holds until the first one takes effect."""
    for i in range(len(slots)):
        tile[Vcpu.LIMIT, i] = UNLIMITED_RATE
        tile[Vcpu.CAP, i] = 1.0


@routine
def advance_late(  # type: ignore[no-untyped-def]
    vcpu, vm, numbers, first, last, members, count, scratch, random_states, slots, parameters,
    table_times, table_values,
):  # fmt: skip
    """``dqgym.model.kernel.intervals.advance`` with limits that come late.

    NEXT_LIMIT takes effect after LATENCY of the interval, in which the limits before hold.
    """
    for k in range(count):
        state = state_of(vm, members[k])
        state[Vm.COMMANDED_S] = (1.0 - state[Vm.LATENCY]) * state[Vm.LEFT_S]
        state[Vm.LEFT_S] *= state[Vm.LATENCY]
    run_pieces(vcpu, vm, numbers, first, last, scratch, random_states, slots, parameters, table_times, table_values)
    for k in range(count):
        tile, state = at(vcpu, members[k]), state_of(vm, members[k])
        limit, late = row(tile, Vcpu.LIMIT, slots), row(tile, Vcpu.NEXT_LIMIT, slots)
        for i in range(len(slots)):
            limit[i] = late[i]
        state[Vm.LEFT_S] = state[Vm.COMMANDED_S]
    run_pieces(vcpu, vm, numbers, first, last, scratch, random_states, slots, parameters, table_times, table_values)
    end_intervals(vcpu, vm, numbers, first, last, members, count, slots)
