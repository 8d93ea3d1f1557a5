"""The sums over control intervals that outcomes need: run times, the cost of stalls, the hardest cap.

For backends that play one interval after another in Python; the model keeps the same in its kernel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import BoolArray, FloatArray
from dqgym.backends.base import Outcomes
from dqgym.cost.definition import downtime, downtime_stall
from dqgym.cost.meter import StallMeter
from dqgym.telemetry.command import Command
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField, downtime_limit_now


class OutcomeRecorder:
    """Of N migrations of V vCPU slots.

    Args:
        facts: of the migrations.
        stopping_share: of a control interval, for which a stopped vCPU may still run in it
            (``dqgym.cost.meter.StallMeter``).
    """

    def __init__(self, facts: Facts, stopping_share: float = 0.0) -> None:
        n, slots = facts.present.shape
        self._facts = facts
        self._run_s = np.zeros((n, slots))
        self._least_cap = np.ones(n)
        self._stall = [StallMeter(present, stopping_share) for present in facts.present]

    def add(
        self,
        n: int,
        run_s: NDArray[np.floating],
        interval_s: float,
        command: Command,
        done: bool,
        paused: bool = False,
    ) -> None:
        """Book an interval of migration ``n``: run times [V], length, what was commanded, whether it ended.

        ``paused``: the guest stands, whatever was commanded.
        """
        present = self._facts.present[n]
        caps = np.clip(command.run_share_cap[n][present], 0.0, 1.0)
        sleeps = ((caps > 0.0) & (caps < 1.0)).any() or (command.ring_sleep_s[n][present] > 0.0).any()
        self._least_cap[n] = min(self._least_cap[n], caps.min())
        self._run_s[n] += run_s
        self._stall[n].add(run_s, interval_s, done, bool(sleeps) and not paused)

    def add_survey(self, n: int, run_s: NDArray[np.floating]) -> None:
        """Book the survey before migration ``n``: run times [V]. Nobody was throttled, so there is no stall in it."""
        self._run_s[n] += run_s

    def outcomes(self, last: Telemetry, converged: BoolArray, last_stage_s: FloatArray) -> Outcomes:
        """The outcomes of migrations that have ended.

        Args:
            last: the last telemetry.
            converged: [N].
            last_stage_s: [N] for how long the guest was down in the last stage, without a pause before it.
        """
        facts, total_time_s = self._facts, last.vm[:, VmField.TIME_S].copy()
        per_vcpu = np.where(
            facts.present, np.minimum(self._run_s / np.maximum(total_time_s, 1e-12)[:, None], 1.0), np.nan
        )
        paused_s = np.array([meter.paused_s for meter in self._stall])
        stall_s = np.array([meter.stall_s for meter in self._stall])
        beyond_s = np.where(converged, downtime_stall(last_stage_s, downtime_limit_now(facts, last.vm)), 0.0)
        return Outcomes(
            converged=converged,
            total_time_s=total_time_s,
            downtime_s=np.where(converged, downtime(last_stage_s, paused_s), np.nan),
            guest_runtime_per_vcpu=per_vcpu,
            guest_runtime=np.nanmean(per_vcpu, axis=1),
            bytes_sent=last.vm[:, VmField.SENT_BYTES].copy(),
            rounds=last.vm[:, VmField.ROUND].astype(np.int64),
            max_throttle_percent=100.0 * (1.0 - self._least_cap),
            stall_s=stall_s + beyond_s,
            pass_time_s=facts.pass_time_s,
            deadline_s=facts.deadline_s.copy(),
            forced=converged & (last.vm[:, VmField.PAUSED] > 0),
        )
