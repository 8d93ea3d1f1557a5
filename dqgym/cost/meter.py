"""The cost of one migration as it goes on, from what can be measured: on any backend what the model's kernel keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import BoolArray
from dqgym.cost.definition import TERMS, cost_terms, downtime_stall, missed_share, pause_after
from dqgym.cost.window import FULL_WINDOW_S, stall_of_window

_PRESENT, _RUN_S = 0, 1


class StallMeter:
    """Stall and pause of one migration with V vCPU slots.

    Args:
        present: [V] which slots hold a vCPU.
        stopping_share: of a control interval, for which a vCPU may run in it and still count as stopped
            (``dqgym.cost.definition.pause_after``).

    Attributes:
        stall_s: the integral of ``dqgym.cost.definition`` over the windows that have ended, s.
        paused_s: for how long no vCPU has been allowed to run, up to now, s.
    """

    def __init__(self, present: BoolArray, stopping_share: float = 0.0) -> None:
        self.stall_s = 0.0
        self.paused_s = 0.0
        self._stopping_share = stopping_share
        self._vcpus = np.float64(present.sum())
        self._window_s = np.float64(0.0)
        self._tiles = np.zeros((1, 2, 1 << (len(present) - 1).bit_length()), dtype=np.float32)  # slots as in the model
        self._tiles[0, _PRESENT, : len(present)] = present

    def add(self, run_s: NDArray[np.floating], interval_s: float, ended: bool, sleeps: bool = False) -> None:
        """Book a control interval.

        Args:
            run_s: [V] run times.
            interval_s: length, up to the last stage where the migration ended in it.
            ended: whether it did.
            sleeps: whether the throttle let vCPUs sleep (``dqgym.cost.definition.pause_after``).
        """
        stopping_s = self._stopping_share * interval_s
        self.paused_s = pause_after(self.paused_s, interval_s, float(run_s.max()), sleeps, stopping_s)
        self._tiles[0, _RUN_S, : len(run_s)] += run_s
        self._window_s += interval_s
        if self._window_s >= FULL_WINDOW_S or (ended and self._window_s > 0.0):
            slots = (0,) * self._tiles.shape[2]
            self.stall_s += float(stall_of_window(self._tiles, slots, self._window_s, self._vcpus))
            self._tiles[0, _RUN_S] = 0.0
            self._window_s = np.float64(0.0)


class CostMeter:
    """The terms of J of one migration.

    Args:
        present: [V] which vCPU slots hold a vCPU.
        pass_time_s: T0.
        downtime_limit_s: what the last stage may take for nothing, unless ``add`` knows better.
        preference: what guest runtime is worth against time.
        survey_s: length of the survey before the migration: it is on the migration's clock, and the guest runs.
        deadline_s: a migration that fails before it costs as much as one that fails then; 0: none fails before.

    Attributes:
        terms: by name (``TERMS``), up to now.
    """

    def __init__(
        self,
        present: BoolArray,
        pass_time_s: float,
        downtime_limit_s: float,
        preference: float,
        survey_s: float = 0.0,
        deadline_s: float = 0.0,
    ) -> None:
        self.terms = dict.fromkeys(TERMS, 0.0)
        self._pass_time_s = pass_time_s
        self._downtime_limit_s = downtime_limit_s
        self._deadline_s = deadline_s
        self._preference = preference
        self._running_s = survey_s
        self._stall = StallMeter(present)

    def add(
        self,
        run_s: NDArray[np.floating],
        interval_s: float,
        time_s: float,
        converged: bool | None = None,
        downtime_limit_s: float | None = None,
    ) -> None:
        """Book a control interval.

        Args:
            run_s: [V] run times.
            interval_s: length, up to the last stage where the migration ended in it.
            time_s: since the start, with the last stage.
            converged: whether the migration met its deadline, or was made to; None: it goes on.
            downtime_limit_s: the one in force now, where it grows.
        """
        self._running_s += interval_s
        self._stall.add(run_s, interval_s, converged is not None)
        limit_s = self._downtime_limit_s if downtime_limit_s is None else downtime_limit_s
        beyond_s = downtime_stall(time_s - self._running_s, limit_s) if converged else 0.0
        missed = missed_share(time_s, self._deadline_s) if converged is False else 0.0
        terms = cost_terms(time_s, self._stall.stall_s, beyond_s, missed, self._pass_time_s, self._preference)
        self.terms = dict(zip(TERMS, map(float, terms), strict=True))
