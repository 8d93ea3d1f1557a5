"""The definition (``dqgym.cost.definition``) for kernels, and the stall of one window."""

from __future__ import annotations

import numpy as np

from dqgym.cost import definition
from dqgym.jit.array_views import row
from dqgym.jit.compile import kernel, part
from dqgym.jit.fast_math import log

_f = np.float32
_MAX_STALL = _f(definition.MAX_STALL)
_LEAST_RUN_SHARE = _f(definition.LEAST_RUN_SHARE)
FULL_WINDOW_S = definition.WINDOW_S - 1e-9
"""A window ends at this length: sums of control intervals fall short of the exact one by rounding."""

cost_terms = part(definition.cost_terms)
downtime_stall = part(definition.downtime_stall)
downtime = part(definition.downtime)
pause_after = part(definition.pause_after)
missed_share = part(definition.missed_share)


@part
def window_stall(present, run_s, window_s, vcpus):  # type: ignore[no-untyped-def]
    """mean_i min(5.3, -ln max(r_i, 0.005)) * window_s for run times float32 [V]; ``present`` is 0 in absent slots."""
    per_s = _f(1.0 / window_s)
    total = _f(0.0)
    for i in range(present.shape[0]):
        share = max(run_s[i] * per_s, _LEAST_RUN_SHARE)
        total += present[i] * min(max(-log(share), _f(0.0)), _MAX_STALL)
    return total / vcpus * window_s


@kernel
def stall_of_window(tile, slots, window_s, vcpus):  # type: ignore[no-untyped-def]
    """``window_stall`` for Python: ``tile`` float32 [2, V] holds what is present and the run times.

    Compiled for a number of slots, as in the model, so that both add up in the same order.
    """
    return window_stall(row(tile, 0, slots), row(tile, 1, slots), window_s, vcpus)
