"""vCPUs that write through their working sets in order, in a loop: which pages in front of them are clean."""

from __future__ import annotations

import numpy as np

from dqgym.jit.compile import exact_part
from dqgym.jit.lanes import larger, smaller

_f = np.float32
_LOOP_DENSITY = 1.5
"""Pages in front of a looping writer over the mean: between 1, right after a stall, and 2, in a steady loop."""


@exact_part
def solid_ahead(ahead, passed, working_set):  # type: ignore[no-untyped-def]
    """Bytes in front of the writer that are all clean; ``ahead`` is how many are clean in the loop."""
    return larger(_f(2.0) * ahead - working_set - passed, _f(0.0))


@exact_part
def clean_up_to(distance, solid, density, per_ramp):  # type: ignore[no-untyped-def]
    """Clean bytes that lie up to ``distance`` in front of a sequential writer, at most the working set.

    All pages are clean up to ``solid``, the distance that the writer did not reach in the last round; beyond it the
    clean share falls in a line from ``density`` to 0, where all are met.
    """
    into = larger(distance - solid, 0.0)
    return smaller(distance, solid) + density * into * (1.0 - 0.5 * into * per_ramp)


@exact_part
def sequential_writes(stores, passed, met, sent, clean, inflow, working_set, per_byte):  # type: ignore[no-untyped-def]
    """Bytes dirtied by stores in order, ``passed`` bytes after the beginning of the round.

    In the first loop: the ``met`` pages of ``clean_up_to``, and between them this round's set, a share ``sent`` of it.
    Later: what was sent since the last visit, the ``inflow``, or, where a stall let more pile up, the clean pages in
    the loop, which lie up to twice as dense ahead of the writer as behind it.
    """
    first_loop = smaller(passed + stores, working_set) - smaller(passed, working_set)
    again = stores - first_loop
    piled_up = again * _LOOP_DENSITY * clean * per_byte
    later = smaller(again * sent, larger(inflow, piled_up))
    return smaller(met + (first_loop - met) * sent + later, clean + inflow)
