"""The clock of the core that this runs on, measured: a program cannot read it everywhere, and it changes under load."""

from __future__ import annotations

import time

import numpy as np

from dqgym.jit.compile import COMPILES, kernel

_u = np.uint64
CYCLES_PER_ROUND = 6
"""Three shifts and three exclusive ors, each of which waits for the one before: one cycle each on x86 and ARM cores."""
ROUNDS = 2_000_000


@kernel
def _chain(state, rounds):  # type: ignore[no-untyped-def]
    """Marsaglia's xorshift64, a chain of operations that no compiler shortens."""
    for _ in range(rounds):
        state ^= state << _u(13)
        state ^= state >> _u(7)
        state ^= state << _u(17)
    return state


def clock_hz() -> float | None:
    """Cycles per second of CPU time; None where kernels are not compiled. Takes some milliseconds."""
    if not COMPILES:
        return None
    _chain(_u(1), 1)
    start_s = time.process_time()
    _chain(_u(1), ROUNDS)
    return CYCLES_PER_ROUND * ROUNDS / (time.process_time() - start_s)
