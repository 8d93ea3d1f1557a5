"""``dqgym simulate``: migrate one scenario under one throttle on the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dqgym.backends.base import Outcomes
    from dqgym.controller.trace import Trace
    from dqgym.scenario import Scenario

SHOWN_VCPUS = 16
"""Most vCPUs whose guest runtime the panel lists one by one."""


def simulate_command(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO.yaml|SUITE:NAME", help="A file, or one of a fixed suite's scenarios.")
    ],
    throttle: Annotated[
        str, typer.Option(metavar="NAME|RUN|BUNDLE", help="A baseline, a training run or a policy bundle.")
    ] = "dirty-quota",
    preference: Annotated[
        float | None, typer.Option(help="Asked of a learned policy; its own default if not given.", min=0.0)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides all that is random.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Write the time line as JSON.", dir_okay=False)] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (PNG) of the time line.", dir_okay=False)] = None,
) -> None:
    """Migrate one scenario under one throttle on the model."""
    from contextlib import closing

    from dqgym.controller.loop import run_migrations
    from dqgym.controller.trace import TraceRecorder
    from experiments.contenders import contender
    from experiments.evaluate import make_model_backend
    from experiments.tables import terminal

    chosen, migrated = contender(throttle), find_scenario(scenario)
    chosen.require_serves([migrated])
    with closing(make_model_backend(chosen.vcpu_slots)) as backend:
        recorder = TraceRecorder(lambda: backend.facts)
        outcomes = run_migrations(backend, [migrated], chosen.make(preference), [seed], observer=recorder)
        recorded = recorder.trace()
    result = describe_outcome(outcomes, migrated, chosen.name, seed, preference)
    _write_time_line(recorded, f"{migrated.name}, {chosen.name}", trace, plot)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        terminal().print(_panel(result))


def find_scenario(source: str) -> Scenario:
    """The scenario in a YAML file, or the one that ``suite:name`` stands for.

    Raises:
        ValueError: there is none, or the file does not hold a valid one.
    """
    from dqgym.names import did_you_mean
    from dqgym.scenario import load_scenario
    from dqgym.scenario.suites import get_suite
    from experiments.errors import BadInputError

    suite_name, colon, name = source.partition(":")
    if not colon or Path(source).exists():
        return load_scenario(source)
    suite = get_suite(suite_name)
    if suite.kind != "fixed":
        raise BadInputError(f"{source!r}: suite {suite_name!r} is a sampler, its scenarios have no lasting names")
    scenarios = {scenario.name: scenario for scenario in suite.scenarios()}
    if name not in scenarios:
        hint = did_you_mean(name, scenarios)
        raise BadInputError(f"suite {suite_name!r} has no scenario {name!r}{hint}; scenarios: {', '.join(scenarios)}")
    return scenarios[name]


def describe_outcome(
    outcomes: Outcomes, scenario: Scenario, throttle: str, seed: int, preference: float | None
) -> dict[str, Any]:
    """What became of the one migration, as JSON; ``cost`` is by preference."""
    from dqgym.cost import FAST, GENTLE, migration_cost
    from experiments.results import json_safe

    preferences = sorted({FAST, GENTLE} | ({preference} if preference is not None else set()))
    costs = {
        f"{value:g}": migration_cost(
            outcomes.total_time_s, outcomes.stall_s, outcomes.pass_time_s, outcomes.converged, value
        )[0]
        for value in preferences
    }
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


def _write_time_line(recorded: Trace, title: str, trace: Path | None, plot: Path | None) -> None:
    from experiments.files import write_text

    if trace is not None:
        write_text(trace, json.dumps(recorded.to_dict()))
    if plot is not None:
        from experiments.plots import save_figure, timeline_figure

        save_figure(timeline_figure(recorded, title), plot)


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
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in lines.items():
        grid.add_row(Text(name, "bold"), Text(value))
    return Panel(grid, title=f"{result['scenario']} under {result['throttle']}", expand=False)


def _per_vcpu(runtimes: Sequence[float]) -> str:
    more = len(runtimes) - SHOWN_VCPUS
    return " ".join(f"{runtime:.0%}" for runtime in runtimes[:SHOWN_VCPUS]) + (f" and {more} more" if more > 0 else "")
