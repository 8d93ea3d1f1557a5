"""What a control interval adds to the cost of a migration (``dqgym.cost.definition``)."""

from __future__ import annotations

import numpy as np

from dqgym.cost import definition
from dqgym.cost.window import FULL_WINDOW_S, window_stall
from dqgym.jit.array_views import row
from dqgym.jit.compile import part
from dqgym.model.layout import Vcpu, Vm

_f = np.float32
_MISSED = definition.MISSED_DEADLINE_FACTOR - 1.0


@part
def charge_window(tile, state, slots):  # type: ignore[no-untyped-def]
    """Add the stall cost of the window that ends now and begin another."""
    run_s = row(tile, Vcpu.WINDOW_RUN_S, slots)
    state[Vm.STALL_S] += window_stall(row(tile, Vcpu.PRESENT, slots), run_s, state[Vm.WINDOW_S], state[Vm.VCPUS])
    for i in range(len(slots)):
        run_s[i] = 0.0
    state[Vm.WINDOW_S] = 0.0


@part
def charge_interval(tile, state, slots):  # type: ignore[no-untyped-def]
    """Bring the four terms of the cost (``dqgym.cost.definition``) up to date."""
    running_s = state[Vm.INTERVAL_S]
    run_total, window_run, run_s = (
        row(tile, Vcpu.RUN_TOTAL_S, slots),
        row(tile, Vcpu.WINDOW_RUN_S, slots),
        row(tile, Vcpu.RUN_S, slots),
    )
    total_run_s = _f(0.0)
    for i in range(len(slots)):
        run_total[i] += run_s[i]
        window_run[i] += run_s[i]
        total_run_s += run_s[i]
    paused = total_run_s == 0.0 and state[Vm.SLEEPS] == 0.0
    state[Vm.PAUSED_S] = state[Vm.PAUSED_S] + running_s if paused else 0.0
    state[Vm.WINDOW_S] += running_s
    done = state[Vm.DONE] > 0.0
    if state[Vm.WINDOW_S] >= FULL_WINDOW_S or (done and state[Vm.WINDOW_S] > 0.0):
        charge_window(tile, state, slots)
    per_pass = 1.0 / state[Vm.PASS_TIME_S]
    state[Vm.TIME_TERM] = state[Vm.TIME_S] * per_pass
    state[Vm.STALL_TERM] = state[Vm.PREFERENCE] * state[Vm.STALL_S] * per_pass
    if done:
        beyond_s = max(state[Vm.DOWNTIME_S] - state[Vm.DOWNTIME_LIMIT_S], 0.0) * definition.MAX_STALL
        state[Vm.STALL_S] += beyond_s
        state[Vm.DOWNTIME_TERM] = state[Vm.PREFERENCE] * beyond_s * per_pass
        if state[Vm.CONVERGED] == 0.0:
            state[Vm.DEADLINE_TERM] = _MISSED * (state[Vm.TIME_TERM] + state[Vm.STALL_TERM] + state[Vm.DOWNTIME_TERM])
