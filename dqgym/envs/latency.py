"""Commands that take effect within their control interval, not at its beginning (``Randomisation.latency``)."""

from __future__ import annotations

from dqgym.jit.array_views import at, row
from dqgym.jit.compile import part, routine
from dqgym.model.kernel import end_interval, run_pieces
from dqgym.model.layout import UNLIMITED_RATE, Vcpu, Vm

_LEAST_S = 1e-9
"""As in ``dqgym.model.kernel``: less than this is no time at all."""


@part
def run_free(tile, slots):  # type: ignore[no-untyped-def]
    """The free command, which holds until the first one takes effect."""
    for i in range(len(slots)):
        tile[Vcpu.LIMIT, i] = UNLIMITED_RATE
        tile[Vcpu.CAP, i] = 1.0


@part
def _unfinished(vm, members, count):  # type: ignore[no-untyped-def]
    """Put those of ``members[0, :count]`` that have time left into ``members[1]``; returns how many they are."""
    active = 0
    for k in range(count):
        state = at(vm, members[0, k])
        if state[Vm.DONE] == 0.0 and state[Vm.LEFT_S] > _LEAST_S:
            members[1, active] = members[0, k]
            active += 1
    return active


@routine
def advance_late(  # type: ignore[no-untyped-def]
    vcpu, vm, random_states, members, count, slots, parameters, table_times, table_values, limits
):  # fmt: skip
    """``dqgym.model.kernel.advance`` with limits that come late.

    ``limits`` [.., V], bytes/s: row k is for migration ``members[0, k]``. They take effect after LATENCY of its
    interval, in which the limits before hold.
    """
    for k in range(count):
        state = at(vm, members[0, k])
        state[Vm.COMMANDED_S] = (1.0 - state[Vm.LATENCY]) * state[Vm.LEFT_S]
        state[Vm.LEFT_S] *= state[Vm.LATENCY]
    active = _unfinished(vm, members, count)
    run_pieces(vcpu, vm, random_states, members, active, slots, parameters, table_times, table_values)
    for k in range(count):
        limit, late = row(at(vcpu, members[0, k]), Vcpu.LIMIT, slots), row(limits, k, slots)
        for i in range(len(slots)):
            limit[i] = late[i]
        at(vm, members[0, k])[Vm.LEFT_S] = at(vm, members[0, k])[Vm.COMMANDED_S]
    active = _unfinished(vm, members, count)
    run_pieces(vcpu, vm, random_states, members, active, slots, parameters, table_times, table_values)
    for k in range(count):
        end_interval(at(vcpu, members[0, k]), at(vm, members[0, k]), slots)
