"""The terms that a control interval adds to the cost of a migration (``dqgym.cost.definition``)."""

from __future__ import annotations

import numpy as np

from dqgym.cost.window import FULL_WINDOW_S, cost_terms, downtime_stall, missed_share, pause_after, window_stall
from dqgym.jit.array_views import row
from dqgym.jit.compile import part
from dqgym.model.layout import Vcpu, Vm

_f = np.float32


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
    longest_run_s = _f(0.0)
    for i in range(len(slots)):
        run_total[i] += run_s[i]
        window_run[i] += run_s[i]
        longest_run_s = max(longest_run_s, run_s[i])
    state[Vm.PAUSED_S] = pause_after(state[Vm.PAUSED_S], running_s, longest_run_s, state[Vm.SLEEPS] > 0.0, 0.0)
    state[Vm.WINDOW_S] += running_s
    done = state[Vm.DONE] > 0.0
    if state[Vm.WINDOW_S] >= FULL_WINDOW_S or (done and state[Vm.WINDOW_S] > 0.0):
        charge_window(tile, state, slots)
    converged = state[Vm.CONVERGED] > 0.0
    beyond_s = downtime_stall(state[Vm.DOWNTIME_S], state[Vm.DOWNTIME_LIMIT_NOW_S]) if converged else 0.0
    missed = missed_share(state[Vm.TIME_S], state[Vm.DEADLINE_S]) if done and not converged else 0.0
    (
        state[Vm.TIME_TERM], state[Vm.STALL_TERM], state[Vm.DOWNTIME_TERM], state[Vm.DEADLINE_TERM],
    ) = cost_terms(
        state[Vm.TIME_S], state[Vm.STALL_S], beyond_s, missed,
        state[Vm.PASS_TIME_S], state[Vm.PREFERENCE],
    )  # fmt: skip
    state[Vm.STALL_S] += beyond_s
