"""The model against recorded QEMU migrations, each under the throttle and with the parameters that it had."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dqgym.backends.reference import ReferenceBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario.recordings.qemu_runs import RecordedRun
from dqgym.scenario.recordings.qemu_scenario import recorded_scenario
from dqgym.telemetry.interval import ControlInterval
from dqgym.throttles.base import Throttle
from dqgym.throttles.registry import make_throttle
from dqgym.units import MIB
from experiments.calibration.settings import Settings

QUIET = "quiet"
"""The host of the runs that the summary counts; the others were measured on a machine that was busy."""
SUMMARISED_MODES = ("none", "auto-converge")


@dataclass(frozen=True)
class RunPair:
    """One recorded migration and the model's.

    The model is the page-exact reference: how long these migrations take depends on where in its working set the writer
    was when they began (by 15 % in some), which the recordings tell and the fluid model, which has no positions, does
    not know.

    Attributes:
        run: the recording.
        model_converged: before the time at which the run was, or would have been, cancelled.
        model_s: migration time; the limit where it did not converge.
        fluid_s: the same in the fluid model.
        throttle_model: highest percentage of auto-converge.
        runtime_model: share of the time in which each vCPU ran.
    """

    run: RecordedRun
    model_converged: bool
    model_s: float
    fluid_s: float
    throttle_model: float
    runtime_model: tuple[float, ...]

    @property
    def error(self) -> float:
        """Model / measured - 1 of the time; NaN where one of them did not converge."""
        return self._error(self.model_s)

    @property
    def fluid_error(self) -> float:
        """The same for the fluid model's time."""
        return self._error(self.fluid_s)

    def _error(self, time_s: float) -> float:
        return time_s / self.run.total_time_s - 1 if self.run.converged and self.model_converged else math.nan

    @property
    def runtime_error(self) -> float:
        """Model - measured of the vCPU for which they differ most."""
        errors = np.subtract(self.runtime_model, self.run.guest_runtime)
        return float(errors[np.abs(errors).argmax()])


@dataclass(frozen=True)
class QemuSummary:
    """\\|model / measured - 1\\| over runs on a quiet host that converge in both; NaN where there are none."""

    median_error: float
    max_error: float
    runs: int
    wrong_verdicts: tuple[str, ...]


ACTS_WITHIN = ControlInterval(least_s=0.01)
"""QEMU acts in the sync itself, so the throttle is asked often."""


def run_throttle(run: RecordedRun) -> Throttle:
    """QEMU's throttle with the parameters of the run."""
    throttle = _run_throttle(run)
    throttle.control_interval = ACTS_WITHIN
    return throttle


def _run_throttle(run: RecordedRun) -> Throttle:
    match run.mode:
        case "none":
            return make_throttle("none")
        case "auto-converge":
            return make_throttle(
                "auto-converge",
                initial_percent=run.throttle_initial,
                increment_percent=run.throttle_increment,
                max_percent=run.max_throttle,
                trigger_percent=run.trigger_threshold,
                tail_slow=run.tail_slow,
            )
        case "dirty-limit":
            return make_throttle(
                "dirty-limit",
                limit_mib_per_s=round((run.dirty_limit_bytes_per_s or 0.0) / MIB),
                trigger_percent=run.trigger_threshold,
            )


def compare_runs(settings: Settings, runs: Sequence[RecordedRun]) -> tuple[RunPair, ...]:
    """Every run in the model."""
    return tuple(_compare(settings, run) for run in runs)


def summarise_runs(pairs: Sequence[RunPair], modes: Sequence[str] = SUMMARISED_MODES) -> QemuSummary:
    """Over the runs on a quiet host in these modes."""
    chosen = [pair for pair in pairs if pair.run.host == QUIET and pair.run.mode in modes]
    errors = [abs(pair.error) for pair in chosen if math.isfinite(pair.error)]
    return QemuSummary(
        median_error=float(np.median(errors)) if errors else math.nan,
        max_error=max(errors, default=math.nan),
        runs=len(errors),
        wrong_verdicts=tuple(pair.run.id for pair in chosen if pair.run.converged != pair.model_converged),
    )


def _compare(settings: Settings, run: RecordedRun) -> RunPair:
    scenarios = [recorded_scenario(run)]
    fluid = settings.migrate(scenarios, run_throttle(run))
    outcomes = run_migrations(ReferenceBackend(settings.parameters), scenarios, run_throttle(run), seeds=[0])
    return RunPair(
        run=run,
        model_converged=bool(outcomes.converged[0]),
        model_s=float(outcomes.total_time_s[0]),
        fluid_s=float(fluid.total_time_s[0]),
        throttle_model=float(outcomes.max_throttle_percent[0]),
        runtime_model=tuple(outcomes.guest_runtime_per_vcpu[0, : run.vcpus].tolist()),
    )
