"""The one number that ranks every throttle.

J = T/T0 + c/T0 * integral over the migration of mean_i min(5.3, -ln max(r_i, 0.005)) dt

with T the total time, T0 = memory / bandwidth, r_i the run share of vCPU i in each window (100 ms, or the control
interval where that is longer) and c the operator's preference: what guest runtime is worth against time. The stall
term is convex per vCPU and window, because a cost linear in stalled time makes stopping the guest the optimum.
Downtime beyond its limit counts as stalled time of all vCPUs. A migration that misses its deadline costs as if it had
gone on like that for twice the deadline.
"""

from __future__ import annotations

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


def migration_cost(
    total_time_s: FloatArray,
    stall_s: FloatArray,
    pass_time_s: FloatArray,
    converged: BoolArray,
    preference: float | FloatArray,
) -> FloatArray:
    """[N] J of N migrations; ``stall_s`` is the integral above, ``total_time_s`` the deadline where not converged."""
    cost = (total_time_s + preference * stall_s) / pass_time_s
    return cost * (1.0 + (MISSED_DEADLINE_FACTOR - 1.0) * ~converged)
