"""``dqgym control``: the control loop of an exported policy, without torch and without Stable-Baselines3.

The policy runs behind the guard. Should the guard, or the check of the bundle, find fault with it, a fallback throttle
takes over. That is ``dirty-quota`` unless another is named: it uses the same half of a command as a policy (per-vCPU
dirty-rate limits), so every backend that can run the policy can run it, and it makes migrations end whatever the
workload does, without a tuned parameter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from dqgym.backends.base import Outcomes
from dqgym.controller.guard import Guard, GuardOptions, Intervention
from dqgym.controller.loop import Observer, OnProgress
from dqgym.controller.run import run_all
from dqgym.errors import BadInputError
from dqgym.scenario import Scenario, load_scenario
from dqgym.telemetry.interval import ControlInterval, parse_survey
from dqgym.throttles.roles import FALLBACK
from experiments.commands.options import MaxVcpus, Scale
from experiments.evaluation.backend_sources import BACKEND_HELP, DESTINATION_HELP, backend_maker
from experiments.evaluation.scenario_sources import draw_scenarios, in_small
from experiments.evaluation.throttle_sources import (
    bundle_folder,
    make_fallback,
    require_bundle,
    require_served,
    require_surveys,
)
from experiments.named_files import SCENARIOS
from experiments.reporting.progress import showing_progress
from experiments.reporting.tables import Table, terminal
from experiments.results.rows import json_safe

DEFAULT_COUNT = 16
"""Scenarios taken of a suite that is a sampler."""


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
    interventions: tuple[str, ...]
    """Why the guard handed the migration to the fallback; empty where the policy ran it to its end."""


@dataclass(frozen=True)
class ControlReport:
    """What became of all migrations, and who controlled them."""

    throttle: str
    fallback: str
    fallback_reason: str | None
    """Why the fallback controlled everything; None when the bundle was sound."""
    backend: str
    preference: float | None
    migrations: tuple[ControlledMigration, ...]


def control(
    bundle_path: Path,
    scenarios: Sequence[Scenario],
    *,
    backend_name: str = "model",
    destination: str | None = None,
    preference: float | None = None,
    survey: ControlInterval | None = None,
    seed: int = 0,
    fallback: str = FALLBACK,
    fallback_on_error: bool = False,
    guard: GuardOptions | None = None,
    observer: Observer | None = None,
    on_progress: OnProgress | None = None,
) -> ControlReport:
    """Run the bundle's policy, behind the guard, on every scenario.

    Args:
        bundle_path: the bundle's directory.
        scenarios: what is migrated.
        backend_name: where.
        destination: of kvm: ``host:port``; None: a process of this host.
        preference: what guest runtime is worth against time; None takes the bundle's default.
        survey: length of a survey before each migration; None for none.
        seed: of the first migration; each next one has the next seed.
        fallback: name of the throttle that takes over.
        fallback_on_error: let the fallback control all migrations when the bundle is not valid.
        guard: thresholds of the guard.
        observer: called after each step of the loop.
        on_progress: called after each step with the number of migrations that have ended, and of all.

    Raises:
        BundleError: the bundle is not valid, and ``fallback_on_error`` is off.
        BadInputError: another argument has a bad value.
    """
    from dqgym.controller.bundle import BundleError, read_bundle  # loads numba, which `--help` does not need

    fallback_throttle, make_backend = make_fallback(fallback), backend_maker(backend_name, destination)
    fallback_reason = None
    try:
        bundle = read_bundle(bundle_path)
    except BundleError as error:
        if not fallback_on_error:
            raise
        fallback_reason = str(error)
        throttle, vcpu_slots, preference = fallback_throttle, None, None
    else:
        require_served(bundle.manifest.name, bundle.manifest.vcpus, scenarios, of_suites=True)
        preference = bundle.manifest.preference.choose(preference)
        require_surveys(bundle.manifest.name, bundle.manifest.training_config, survey)
        throttle = Guard(bundle.throttle(preference, survey), fallback_throttle, guard)
        vcpu_slots = bundle.manifest.vcpus.slots

    with closing(make_backend(vcpu_slots)) as backend:
        seeds = [seed + index for index in range(len(scenarios))]
        run = run_all(backend, scenarios, throttle, seeds, observer, on_progress)
    return ControlReport(
        throttle=throttle.name,
        fallback=fallback,
        fallback_reason=fallback_reason,
        backend=backend.name,
        preference=preference,
        migrations=_migrations(scenarios, run.outcomes, run.interventions),
    )


def control_command(
    bundle: Annotated[
        Path,
        typer.Argument(help="Directory of the policy bundle (`dqgym export` writes one); `default`: the one shipped."),
    ],
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "model",
    destination: Annotated[str | None, typer.Option(help=DESTINATION_HELP)] = None,
    suite: Annotated[str | None, typer.Option(help="Suite of scenarios (`dqgym suites` lists them).")] = None,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="SCENARIO.yaml|NAME", help="One scenario instead of a suite: a file, or a name."),
    ] = None,
    scale: Scale = False,
    preference: Annotated[
        float | None, typer.Option(help="What guest runtime is worth against time; the bundle's default if not given.")
    ] = None,
    survey: Annotated[
        str | None, typer.Option(help="Log writes before each migration for so long: '0.005 T0' or '2 s'.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help=f"Scenarios of the suite; all of a fixed suite, {DEFAULT_COUNT} of a sampler."),
    ] = None,
    max_vcpus: MaxVcpus = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is random.")] = 0,
    fallback: Annotated[str, typer.Option(help="Throttle that takes over from a faulty policy.")] = FALLBACK,
    fallback_on_error: Annotated[
        bool, typer.Option("--fallback-on-error", help="Run the fallback throttle when the bundle is not valid.")
    ] = False,
    decision_deadline_s: Annotated[
        float | None, typer.Option(help="A decision that takes longer hands over to the fallback (seconds).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Run the control loop of an exported policy, behind its guard; needs neither torch nor Stable-Baselines3."""
    if not fallback_on_error:
        require_bundle(bundle)
    if decision_deadline_s is not None and not 0.0 < decision_deadline_s < math.inf:
        raise BadInputError(f"--decision-deadline-s {decision_deadline_s:g} must be a positive number of seconds")
    scenarios = _chosen_scenarios(suite, scenario, count, seed, max_vcpus, scale)
    with showing_progress(1, show=not as_json) as on_run:
        report = control(
            bundle_folder(bundle),
            scenarios,
            backend_name=backend,
            destination=destination,
            preference=preference,
            survey=None if survey is None else parse_survey(survey),
            seed=seed,
            fallback=fallback,
            fallback_on_error=fallback_on_error,
            guard=GuardOptions(decision_deadline_s=decision_deadline_s),
            on_progress=on_run(suite or scenarios[0].name, str(bundle)),
        )
    if as_json:
        print(json.dumps(json_safe(asdict(report)), indent=2))
    else:
        _print_table(report)


def _chosen_scenarios(
    suite: str | None, scenario: str | None, count: int | None, seed: int, max_vcpus: int | None, scaled: bool
) -> list[Scenario]:
    if (suite is None) == (scenario is None):
        raise BadInputError("name either --suite or --scenario")
    if scenario is not None:
        for option, value in (("--count", count), ("--max-vcpus", max_vcpus)):
            if value is not None:
                raise BadInputError(f"{option} goes with --suite, not with --scenario")
        one = load_scenario(SCENARIOS.find(scenario))
        return [in_small(one) if scaled else one]
    assert suite is not None
    return draw_scenarios(suite, count, seed, max_vcpus, scaled, of_sampler=DEFAULT_COUNT)


def _migrations(
    scenarios: Sequence[Scenario], outcomes: Outcomes, interventions: Sequence[Intervention]
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
            interventions=tuple(
                f"{one.reason} at {one.time_s:.3g} s: {one.detail}" for one in interventions if one.migration == i
            ),
        )
        for i, scenario in enumerate(scenarios)
    )


def _print_table(report: ControlReport) -> None:
    preference = "" if report.preference is None else f", preference {report.preference:g}"
    notes = [f"{report.fallback} controlled all migrations: {report.fallback_reason}"] if report.fallback_reason else []
    notes += [
        f"{report.fallback} took over {migration.scenario}: {reason}"
        for migration in report.migrations
        for reason in migration.interventions
    ]
    header = (
        "scenario", "converged", "time [s]", "time / T0", "downtime [s]", "guest runtime", "worst vCPU", "rounds",
        "interventions",
    )  # fmt: skip
    title = f"{report.throttle} on {report.backend}{preference}"
    expendable = ("worst vCPU", "rounds", "downtime [s]")
    Table.of(title, header, map(_cells, report.migrations), notes, expendable=expendable).print(terminal())


def _cells(migration: ControlledMigration) -> tuple[str, ...]:
    return (
        migration.scenario,
        "yes" if migration.converged else "NO",
        f"{migration.total_time_s:.1f}",
        f"{migration.time_over_t0:.2f}",
        f"{migration.downtime_s:.3f}" if migration.converged else "-",
        f"{migration.guest_runtime:.3f}",
        f"{migration.worst_vcpu_runtime:.3f}",
        str(migration.rounds),
        str(len(migration.interventions)),
    )
