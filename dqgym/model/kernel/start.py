"""The beginning of a migration."""

from __future__ import annotations

from dqgym.jit.array_views import at
from dqgym.jit.compile import routine
from dqgym.jit.lane_rows import state_of
from dqgym.model.kernel.ends import start_limits
from dqgym.model.kernel.links import start_link
from dqgym.model.kernel.schedules import begin_period
from dqgym.model.kernel.survey import run_survey
from dqgym.model.layout import VCPU_PARAMETERS, VM_PARAMETERS, Vcpu, Vm

_ROWS, _COLUMNS = len(Vcpu), len(Vm)


@routine
def start_migration(  # type: ignore[no-untyped-def]
    vcpu, vm, numbers, members, random_states, n, slots,
    pool_vcpu, pool_vm, m, table_times, table_values, preference, survey_s,
):  # fmt: skip
    """Make ``n`` a fresh migration of scenario ``m`` of the pool: every page is to send.

    Nothing has happened yet, but for a survey of ``survey_s`` where that is not 0. ``numbers`` of the migration and
    ``members`` are scratch.
    """
    tile, state = at(vcpu, n), state_of(vm, n)
    for k in range(VCPU_PARAMETERS):
        for i in range(len(slots)):
            tile[k, i] = pool_vcpu[m, k, i]
    for k in range(VCPU_PARAMETERS, _ROWS):
        for i in range(len(slots)):
            tile[k, i] = 0.0
    for k in range(VM_PARAMETERS):
        state[k] = pool_vm[m, k]
    for k in range(VM_PARAMETERS, _COLUMNS):
        state[k] = 0.0
    for i in range(len(slots)):
        tile[Vcpu.PHASE, i] = tile[Vcpu.OFFSET, i]
        begin_period(tile, i, tile[Vcpu.PERIOD, i])
    start_link(state, random_states, n, table_times, table_values)
    if survey_s > 0.0:
        run_survey(vcpu, vm, numbers, members, random_states, n, slots, survey_s, table_times, table_values)
    for i in range(len(slots)):
        tile[Vcpu.HOT_PENDING, i] = tile[Vcpu.HOT_BYTES, i]
        tile[Vcpu.COLD_PENDING, i] = tile[Vcpu.COLD_BYTES, i]
        tile[Vcpu.STILL_WAITING, i] = 1.0
        tile[Vcpu.AHEAD, i] = tile[Vcpu.COLD_BYTES, i] * (1.0 - state[Vm.LAZY_CLEAR])
    state[Vm.SYNC_TIME_S] = state[Vm.TIME_S]  # of the sync that setup makes
    state[Vm.PREFERENCE] = preference
    state[Vm.ROUND] = 1.0
    state[Vm.SYNCS] = 1.0
    state[Vm.ROUND_BYTES] = state[Vm.MEMORY_BYTES]
    state[Vm.REMAINING_BYTES] = state[Vm.MEMORY_BYTES]
    state[Vm.ZERO_LEFT] = state[Vm.ZERO_BYTES]
    state[Vm.DEVICE_PENDING] = state[Vm.DEVICE_BYTES]
    state[Vm.MEASURED_BANDWIDTH] = state[Vm.NOMINAL_BANDWIDTH]
    state[Vm.LEAST_CAP] = 1.0
    start_limits(state)
