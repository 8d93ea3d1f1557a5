"""Suites and their scenarios, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dqgym.scenario import Scenario
from dqgym.scenario.suites import Suite
from experiments.reporting.tables import Table


def describe_suite(suite: Suite) -> dict[str, Any]:
    """A suite as JSON."""
    return {"name": suite.name, "kind": suite.kind, "description": suite.description, "source": suite.source}


def describe_scenario(scenario: Scenario) -> dict[str, Any]:
    """A scenario as JSON: what its YAML file holds, and what follows from it."""
    return {
        **scenario.model_dump(mode="json", by_alias=True, exclude_none=True),
        "vcpus": scenario.vcpus,
        "pass_time_s": scenario.pass_time_s,
    }


def list_table(suites: Sequence[Suite]) -> Table:
    """The suites, a line each."""
    return Table.of(
        title="Suites of scenarios",
        header=("suite", "kind", "what it holds"),
        rows=[(suite.name, suite.kind, suite.description) for suite in suites],
        text_columns=3,
    )


def scenario_table(suite: Suite, scenarios: Sequence[Scenario]) -> Table:
    """Scenarios of a suite."""
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
