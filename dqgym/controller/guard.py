"""The guard between any throttle and any backend: what a faulty policy may not do to a guest.

* A command that is not finite, out of range or misshapen, a policy that fails or decides too late, a migration that
  makes no progress or comes near its deadline: a fallback throttle takes that migration over, for good, and the reason
  is recorded.
* A vCPU never gets less than its floor, from the fallback neither.
* A workload slower than the link is not throttled while the policy is in charge.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dqgym.arrays import BoolArray, FloatArray
from dqgym.controller.guard_estimates import DemandEstimate, ProgressEstimate
from dqgym.telemetry.command import UNLIMITED, Command, as_arrays, free_command, out_of_range, shape_problem, where
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField
from dqgym.throttles.base import Throttle, survey_of

log = logging.getLogger(__name__)

Share = Annotated[float, Field(ge=0, le=1)]


class GuardOptions(BaseModel):
    """Thresholds of the guard.

    Attributes:
        slack: a workload whose demand is below this share of the measured bandwidth is not throttled. It then converges
            within 1.06 pass times by itself. Not larger: at one half it took 1 to 2 % from policies that were right.
        run_share_floor: least run share of a vCPU; 1 % is where QEMU's own throttle ends.
        dirty_limit_floor: least dirty-rate limit of all vCPUs together, in units of the measured bandwidth, shared
            equally. Small enough to cost no convergence, large enough for a guest's clock, console and watchdogs.
        patience_share: share of the deadline that may pass without progress (8 pass times of a deadline of 20).
        patience_rounds: rounds that must also pass without progress.
        least_shrink: a round shows progress when it starts with this share less to send than the best one before.
        latest_share: share of the deadline at which the fallback takes over whatever the progress. The rest (6 pass
            times of a deadline of 20) is enough for dirty quota, which takes about two pass times.
        decision_deadline_s: longest time that one decision may take; None for no limit (batch evaluation, where time
            does not pass for the guests).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slack: Share = 0.05
    run_share_floor: Share = 0.01
    dirty_limit_floor: Share = 0.002
    patience_share: Share = 0.4
    patience_rounds: Annotated[int, Field(ge=1)] = 3
    least_shrink: Share = 0.05
    latest_share: Share = 0.7
    decision_deadline_s: Annotated[float, Field(gt=0)] | None = None


class Reason(StrEnum):
    """Why the fallback took a migration over."""

    INVALID_COMMAND = "invalid command"
    POLICY_FAILED = "policy failed"
    LATE_DECISION = "late decision"
    NO_PROGRESS = "no progress"
    NEAR_DEADLINE = "near the deadline"


@dataclass(frozen=True)
class Takeover:
    """The fallback took over.

    Attributes:
        migration: index of the migration in the run.
        time_s: since the start of that migration.
        reason: the kind of reason.
        detail: what exactly was wrong.
    """

    migration: int
    time_s: float
    reason: Reason
    detail: str


class Guard:
    """A throttle that watches over another one and has a fallback ready.

    Args:
        throttle: the one to watch over; the guard takes its name and its control interval.
        fallback: takes migrations over. It sees all telemetry from the start, so that its state is ready.
        options: the thresholds.
        clock: seconds, for ``decision_deadline_s``.
    """

    def __init__(
        self,
        throttle: Throttle,
        fallback: Throttle,
        options: GuardOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = throttle.name
        self.control_interval: ControlInterval = throttle.control_interval
        self.survey = survey_of(throttle)
        self.options = options or GuardOptions()
        self.fallback = fallback
        self._throttle = throttle
        self._clock = clock
        self._takeovers: list[Takeover] = []

    @property
    def takeovers(self) -> tuple[Takeover, ...]:
        """Of the current run, in order."""
        return tuple(self._takeovers)

    @property
    def in_fallback(self) -> BoolArray:
        """[N] which migrations the fallback has taken over."""
        return self._in_fallback.copy()

    def reset(self, facts: Facts) -> None:
        """Start N new migrations; a policy that fails here is out of charge from the start."""
        n = facts.present.shape[0]
        self._facts = facts
        self._free = free_command(facts)
        self._takeovers = []
        self._in_fallback = np.zeros(n, dtype=bool)
        self._demand = DemandEstimate(facts)
        patience_s = self.options.patience_share * facts.deadline_s
        self._progress = ProgressEstimate(facts, patience_s, self.options.patience_rounds, self.options.least_shrink)
        self.fallback.reset(facts)
        try:
            self._throttle.reset(facts)
        except Exception as error:  # whatever is wrong with the policy, the migration goes on
            self._take_over(np.ones(n, dtype=bool), np.zeros(n), Reason.POLICY_FAILED, _described(error))

    def act(self, telemetry: Telemetry) -> Command:
        """The policy's command where it is in charge and sound, else the fallback's; floors hold for both."""
        fallback_command = self.fallback.act(telemetry)
        demand_bytes_per_s = self._demand.observe(telemetry)
        self._watch_progress(telemetry)
        command = self._policy_command(telemetry)
        if command is None:
            return self._floored(fallback_command, telemetry)
        slow = demand_bytes_per_s < self.options.slack * telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S)
        command = where(slow | telemetry.done, self._free, command)
        return self._floored(where(self._in_fallback, fallback_command, command), telemetry)

    def _watch_progress(self, telemetry: Telemetry) -> None:
        time_s, deadline_s = telemetry.per_vm(VmField.TIME_S), self._facts.deadline_s
        stuck = self._progress.observe(telemetry) & ~telemetry.done
        late = (time_s >= self.options.latest_share * deadline_s) & ~telemetry.done
        self._take_over(stuck, time_s, Reason.NO_PROGRESS, "rounds do not get shorter")
        self._take_over(late, time_s, Reason.NEAR_DEADLINE, f"{self.options.latest_share:.0%} of the deadline is gone")

    def _policy_command(self, telemetry: Telemetry) -> Command | None:
        """The policy's command, sound wherever the policy stays in charge; None where it is in charge of nothing."""
        if (self._in_fallback | telemetry.done).all():
            return None
        running, time_s = ~telemetry.done, telemetry.per_vm(VmField.TIME_S)
        started_s = self._clock()
        try:
            command = as_arrays(self._throttle.act(telemetry))
            problem = shape_problem(command, self._facts)
        except Exception as error:
            self._take_over(running, time_s, Reason.POLICY_FAILED, _described(error))
            return None
        took_s = self._clock() - started_s
        if self.options.decision_deadline_s is not None and took_s > self.options.decision_deadline_s:
            detail = f"{took_s:.3g} s instead of {self.options.decision_deadline_s:.3g} s"
            self._take_over(running, time_s, Reason.LATE_DECISION, detail)
        if problem is not None:
            self._take_over(running, time_s, Reason.INVALID_COMMAND, problem)
            return None
        self._take_over_out_of_range(command, running, telemetry)
        return command

    def _take_over_out_of_range(self, command: Command, running: BoolArray, telemetry: Telemetry) -> None:
        time_s = telemetry.per_vm(VmField.TIME_S)
        for wrong, detail in out_of_range(command, self._facts):
            self._take_over(wrong & running, time_s, Reason.INVALID_COMMAND, detail)

    def _take_over(self, mask: BoolArray, time_s: FloatArray, reason: Reason, detail: str) -> None:
        new = mask & ~self._in_fallback
        self._in_fallback |= new
        for i in np.flatnonzero(new):
            self._takeovers.append(Takeover(int(i), float(time_s[i]), reason, detail))
            log.info(
                "%s takes over migration %d after %.1f s: %s (%s)", self.fallback.name, i, time_s[i], reason, detail
            )

    def _floored(self, command: Command, telemetry: Telemetry) -> Command:
        measured = telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S)
        bandwidth = np.where(measured > 0, measured, self._facts.bandwidth_bytes_per_s)
        floor = (self.options.dirty_limit_floor * bandwidth / self._facts.vcpus).astype(np.float32)[:, None]
        present = self._facts.present
        return replace(
            command,
            dirty_limit_bytes_per_s=np.where(present, np.maximum(command.dirty_limit_bytes_per_s, floor), UNLIMITED),
            run_share_cap=np.where(
                present, np.maximum(command.run_share_cap, np.float32(self.options.run_share_floor)), np.float32(1)
            ),
        )


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
