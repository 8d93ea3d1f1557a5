"""``dqgym migrate`` and ``dqgym simulate``: migrate one scenario under one throttle, for real or on the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.commands.options import Scale
from experiments.evaluation.backend_sources import BACKEND_HELP, DESTINATION_HELP, backend_maker

if TYPE_CHECKING:
    from dqgym.arrays import FloatArray
    from dqgym.backends.base import Backend, Outcomes
    from dqgym.controller.timeline import Timeline
    from dqgym.scenario import Scenario
    from dqgym.telemetry.command import Command
    from dqgym.telemetry.telemetry import Telemetry

SHOWN_VCPUS = 16
"""Most vCPUs whose guest runtime the panel lists one by one."""


ScenarioSource = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO.yaml|NAME|SUITE:NAME",
        help="A file, the name of one in `dqgym configs`, or one of a fixed suite's scenarios.",
    ),
]
ThrottleSource = Annotated[
    str,
    typer.Option(
        metavar="NAME|RUN|BUNDLE", help="A baseline, a training run or a policy bundle; on the model also `oracle`."
    ),
]
Preference = Annotated[
    float | None,
    typer.Option(help="Asked of a policy, tuned rule or oracle; its own default if not given.", min=0.0),
]
Seed = Annotated[int, typer.Option(help="Decides all that is random.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TraceFile = Annotated[
    Path | None, typer.Option(help="Write the time line as JSON; a file of that name is replaced.", dir_okay=False)
]
PlotFile = Annotated[
    Path | None,
    typer.Option(help="Write a picture (PNG) of the time line; a file of that name is replaced.", dir_okay=False),
]


def migrate_command(
    scenario: ScenarioSource,
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "kvm",
    throttle: ThrottleSource = "dirty-quota",
    preference: Preference = None,
    seed: Seed = 0,
    scale: Scale = False,
    destination: Annotated[str | None, typer.Option(help=DESTINATION_HELP)] = None,
    as_json: AsJson = False,
    trace: TraceFile = None,
    plot: PlotFile = None,
) -> None:
    """Migrate one scenario under one throttle: a real virtual machine on KVM, or the model."""
    from experiments.evaluation.scenario_sources import find_scenario, in_small

    migrated = find_scenario(scenario)
    if scale:
        migrated = in_small(migrated)
    _migrate(migrated, backend, destination, throttle, preference, seed, as_json, trace, plot)


def simulate_command(
    scenario: ScenarioSource,
    throttle: ThrottleSource = "dirty-quota",
    preference: Preference = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    trace: TraceFile = None,
    plot: PlotFile = None,
) -> None:
    """Migrate one scenario under one throttle on the model."""
    from experiments.evaluation.scenario_sources import find_scenario

    _migrate(find_scenario(scenario), "model", None, throttle, preference, seed, as_json, trace, plot)


def _migrate(
    scenario: Scenario,
    backend_name: str,
    destination: str | None,
    throttle: str,
    preference: float | None,
    seed: int,
    as_json: bool,
    trace: Path | None,
    plot: Path | None,
) -> None:
    from contextlib import closing

    from dqgym.controller.loop import run_migrations
    from dqgym.controller.timeline import TimelineRecorder
    from dqgym.files import require_place
    from experiments.evaluation.throttle_sources import contender
    from experiments.reporting.progress import showing_migration
    from experiments.reporting.tables import terminal

    make_backend = backend_maker(backend_name, destination)
    chosen = contender(throttle)
    chosen.require_runs_on(backend_name)
    chosen.require_serves([scenario])
    for path in (trace, plot):
        if path is not None:
            require_place(path)  # first, so that a folder that is missing costs no migration
    with closing(make_backend(chosen.vcpu_slots)) as backend:
        recorder = TimelineRecorder(lambda: backend.facts)
        with showing_migration(scenario, chosen.name, show=not as_json) as on_step:

            def observe(interval_s: FloatArray, command: Command, telemetry: Telemetry) -> None:
                recorder(interval_s, command, telemetry)
                on_step(interval_s, command, telemetry)

            ready = chosen.ready(preference, [scenario], [seed])
            outcomes = run_migrations(backend, [scenario], ready, [seed], observer=observe)
        timeline = recorder.timeline()
        evidence = describe_evidence(backend)
    result = describe_outcome(outcomes, scenario, chosen.name, seed, preference) | evidence
    _write_timeline(timeline, f"{scenario.name}, {chosen.name}", trace, plot)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        terminal().print(_panel(result))


def describe_outcome(
    outcomes: Outcomes, scenario: Scenario, throttle: str, seed: int, preference: float | None
) -> dict[str, Any]:
    """What became of the one migration, as JSON; ``cost`` is by preference."""
    from dqgym.cost import FAST, GENTLE
    from experiments.results.rows import json_safe

    preferences = sorted({FAST, GENTLE} | ({preference} if preference is not None else set()))
    costs = {f"{value:g}": outcomes.cost(value)[0] for value in preferences}
    described: dict[str, Any] = json_safe(
        {
            "scenario": scenario.name,
            "throttle": throttle,
            "seed": seed,
            "preference": preference,
            "converged": outcomes.converged[0],
            "total_time_s": outcomes.total_time_s[0],
            "time_over_t0": outcomes.time_over_t0[0],
            "downtime_s": outcomes.downtime_s[0],
            "guest_runtime": outcomes.guest_runtime[0],
            "worst_vcpu_runtime": outcomes.worst_vcpu_runtime[0],
            "guest_runtime_per_vcpu": outcomes.guest_runtime_per_vcpu[0, : scenario.vcpus],
            "bytes_sent": outcomes.bytes_sent[0],
            "rounds": outcomes.rounds[0],
            "max_throttle_percent": outcomes.max_throttle_percent[0],
            "cost": costs,
        }
    )
    return described


def describe_evidence(backend: Backend) -> dict[str, Any]:
    """What a real migration was proven to have done, as JSON; nothing for a model."""
    from dqgym.backends.kvm.backend import KvmBackend

    if not isinstance(backend, KvmBackend) or backend.final is None:
        return {}
    final = backend.final
    return {
        "ending": final.ending.value,
        "progress_per_vcpu": list(final.progress),
        "proof": None if final.proof is None else asdict(final.proof),
    }


def _write_timeline(timeline: Timeline, title: str, trace: Path | None, plot: Path | None) -> None:
    from dqgym.files import write_text

    if trace is not None:
        write_text(trace, json.dumps(timeline.to_dict()))
    if plot is not None:
        from experiments.reporting.plots import save_figure, timeline_figure

        save_figure(timeline_figure(timeline, title), plot)


def _panel(result: dict[str, Any]) -> Any:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    downtime_s = result["downtime_s"]
    lines = {
        "converged": "yes" if result["converged"] else "NO: it missed its deadline",
        "migration time": f"{result['total_time_s']:,.1f} s = {result['time_over_t0']:.2f} T0",
        "downtime": "-" if downtime_s is None else f"{downtime_s * 1000:,.0f} ms",
        "guest runtime": f"{result['guest_runtime']:.1%}, worst vCPU {result['worst_vcpu_runtime']:.1%}",
        "per vCPU": _per_vcpu(result["guest_runtime_per_vcpu"]),
        "sent": f"{result['bytes_sent'] / 1e9:,.2f} GB in {result['rounds']} rounds",
        "highest CPU throttle": f"{result['max_throttle_percent']:.0f} %",
        "cost J": ", ".join(f"{cost:.3f} at c = {value}" for value, cost in result["cost"].items()),
        **_evidence_lines(result),
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in lines.items():
        grid.add_row(Text(name, "bold"), Text(value))
    return Panel(grid, title=f"{result['scenario']} under {result['throttle']}", expand=False)


def _evidence_lines(result: dict[str, Any]) -> dict[str, str]:
    if "progress_per_vcpu" not in result:
        return {}
    proof = result["proof"]
    proven = (
        f"memory identical ({proof['memory_hash'][:12]}...), {proof['stores']:,} stores exactly once"
        if proof
        else "the guest stayed at the source, every store exactly once"
    )
    return {"progress": _per_vcpu(result["progress_per_vcpu"]), "proven": proven}


def _per_vcpu(runtimes: Sequence[float]) -> str:
    more = len(runtimes) - SHOWN_VCPUS
    return " ".join(f"{runtime:.0%}" for runtime in runtimes[:SHOWN_VCPUS]) + (f" and {more} more" if more > 0 else "")
