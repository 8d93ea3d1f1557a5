"""The survey: what dirty logging tells of each vCPU before a migration begins.

In a migration, a vCPU that has dirtied all of its working set and one that is quiet look alike: neither makes pages
dirty. And in the first round no page counts before it is sent. A survey logs writes for a moment while nothing is sent
and nobody is throttled: the slope of each vCPU's count of distinct pages is its write rate, the level at which the
count bends is its working set (QEMU's ``calc-dirty-rate`` measures the first of them the same way).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARKS = (0.125, 0.25, 0.5, 1.0)
"""When the counts are read, as shares of the survey."""


@dataclass(frozen=True)
class Survey:
    """The surveys of N migrations.

    Attributes:
        duration_s: [N] how long each took; 0 where none was made.
        dirtied_bytes: float32 [N, len(MARKS), V] distinct bytes that each vCPU had dirtied at each mark.
    """

    duration_s: NDArray[np.float64]
    dirtied_bytes: NDArray[np.float32]
