"""The definition (``dqgym.cost.definition``) for kernels, and the stall of one window."""

from __future__ import annotations

import numpy as np

from dqgym.cost import definition
from dqgym.jit.compile import exact_part, kernel, part
from dqgym.jit.fast_math import log
from dqgym.jit.lane_rows import LANES, load, pack_of, put, totals
from dqgym.jit.lanes import larger, smaller

_f = np.float32
_LARGEST_STALL = _f(definition.MAX_STALL)
_LEAST_RUN_SHARE = _f(definition.LEAST_RUN_SHARE)
FULL_WINDOW_S = definition.WINDOW_S - 1e-9
"""A window ends at this length: sums of control intervals fall short of the exact one by rounding."""

cost_terms = part(definition.cost_terms)
lane_cost_terms = exact_part(definition.cost_terms)
downtime_stall = part(definition.downtime_stall)
downtime = part(definition.downtime)
pause_after = part(definition.pause_after)
missed_share = part(definition.missed_share)


@exact_part
def stall_in_window(present, run_s, per_window):  # type: ignore[no-untyped-def]
    """Lanes of min(5.3, -ln max(r, 0.005)) for run times in a window of 1 / ``per_window`` s; 0 in absent slots."""
    share = larger(run_s * per_window, _LEAST_RUN_SHARE)
    return present * smaller(larger(-log(share), _f(0.0)), _LARGEST_STALL)


@kernel
def stall_of_window(tiles, slots, window_s, vcpus):  # type: ignore[no-untyped-def]
    """s: the mean of that over the vCPUs of one migration, times the window.

    ``tiles`` float32 [1, 2, V] holds what is present and the run times. It adds up in the same order as the model.
    """
    sums = np.zeros((1, 1, LANES), dtype=np.float32)
    _sum_stall(tiles, sums, np.zeros(1, dtype=np.int64), slots, _f(1.0) / _f(window_s))
    return np.float64(sums[0, 0, 0]) / vcpus * window_s


@exact_part
def _sum_stall(tiles, sums, members, slots, per_window):  # type: ignore[no-untyped-def]
    pack = pack_of(members, 0, 1, slots)
    stall = stall_in_window(load(tiles, pack, 0, slots), load(tiles, pack, 1, slots), per_window)
    put(sums, 0, pack, totals(stall, slots), slots)
