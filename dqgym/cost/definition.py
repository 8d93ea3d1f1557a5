"""The one number that ranks every throttle.

J = T/T0 + c/T0 * integral over the migration of mean_i min(5.3, -ln max(r_i, 0.005)) dt

with T the total time, T0 = memory / bandwidth, r_i the run share of vCPU i in each window (100 ms, or the control
interval where that is longer) and c the operator's preference: what guest runtime is worth against time. The stall
term is convex per vCPU and window, because a cost linear in stalled time makes stopping the guest the optimum.
Downtime beyond its limit (the one in force at the end, where it grows) counts as stalled time of all vCPUs. So does all
the time for which a guest is paused before the last stage, by a throttle or at the deadline. A migration that misses
its deadline, or is cancelled before, costs as if it had gone on like that for twice the deadline.

The functions are arithmetic alone: they take numbers and arrays, and ``dqgym.cost.window`` compiles them for kernels.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from dqgym.arrays import BoolArray, FloatArray

MAX_STALL = 5.3
"""Most that a stalled window costs: -ln 0.005, rounded."""
LEAST_RUN_SHARE = 0.005
WINDOW_S = 0.1
"""Shortest window over which a run share is averaged."""
FAST = 0.2
"""Preference for a short migration."""
GENTLE = 0.6
"""Preference for a guest that keeps running."""
PREFERENCE_RANGE = (0.05, 2.0)
"""The preferences that a learned policy must serve."""
MISSED_DEADLINE_FACTOR = 2.0
_SAME_TIME = 1e-6
"""Rounding may take so much from a time, relative to it."""
TERMS = ("time", "stall", "downtime", "deadline")
"""What J is the sum of (``cost_terms``)."""

Values = TypeVar("Values", float, FloatArray)


def migration_cost(
    total_time_s: FloatArray,
    stall_s: FloatArray,
    pass_time_s: FloatArray,
    converged: BoolArray,
    preference: float | FloatArray,
    deadline_s: float | FloatArray = 0.0,
) -> FloatArray:
    """[N] J of N migrations; ``stall_s`` is the integral above, ``total_time_s`` when it ended where not converged.

    Without ``deadline_s``, one that has not converged has ended at its deadline.
    """
    nothing = np.zeros_like(stall_s)  # The stall time holds that of the downtime.
    missed = np.where(converged, 0.0, missed_share(np.maximum(total_time_s, 1e-12), np.asarray(deadline_s)))
    time, stall, downtime, deadline = cost_terms(total_time_s, stall_s, nothing, missed, pass_time_s, preference)
    return time + stall + downtime + deadline


def cost_terms(
    time_s: Values,
    stall_s: Values,
    downtime_stall_s: Values,
    missed: float | Values,
    pass_time_s: Values,
    preference: float | Values,
) -> tuple[Values, Values, Values, Values]:
    """The terms of J up to now, in the order of ``TERMS``.

    Args:
        time_s: since the start.
        stall_s: the integral above over the windows that have ended, without the downtime.
        downtime_stall_s: ``downtime_stall``; 0 before the end.
        missed: ``missed_share`` where the migration has missed its deadline, 0 elsewhere.
        pass_time_s: T0.
        preference: c.
    """
    per_pass = 1.0 / pass_time_s
    time = time_s * per_pass
    stall = preference * stall_s * per_pass
    downtime = preference * downtime_stall_s * per_pass
    deadline = missed * (MISSED_DEADLINE_FACTOR - 1.0) * (time + stall + downtime)
    return time, stall, downtime, deadline


def missed_share(time_s: Values, deadline_s: Values) -> Values:
    """The factor of the deadline term for a migration that failed at this time.

    It is 1 at the deadline (or later, where the guest was paused) and more where it was cancelled before, so that
    nothing is gained by an early cancellation.
    """
    early = np.maximum(deadline_s / time_s - 1.0 - _SAME_TIME, 0.0)
    return 1.0 + MISSED_DEADLINE_FACTOR / (MISSED_DEADLINE_FACTOR - 1.0) * early


def downtime_stall(last_stage_s: Values, limit_s: Values) -> Values:
    """What a last stage adds to the integral above: s. The pause before it is in the windows already."""
    return MAX_STALL * np.maximum(last_stage_s - limit_s, 0.0)


def downtime(last_stage_s: Values, paused_s: Values) -> Values:
    """s: a guest that was paused right up to the last stage has been down since then."""
    return last_stage_s + paused_s


def pause_after(
    paused_s: float, interval_s: float, longest_run_s: float | np.floating, sleeps: bool, stopping_s: float
) -> float:
    """For how long no vCPU has been allowed to run, s, after another control interval: 0 where one was.

    Args:
        paused_s: what it was before.
        interval_s: length of the interval.
        longest_run_s: run time of the vCPU that ran most.
        sleeps: whether vCPUs sleep for the throttle, in time slices or for full rings: these wake by themselves, so
            that they are throttled, not paused, even where they sleep for all of a short interval.
        stopping_s: for how long a vCPU may run before it stands: 0 in a model, a real one takes a moment.
    """
    return 0.0 if sleeps or longest_run_s > stopping_s else paused_s + interval_s
