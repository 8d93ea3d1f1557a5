"""``dqgym control``: the control loop of an exported policy, without torch and without Stable-Baselines3."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from dqgym.throttles.roles import FALLBACK
from experiments.commands.options import (
    SUITE,
    SUITE_HELP,
    AsJson,
    Backend,
    Destination,
    HostSource,
    MaxVcpus,
    Scale,
    Seed,
)
from experiments.evaluation.scenario_sources import FEW


def control_command(
    bundle: Annotated[
        Path,
        typer.Argument(help="Directory of the policy bundle (`dqgym export` writes one); `default`: the one shipped."),
    ],
    backend: Backend = "model",
    destination: Destination = None,
    suite: Annotated[str | None, typer.Option(metavar=SUITE, help=SUITE_HELP)] = None,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="SCENARIO.yaml|NAME|SUITE:NAME", help="One scenario instead of a suite."),
    ] = None,
    host: HostSource = None,
    scale: Scale = False,
    preference: Annotated[
        float | None, typer.Option(help="What guest runtime is worth against time; the bundle's default if not given.")
    ] = None,
    survey: Annotated[
        str | None, typer.Option(help="Log writes before each migration for so long: '0.005 T0' or '2 s'.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help=f"Scenarios of the suite; all of a fixed suite, {FEW} of a sampler."),
    ] = None,
    max_vcpus: MaxVcpus = None,
    seed: Seed = 0,
    fallback: Annotated[str, typer.Option(help="Throttle that takes over from a faulty policy.")] = FALLBACK,
    fallback_on_error: Annotated[
        bool, typer.Option("--fallback-on-error", help="Run the fallback throttle when the bundle is not valid.")
    ] = False,
    decision_deadline_s: Annotated[
        float | None, typer.Option(help="A decision that takes longer hands over to the fallback (seconds).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the control loop of an exported policy, behind its guard; needs neither torch nor Stable-Baselines3."""
    from dqgym.controller.guard import GuardOptions
    from dqgym.errors import BadInputError
    from dqgym.telemetry.interval import parse_survey
    from experiments.evaluation.backend_sources import require_played_host
    from experiments.evaluation.control import ControlOptions, control
    from experiments.evaluation.scenario_sources import choose_scenarios, on_host
    from experiments.evaluation.throttle_sources import bundle_folder, require_bundle
    from experiments.reporting.progress import showing_progress
    from experiments.reporting.tables import show

    if not fallback_on_error:
        require_bundle(bundle)
    if decision_deadline_s is not None and not 0.0 < decision_deadline_s < math.inf:
        raise BadInputError(f"--decision-deadline-s {decision_deadline_s:g} must be a positive number of seconds")
    require_played_host(host, backend)
    scenarios = on_host(choose_scenarios(suite, scenario, count, seed, max_vcpus, scale), host)
    options = ControlOptions(
        backend=backend,
        destination=destination,
        preference=preference,
        survey=None if survey is None else parse_survey(survey),
        seed=seed,
        fallback=fallback,
        fallback_on_error=fallback_on_error,
        guard=GuardOptions(decision_deadline_s=decision_deadline_s),
    )
    with showing_progress(1, show=not as_json) as on_run:
        on_progress = on_run(suite or scenarios[0].name, str(bundle))
        report = control(bundle_folder(bundle), scenarios, options, on_progress=on_progress)
    show([report.table()], report.document(), as_json)
