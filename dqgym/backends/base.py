"""The interface that all backends have: one for the model and for real virtual machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import BoolArray, FloatArray
from dqgym.cost import migration_cost
from dqgym.scenario import Scenario
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry


@dataclass(frozen=True)
class Capabilities:
    """The parts of a command that a backend carries out, and the migrations that it runs side by side."""

    dirty_limit: bool
    run_share_cap: bool
    ring_sleep: bool
    max_migrations: int | None
    """None: as many as memory holds."""
    survey: bool = False
    """It can log writes before a migration."""
    sync: bool = False
    """It makes an extra dirty-log sync where a command asks for one."""
    unmeasured: tuple[str, ...] = ()
    """Telemetry fields that the backend cannot measure (they read NaN)."""


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of N migrations.

    Attributes:
        converged: [N] completed before the deadline, or by force: see ``forced``.
        total_time_s: [N] from start to the guest running at the destination (where not converged, until it was
            cancelled: at the deadline, unless the scenario says otherwise).
        downtime_s: [N] the pause at the end: no vCPU runs (NaN where not converged). Where forced, since the guest was
            paused.
        guest_runtime_per_vcpu: [N, V] share of the total time in which the vCPU could run (NaN in absent slots).
        guest_runtime: [N] its mean over the vCPUs.
        bytes_sent: [N].
        rounds: [N] number of rounds.
        max_throttle_percent: [N] 100 * (1 - smallest run-share cap commanded), QEMU's cpu-throttle-percentage.
        stall_s: [N] the integral over the migration of mean_i min(5.3, -ln max(r_i, 0.005)) dt, of ``dqgym.cost``.
        pass_time_s: [N] T0 = memory / bandwidth.
        deadline_s: [N].
        forced: [N] converged only because the guest was paused, at the deadline or after the last round.
    """

    converged: BoolArray
    total_time_s: FloatArray
    downtime_s: FloatArray
    guest_runtime_per_vcpu: FloatArray
    guest_runtime: FloatArray
    bytes_sent: FloatArray
    rounds: NDArray[np.int64]
    max_throttle_percent: FloatArray
    stall_s: FloatArray
    pass_time_s: FloatArray
    deadline_s: FloatArray
    forced: BoolArray

    @classmethod
    def concatenated(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Those of all migrations of the parts, in order, with as many vCPU slots as the widest part has."""
        slots = max(part.guest_runtime_per_vcpu.shape[1] for part in parts)
        widened = [part._widened(slots) for part in parts]
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in widened]) for field in fields(cls)}
        )

    def _widened(self, slots: int) -> Outcomes:
        """The same with absent vCPUs in the slots that are new."""
        missing = slots - self.guest_runtime_per_vcpu.shape[1]
        padded = np.pad(self.guest_runtime_per_vcpu, ((0, 0), (0, missing)), constant_values=np.nan)
        return replace(self, guest_runtime_per_vcpu=padded)

    @property
    def time_over_t0(self) -> FloatArray:
        """[N] total time in units of the pass time."""
        return self.total_time_s / self.pass_time_s

    def cost(self, preference: float | FloatArray) -> FloatArray:
        """[N] J (``dqgym.cost``); ``preference`` is one for all or [N]."""
        return migration_cost(
            self.total_time_s, self.stall_s, self.pass_time_s, self.converged, preference, self.deadline_s
        )

    @property
    def worst_vcpu_runtime(self) -> FloatArray:
        """[N] guest runtime of the vCPU that ran least."""
        return np.nanmin(self.guest_runtime_per_vcpu, axis=1)


class Backend(Protocol):
    """Runs N migrations in step: ``start``, then ``step`` until all are done, then ``outcomes``; ``close`` always."""

    name: str
    capabilities: Capabilities
    facts: Facts
    """Of the running migrations; valid after ``start``."""

    def start(
        self, scenarios: Sequence[Scenario], seeds: Sequence[int], survey: ControlInterval | None = None
    ) -> Telemetry:
        """Start one migration for each scenario; the seed of each decides all that is random in it.

        With a survey, of which the argument says the length, the guests run free for so long under dirty logging before
        anything is sent; ``facts.survey`` then has what it found. The clock of the migration runs from its beginning.
        Not to be asked of a backend that has no surveys (``Capabilities.survey``).
        """
        ...

    def step(self, command: Command, interval_s: FloatArray) -> Telemetry:
        """Carry out a command for ``interval_s`` [N] seconds, or to the migration's end; the ended stay as they are."""
        ...

    def outcomes(self) -> Outcomes:
        """The outcomes so far; meaningful once ``done``."""
        ...

    def close(self) -> None:
        """Release what the backend holds; safe to call twice."""
        ...
