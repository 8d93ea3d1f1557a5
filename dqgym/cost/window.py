"""The stall cost of one window (``dqgym.cost.definition``), as the kernels and the single environment compute it."""

from __future__ import annotations

import numpy as np

from dqgym.cost import definition
from dqgym.jit.compile import part
from dqgym.jit.fast_math import log

_f = np.float32
_MAX_STALL = _f(definition.MAX_STALL)
_LEAST_RUN_SHARE = _f(definition.LEAST_RUN_SHARE)
FULL_WINDOW_S = definition.WINDOW_S - 1e-9
"""A window ends at this length: sums of control intervals fall short of the exact one by rounding."""


@part
def window_stall(present, run_s, window_s, vcpus):  # type: ignore[no-untyped-def]
    """mean_i min(5.3, -ln max(r_i, 0.005)) * window_s for run times float32 [V]; ``present`` is 0 in absent slots."""
    per_s = _f(1.0 / window_s)
    total = _f(0.0)
    for i in range(present.shape[0]):
        share = max(run_s[i] * per_s, _LEAST_RUN_SHARE)
        total += present[i] * min(max(-log(share), _f(0.0)), _MAX_STALL)
    return total / vcpus * window_s
