"""The control loop of an exported policy on some scenarios, without torch and without Stable-Baselines3.

The policy runs behind the guard. Should the guard, or the check of the bundle, find fault with it, a fallback throttle
takes over. That is ``dirty-quota`` unless another is named: it uses the same half of a command as a policy (per-vCPU
dirty-rate limits), so every backend that can run the policy can run it, and it makes migrations end whatever the
workload does, without a tuned parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dqgym.backends.base import Outcomes
from dqgym.controller.guard import Guard, GuardOptions, Takeover
from dqgym.controller.loop import Observer, OnProgress
from dqgym.controller.run import run_all
from dqgym.results.schema import stamped
from dqgym.scenario import Scenario
from dqgym.telemetry.interval import ControlInterval
from dqgym.throttles.base import Throttle
from dqgym.throttles.roles import FALLBACK
from experiments.evaluation.backend_sources import backend_maker
from experiments.evaluation.throttle_sources import make_fallback, require_served, require_surveys
from experiments.reporting.tables import Table
from experiments.results.rows import json_safe


@dataclass(frozen=True)
class ControlledMigration:
    """One migration under control."""

    scenario: str
    converged: bool
    total_time_s: float
    time_over_t0: float
    downtime_s: float
    guest_runtime: float
    worst_vcpu_runtime: float
    rounds: int
    takeovers: tuple[str, ...]
    """Why the guard handed the migration to the fallback; empty where the policy ran it to its end."""
    forced: bool = False
    """It converged only because the guest was paused, at the deadline or after the last round."""


@dataclass(frozen=True)
class ControlReport:
    """The outcomes of all migrations, and the throttle that controlled them."""

    throttle: str
    fallback: str
    fallback_reason: str | None
    """Why the fallback controlled everything; None when the bundle was sound."""
    backend: str
    preference: float | None
    migrations: tuple[ControlledMigration, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = stamped(json_safe(asdict(self)))
        return document

    def table(self) -> Table:
        """A row for each migration; who took over, and why, below it."""
        return _table(self)


@dataclass(frozen=True)
class ControlOptions:
    """How migrations are controller.

    Attributes:
        backend: where they happen.
        destination: with the KVM backend, ``host:port``; None: a process on this host.
        preference: what guest runtime is worth against time; None takes the bundle's default.
        survey: length of a survey before each migration; None for none.
        seed: of the first migration; each next one has the next seed.
        fallback: name of the throttle that takes over.
        fallback_on_error: let the fallback control all migrations when the bundle is not valid.
        guard: thresholds of the guard; None: the usual ones.
    """

    backend: str = "model"
    destination: str | None = None
    preference: float | None = None
    survey: ControlInterval | None = None
    seed: int = 0
    fallback: str = FALLBACK
    fallback_on_error: bool = False
    guard: GuardOptions | None = None


def control(
    bundle_path: Path,
    scenarios: Sequence[Scenario],
    options: ControlOptions | None = None,
    *,
    observer: Observer | None = None,
    on_progress: OnProgress | None = None,
) -> ControlReport:
    """Run the bundle's policy, behind the guard, on every scenario.

    Args:
        bundle_path: the bundle's directory.
        scenarios: what is migrated.
        options: how; None: as ``ControlOptions`` has it.
        observer: called after each step of the loop.
        on_progress: called after each step with the number of migrations that have ended, and of all.

    Raises:
        BundleError: the bundle is not valid, and ``fallback_on_error`` is off.
        BadInputError: another argument has a bad value.
    """
    options = options or ControlOptions()
    fallback, make_backend = make_fallback(options.fallback), backend_maker(options.backend, options.destination)
    controller = _controller(bundle_path, scenarios, options, fallback)
    with closing(make_backend(controller.vcpu_slots)) as backend:
        seeds = [options.seed + index for index in range(len(scenarios))]
        run = run_all(backend, scenarios, controller.throttle, seeds, observer, on_progress)
    return ControlReport(
        throttle=controller.throttle.name,
        fallback=options.fallback,
        fallback_reason=controller.fallback_reason,
        backend=backend.name,
        preference=controller.preference,
        migrations=_migrations(scenarios, run.outcomes, run.takeovers),
    )


@dataclass(frozen=True)
class _Controller:
    """Who controls the migrations: the guarded policy, or the fallback and why."""

    throttle: Throttle
    vcpu_slots: int | None = None
    preference: float | None = None
    fallback_reason: str | None = None


def _controller(
    bundle_path: Path, scenarios: Sequence[Scenario], options: ControlOptions, fallback: Throttle
) -> _Controller:
    from dqgym.controller.bundle import BundleError, read_bundle  # loads numba, which `--help` does not need

    try:
        bundle = read_bundle(bundle_path)
    except BundleError as error:
        if not options.fallback_on_error:
            raise
        return _Controller(fallback, fallback_reason=str(error))
    manifest = bundle.manifest
    require_served(manifest.name, manifest.vcpus, scenarios, of_suites=True)
    preference = manifest.preference.choose(options.preference)
    require_surveys(manifest.name, manifest.training_config, options.survey)
    guard = Guard(bundle.throttle(preference, options.survey), fallback, options.guard)
    return _Controller(guard, manifest.vcpus.slots, preference)


def _migrations(
    scenarios: Sequence[Scenario], outcomes: Outcomes, takeovers: Sequence[Takeover]
) -> tuple[ControlledMigration, ...]:
    return tuple(
        ControlledMigration(
            scenario=scenario.name,
            converged=bool(outcomes.converged[i]),
            total_time_s=float(outcomes.total_time_s[i]),
            time_over_t0=float(outcomes.time_over_t0[i]),
            downtime_s=float(outcomes.downtime_s[i]),
            guest_runtime=float(outcomes.guest_runtime[i]),
            worst_vcpu_runtime=float(outcomes.worst_vcpu_runtime[i]),
            rounds=int(outcomes.rounds[i]),
            takeovers=tuple(
                f"{one.reason} at {one.time_s:.3g} s: {one.detail}" for one in takeovers if one.migration == i
            ),
            forced=bool(outcomes.forced[i]),
        )
        for i, scenario in enumerate(scenarios)
    )


def _table(report: ControlReport) -> Table:
    preference = "" if report.preference is None else f", preference {report.preference:g}"
    notes = [f"{report.fallback} controlled all migrations: {report.fallback_reason}"] if report.fallback_reason else []
    notes += [
        f"{report.fallback} took over {migration.scenario}: {reason}"
        for migration in report.migrations
        for reason in migration.takeovers
    ]
    header = (
        "scenario", "converged", "time [s]", "time / T0", "downtime [s]", "guest runtime", "worst vCPU", "rounds",
        "takeovers",
    )  # fmt: skip
    title = f"{report.throttle} on {report.backend}{preference}"
    expendable = ("worst vCPU", "rounds", "downtime [s]")
    return Table.of(title, header, map(_cells, report.migrations), notes, expendable=expendable)


def _cells(migration: ControlledMigration) -> tuple[str, ...]:
    return (
        migration.scenario,
        "by force" if migration.forced else "yes" if migration.converged else "NO",
        f"{migration.total_time_s:.1f}",
        f"{migration.time_over_t0:.2f}",
        f"{migration.downtime_s:.3f}" if migration.converged else "-",
        f"{migration.guest_runtime:.3f}",
        f"{migration.worst_vcpu_runtime:.3f}",
        str(migration.rounds),
        str(len(migration.takeovers)),
    )
