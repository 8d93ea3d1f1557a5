"""The survey in the model: before the migration begins, the guest runs free while its dirty log is read.

Nothing is sent meanwhile. The time counts: the migration's clock, its link and its deadline run from the beginning of
the survey on.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.compile import routine
from dqgym.model.dirtying import commit_writes, natural_hot_writes, natural_writes
from dqgym.model.layout import Vcpu, Vm
from dqgym.model.link_kernel import change_bandwidth
from dqgym.model.replayed_rates import replay_rates
from dqgym.model.schedules import draw_periods
from dqgym.telemetry.survey import MARKS

_f = np.float32


@routine
def run_survey(tile, state, random_states, n, slots, survey_s, table_times, table_values):  # type: ignore[no-untyped-def]
    """Let the guest of row ``n``, all pages clean, run for ``survey_s``; fills the rows from ``Vcpu.SURVEYED`` on.

    Leaves the vCPUs' positions in their schedules, the link and the clock where they are after the survey. The caller
    puts the pages in the state in which a migration begins.
    """
    for i in range(len(slots)):
        tile[Vcpu.HOT_PENDING, i] = 0.0
        tile[Vcpu.COLD_PENDING, i] = 0.0
        tile[Vcpu.AHEAD, i] = tile[Vcpu.COLD_BYTES, i]
        tile[Vcpu.CAP, i] = 1.0
    for k in range(len(MARKS)):
        piece_s = MARKS[k] * survey_s - state[Vm.TIME_S]
        if state[Vm.RECORDED] > 0.0:
            replay_rates(tile, slots, state[Vm.TIME_S], piece_s, table_times, table_values)
        natural_writes(tile, slots, piece_s, 0.0, 0.0, 0.0)
        if state[Vm.HOT] > 0.0:
            natural_hot_writes(tile, slots, piece_s, 0.0, 0.0)
        commit_writes(tile, slots, piece_s)
        if state[Vm.RANDOM_PERIODS] > 0.0:
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
    while state[Vm.LINK_NEXT_S] <= state[Vm.TIME_S]:
        change_bandwidth(state, random_states, n, table_times, table_values)
    state[Vm.SURVEY_S] = survey_s
