"""The emulated link: a bandwidth over time, and a token bucket that keeps the sender to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEPTH_S = 0.1
"""The time that a sender that was late may make up: one of QEMU's rate windows."""


@dataclass(frozen=True)
class BandwidthPath:
    """A bandwidth that is constant between steps.

    Attributes:
        times_s: [K] rising, from 0.
        bandwidths_bytes_per_s: [K] each from its time on.
        line_speed_bytes_per_s: of the last stage; None: the bandwidth of that moment.
    """

    times_s: NDArray[np.float64]
    bandwidths_bytes_per_s: NDArray[np.float64]
    line_speed_bytes_per_s: float | None = None

    def at(self, time_s: float) -> float:
        """The bandwidth at a time since the migration began."""
        step = int(np.searchsorted(self.times_s, time_s, side="right")) - 1
        return float(self.bandwidths_bytes_per_s[max(step, 0)])

    def line_speed_at(self, time_s: float) -> float:
        """The rate at which the last stage may send."""
        return self.line_speed_bytes_per_s or self.at(time_s)


class TokenBucket:
    """Tells a sender how long to wait before it may send again.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paid_until_s = clock()

    def spend(self, size_bytes: int, rate_bytes_per_s: float) -> None:
        """So much was sent; it takes its time at this rate, of which at most ``DEPTH_S`` may lie in the past."""
        began_s = max(self._paid_until_s, self._clock() - DEPTH_S)
        self._paid_until_s = began_s + size_bytes / rate_bytes_per_s

    def empty(self) -> None:
        """There was nothing to send: a line that was idle does not make up for it."""
        self._paid_until_s = max(self._paid_until_s, self._clock())

    def wait_s(self) -> float:
        """The time until the next bytes may go."""
        return max(self._paid_until_s - self._clock(), 0.0)
