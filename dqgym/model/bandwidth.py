"""The bandwidth of a migration's link from its start on, as a table: for backends that send real bytes."""

from __future__ import annotations

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.jit.compile import kernel
from dqgym.jit.random import streams
from dqgym.model.kernel.links import change_bandwidth, start_link
from dqgym.model.layout import Vm
from dqgym.model.pool import ScenarioPool


def bandwidth_path(pool: ScenarioPool, index: int, seed: int, end_s: float) -> tuple[FloatArray, FloatArray]:
    """Times [K], from 0, and the bandwidth from each of them on [K], up to ``end_s``.

    It is the path that the model takes with this seed, unless another random process of the scenario (a schedule with
    random periods) draws from the same stream between its steps.
    """
    capacity = 256
    while True:
        state = np.zeros(len(Vm))
        state[: pool.vm.shape[1]] = pool.vm[index]
        times_s, bandwidths = np.zeros(capacity), np.zeros(capacity)
        count = _follow(state, streams([seed]), pool.table_times, pool.table_values, end_s, times_s, bandwidths)
        if count <= capacity:
            return times_s[:count], bandwidths[:count]
        capacity = 2 * count


@kernel
def _follow(state, random_states, table_times, table_values, end_s, times_s, bandwidths):  # type: ignore[no-untyped-def]
    """Fill the arrays as far as they go; returns the number of steps that there are."""
    start_link(state, random_states, 0, table_times, table_values)
    count, time_s = 0, 0.0
    while True:
        if count < len(times_s):
            times_s[count], bandwidths[count] = time_s, state[Vm.BANDWIDTH]
        count += 1
        time_s = state[Vm.LINK_NEXT_S]
        if time_s > end_s:
            return count
        change_bandwidth(state, random_states, 0, table_times, table_values)
