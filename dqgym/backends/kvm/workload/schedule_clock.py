"""The rate of a vCPU over time: what its schedule makes of it, summed up exactly."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from dqgym.scenario import Bursty, Phased, Recorded, Schedule

_FOREVER_S = 1e12
"""The period of a schedule that never repeats; JSON knows no infinity."""
_PERIOD_MULTIPLES = (1e-6, 1e3)
"""A bursty period is this many times its mean at least (one of no length would never end), and at most."""


class ScheduleClock:
    """The factor that a schedule makes of the rate, summed over time; keeps track of the period that it is in.

    A schedule is a table of factors that repeats after its period. One of random periods draws the length of each but
    the first anew, and its table stretches with it. Before the migration the factor is the one at its start.

    Attributes:
        mean_period_s: the length of a period of the table.
        period_bounds_s: least and greatest length that a period can have.
        period_began_s: when the present period began.
        period_s: its length.
        random: of the lengths.
    """

    def __init__(self, schedule: Schedule, random: np.random.Generator) -> None:
        table = _table_of(schedule)
        self.mean_period_s = table.period_s
        self._exponential = isinstance(schedule, Bursty)
        jitter = schedule.jitter if isinstance(schedule, Phased) else 0.0
        least, most = _PERIOD_MULTIPLES if self._exponential else (1.0 - jitter, 1.0 + jitter)
        self.period_bounds_s = (least * table.period_s, most * table.period_s)
        self.period_began_s = 0.0 - table.offset * table.period_s
        self.period_s = table.period_s
        self.random = random
        self._factor_at_start = table.factor(0.0 - self.period_began_s)
        self._integral = table.integral

    def integral(self, begin_s: float, end_s: float) -> float:
        """Seconds at full rate that are worth the time between the two instants. Time must not go back."""
        total_s = self._factor_at_start * (min(end_s, 0.0) - min(begin_s, 0.0))
        begin_s, end_s = max(begin_s, 0.0), max(end_s, 0.0)
        while end_s >= self.period_began_s + self.period_s:
            turn_s = self.period_began_s + self.period_s
            total_s += self._within_period(min(begin_s, turn_s), turn_s)
            begin_s = max(begin_s, turn_s)
            self._next_period()
        return total_s + self._within_period(begin_s, end_s)

    def _next_period(self) -> None:
        self.period_began_s += self.period_s
        least_s, most_s = self.period_bounds_s
        if self._exponential:
            self.period_s = min(max(self.random.exponential(self.mean_period_s), least_s), most_s)
        elif least_s < most_s:
            self.period_s = self.random.uniform(least_s, most_s)

    def _within_period(self, begin_s: float, end_s: float) -> float:
        """The integral between two instants of the present period."""
        stretch = self.period_s / self.mean_period_s
        begin_s, end_s = (begin_s - self.period_began_s) / stretch, (end_s - self.period_began_s) / stretch
        return stretch * max(self._integral(end_s) - self._integral(begin_s), 0.0)  # rounding must not take back


class _Table:
    """Factors over the time since a period began, each from its time to the next one's."""

    def __init__(
        self, times_s: Sequence[float], factors: Sequence[float], period_s: float = _FOREVER_S, offset: float = 0.0
    ) -> None:
        self.period_s = period_s
        self.offset = offset
        self._times_s = list(times_s)
        self._factors = list(factors)
        held_s = np.diff(self._times_s)
        self._integrals_s = [0.0, *np.cumsum(held_s * self._factors[:-1]).tolist()]

    def factor(self, time_s: float) -> float:
        return self._factors[self._entry(time_s)]

    def integral(self, time_s: float) -> float:
        """The sum of the factors up to this time."""
        entry = self._entry(time_s)
        return self._integrals_s[entry] + self._factors[entry] * (time_s - self._times_s[entry])

    def _entry(self, time_s: float) -> int:
        return max(bisect_right(self._times_s, time_s) - 1, 0)


def _table_of(schedule: Schedule) -> _Table:
    if isinstance(schedule, Recorded):
        return _Table(schedule.times_s, schedule.rate_factors, schedule.period_s or _FOREVER_S)
    if isinstance(schedule, Phased | Bursty):
        times_s = (0.0, schedule.duty * schedule.period_s)
        return _Table(times_s, (1.0, schedule.low_rate_fraction), schedule.period_s, schedule.offset)
    return _Table((0.0,), (1.0,))
