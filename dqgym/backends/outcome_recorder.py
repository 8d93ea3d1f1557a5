"""What outcomes need of all control intervals: run times, the cost of stalls, the hardest cap.

For backends that play one interval after another in Python; the model keeps the same in its kernel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import BoolArray, FloatArray
from dqgym.backends.base import Outcomes
from dqgym.cost import definition
from dqgym.cost.window import FULL_WINDOW_S
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField


class Tallies:
    """Of N migrations of V vCPU slots."""

    def __init__(self, facts: Facts) -> None:
        n, slots = facts.present.shape
        self._facts = facts
        self._run_s = np.zeros((n, slots))
        self._least_cap = np.ones(n)
        self._stall_s = np.zeros(n)
        self._paused_s = np.zeros(n)
        """Time, up to now, in which no vCPU has run (to speak of: a real one takes a moment to stop)."""
        self._window_s = np.zeros(n)
        self._window_run_s = np.zeros((n, slots))

    def add(
        self, n: int, run_s: NDArray[np.floating], interval_s: float, cap: NDArray[np.floating], done: bool
    ) -> None:
        """Book an interval of migration ``n``: run times [V], length, caps [V] commanded for it, whether it ended."""
        present = self._facts.present[n]
        self._least_cap[n] = min(self._least_cap[n], cap[present].min())
        self._run_s[n] += run_s
        ran = (run_s > definition.LEAST_RUN_SHARE * interval_s).any()
        self._paused_s[n] = 0.0 if ran else self._paused_s[n] + interval_s
        self._window_s[n] += interval_s
        self._window_run_s[n] += run_s
        window_s = self._window_s[n]
        if window_s >= FULL_WINDOW_S or (done and window_s > 0.0):
            share = np.clip(self._window_run_s[n][present] / window_s, definition.LEAST_RUN_SHARE, 1.0)
            self._stall_s[n] += np.minimum(-np.log(share), definition.MAX_STALL).mean() * window_s
            self._window_s[n] = 0.0
            self._window_run_s[n] = 0.0

    def add_survey(self, n: int, run_s: NDArray[np.floating]) -> None:
        """Book the survey before migration ``n``: run times [V]. Nobody was throttled, so there is no stall in it."""
        self._run_s[n] += run_s

    def outcomes(self, last: Telemetry, converged: BoolArray, downtime_s: FloatArray) -> Outcomes:
        """The outcomes of migrations that have ended.

        Args:
            last: the last telemetry.
            converged: [N].
            downtime_s: [N] of the last stage; a guest that was stopped before it has been down since then.
        """
        facts, total_time_s = self._facts, last.vm[:, VmField.TIME_S].copy()
        per_vcpu = np.where(
            facts.present, np.minimum(self._run_s / np.maximum(total_time_s, 1e-12)[:, None], 1.0), np.nan
        )
        beyond_s = np.where(converged, np.maximum(downtime_s - facts.downtime_limit_s, 0.0), 0.0)
        return Outcomes(
            converged=converged,
            total_time_s=total_time_s,
            downtime_s=np.where(converged, downtime_s + self._paused_s, np.nan),
            guest_runtime_per_vcpu=per_vcpu,
            guest_runtime=np.nanmean(per_vcpu, axis=1),
            bytes_sent=last.vm[:, VmField.SENT_BYTES].copy(),
            rounds=last.vm[:, VmField.ROUND].astype(np.int64),
            max_throttle_percent=100.0 * (1.0 - self._least_cap),
            stall_s=self._stall_s + definition.MAX_STALL * beyond_s,
            pass_time_s=facts.pass_time_s,
        )
