"""The survey in the model: before the migration begins, the guest runs free while its dirty log is read.

Nothing is sent meanwhile. The time counts: the migration's clock, its link and its deadline run from the beginning of
the survey on.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.array_views import at
from dqgym.jit.compile import routine
from dqgym.jit.lane_rows import pack_of, state_of
from dqgym.model.kernel.links import change_bandwidth
from dqgym.model.kernel.schedules import draw_periods, replay_rates
from dqgym.model.kernel.writes import write_pack
from dqgym.model.layout import NUMBERS, UNLIMITED_RATE, Number, Vcpu, Vm
from dqgym.telemetry.survey import MARKS

_ANY_S = 1.0
"""For the interval of quotas, which are not used up."""


@routine
def run_survey(  # type: ignore[no-untyped-def]
    vcpu, vm, numbers, members, random_states, n, slots, survey_s, table_times, table_values
):  # fmt: skip
    """Let the guest of migration ``n``, all pages clean, run for ``survey_s``; fills the rows from SURVEYED on.

    Leaves the vCPUs' positions in their schedules, the link and the clock where they are after the survey. The caller
    puts the pages in the state in which a migration begins.
    """
    tile, state = at(vcpu, n), state_of(vm, n)
    for i in range(len(slots)):
        tile[Vcpu.HOT_PENDING, i] = 0.0
        tile[Vcpu.COLD_PENDING, i] = 0.0
        tile[Vcpu.AHEAD, i] = tile[Vcpu.COLD_BYTES, i]
        tile[Vcpu.CAP, i] = 1.0
        tile[Vcpu.LIMIT, i] = UNLIMITED_RATE
    own = state_of(numbers, n)
    for k in range(NUMBERS):
        own[k] = 0.0
    members[0] = n
    for k in range(len(MARKS)):
        piece_s = MARKS[k] * survey_s - state[Vm.TIME_S]
        if state[Vm.RECORDED] > 0.0:
            replay_rates(tile, slots, state[Vm.TIME_S], piece_s, table_times, table_values)
        own[Number.PIECE_S] = piece_s
        own[Number.PER_S] = 1.0 / piece_s
        write_pack(vcpu, numbers, pack_of(members, 0, 1, slots), np.int64(1), slots, _ANY_S)
        draw_periods(tile, random_states, n, slots, piece_s)
        state[Vm.TIME_S] = MARKS[k] * survey_s
        for i in range(len(slots)):
            tile[Vcpu.SURVEYED + k, i] = tile[Vcpu.HOT_DIRTY, i] + tile[Vcpu.COLD_DIRTY, i]
    for i in range(len(slots)):
        tile[Vcpu.RUN_TOTAL_S, i] = tile[Vcpu.RUN_S, i]
        tile[Vcpu.RUN_S, i] = 0.0
        tile[Vcpu.STALLED_S, i] = 0.0
        tile[Vcpu.DIRTIED_BYTES, i] = 0.0
        tile[Vcpu.HOT_DIRTY, i] = 0.0
        tile[Vcpu.COLD_DIRTY, i] = 0.0
        tile[Vcpu.PASSED, i] = 0.0
        tile[Vcpu.LIMIT, i] = 0.0
    while state[Vm.LINK_NEXT_S] <= state[Vm.TIME_S]:
        change_bandwidth(state, random_states, n, table_times, table_values)
    state[Vm.SURVEY_S] = survey_s
