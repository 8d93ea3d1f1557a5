"""``dqgym suites``: list and describe the suites of scenarios."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dqgym.scenario import Scenario
    from dqgym.scenario.suites import Suite
    from experiments.reporting.tables import Table

SHOWN_SCENARIOS = 8
"""Examples of a sampler."""


def suites_command(
    name: Annotated[str | None, typer.Argument(help="Show the scenarios of this suite.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Seed of a sampler's examples.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the suites, or describe one of them with its scenarios (of a sampler: examples)."""
    from dqgym.scenario.suites import get_suite, suite_names
    from experiments.reporting.tables import terminal

    if name is None:
        suites = [get_suite(known) for known in suite_names()]
        if as_json:
            print(json.dumps([describe(suite) for suite in suites], indent=2))
        else:
            _list_table(suites).print(terminal())
        return
    suite = get_suite(name)
    scenarios = suite.scenarios(None if suite.kind == "fixed" else SHOWN_SCENARIOS, seed)
    if as_json:
        print(json.dumps({**describe(suite), "scenarios": [describe_scenario(one) for one in scenarios]}, indent=2))
    else:
        _scenario_table(suite, scenarios).print(terminal())


def describe(suite: Suite) -> dict[str, Any]:
    """A suite as JSON."""
    return {"name": suite.name, "kind": suite.kind, "description": suite.description}


def describe_scenario(scenario: Scenario) -> dict[str, Any]:
    """A scenario as JSON: what its YAML file holds, and what follows from it."""
    return {
        **scenario.model_dump(mode="json", by_alias=True, exclude_none=True),
        "vcpus": scenario.vcpus,
        "pass_time_s": scenario.pass_time_s,
    }


def _list_table(suites: Sequence[Suite]) -> Table:
    from experiments.reporting.tables import Table

    return Table.of(
        title="Suites of scenarios",
        header=("suite", "kind", "what it holds"),
        rows=[(suite.name, suite.kind, suite.description) for suite in suites],
        text_columns=3,
    )


def _scenario_table(suite: Suite, scenarios: Sequence[Scenario]) -> Table:
    from experiments.reporting.tables import Table

    return Table.of(
        title=f"{suite.name} ({suite.kind})",
        header=("scenario", "workload", "link", "memory", "bandwidth", "vCPUs", "T0"),
        rows=[
            (
                scenario.name,
                ", ".join(f"{group.vcpus} x {group.pattern}" for group in scenario.workload),
                scenario.link.kind,
                f"{scenario.vm.memory_bytes / 1e9:,.4g} GB",
                f"{scenario.bandwidth_bytes_per_s / 2**20:,.4g} MiB/s",
                str(scenario.vcpus),
                f"{scenario.pass_time_s:,.1f} s",
            )
            for scenario in scenarios
        ],
        notes=(suite.description, *(() if suite.kind == "fixed" else ("Examples: every seed gives others.",))),
        text_columns=3,
        expendable=("link",),
    )
