"""The clocks of one vCPU: the time in which it could not run, and the workload's time with its batches.

Both belong to the vCPU's thread; other threads may read them. Times are those of the monotonic clock, in seconds.
"""

from __future__ import annotations

TICK_S = 0.01
"""A vCPU gets what is due this often."""


class HaltClock:
    """For how long the vCPU was halted (a throttle kept it out, or its ring was being emptied) and parked.

    Attributes:
        parked_s: in total.
    """

    def __init__(self) -> None:
        self.parked_s = 0.0
        self._halted_s = 0.0
        self._since_s: float | None = None

    def begin(self, now_s: float) -> None:
        """A halt begins."""
        self._since_s = now_s

    def end(self, now_s: float) -> None:
        """The halt that has begun ends."""
        since_s = self._since_s
        assert since_s is not None
        self._halted_s, self._since_s = self._halted_s + now_s - since_s, None

    def halted_s(self, now_s: float) -> float:
        """In all halts so far."""
        since_s = self._since_s
        return self._halted_s + (now_s - since_s if since_s is not None else 0.0)

    def run_clock_s(self, now_s: float) -> float:
        """A clock that stands still while the vCPU cannot run."""
        return now_s - self.halted_s(now_s) - self.parked_s


class WorkloadClock:
    """The workload's time, which stands still while the vCPU is parked, and when the next batch is due.

    Attributes:
        tick_s: from one batch to the next.
        next_tick_s: when the next batch is due.
    """

    def __init__(self) -> None:
        self.tick_s = TICK_S
        self.next_tick_s = 0.0
        self._began_s = 0.0
        self._accrued_s = 0.0
        self._accrued_halted_s = 0.0

    def begin(self, began_s: float) -> None:
        """The workload's time is 0 at ``began_s``."""
        self._began_s = began_s

    def begin_to_accrue(self, now_s: float) -> None:
        """Accesses fall due from now on."""
        self._accrued_s = self.next_tick_s = now_s

    @property
    def time_s(self) -> float:
        """The workload's time up to which accesses fell due."""
        return self._accrued_s - self._began_s

    def accrue(self, now_s: float, halted_s: float) -> tuple[float, float, float]:
        """Let accesses fall due up to now.

        Args:
            now_s: the time.
            halted_s: in all halts so far.

        Returns:
            The workload's time up to which they had fallen due before, and do now; how long the vCPU ran in between.
        """
        before_s, span_s = self.time_s, now_s - self._accrued_s
        run_s = max(span_s - (halted_s - self._accrued_halted_s), 0.0)
        self._accrued_s, self._accrued_halted_s = now_s, halted_s
        return before_s, self.time_s, run_s

    def ticks(self, now_s: float) -> bool:
        """True where a batch is due; the next one is then due a tick later."""
        if now_s < self.next_tick_s:
            return False
        self.next_tick_s = max(self.next_tick_s + self.tick_s, now_s)
        return True

    def stand_still(self, duration_s: float) -> None:
        """Leave out a time that has just gone by."""
        self._began_s += duration_s
        self._accrued_s += duration_s
        self.next_tick_s += duration_s
