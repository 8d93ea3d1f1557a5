"""``dqgym suites``: list and describe the suites of scenarios."""

from __future__ import annotations

from typing import Annotated

import typer

from experiments.commands.options import SUITE, AsJson

SHOWN_SCENARIOS = 8
"""Examples of a sampler."""


def suites_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar=SUITE,
            help="Show the scenarios of this suite: one that comes with dqgym, or a file or folder of your own.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of a sampler's examples.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """List the suites, or describe one of them with its scenarios (of a sampler: examples)."""
    from dqgym.scenario.suites import get_suite, suite_names
    from experiments.reporting.suite_tables import describe_scenario, describe_suite, list_table, scenario_table
    from experiments.reporting.tables import show

    if name is None:
        suites = [get_suite(known) for known in suite_names()]
        show([list_table(suites)], [describe_suite(suite) for suite in suites], as_json)
        return
    suite = get_suite(name)
    scenarios = suite.some(SHOWN_SCENARIOS, seed)
    described = {**describe_suite(suite), "scenarios": [describe_scenario(one) for one in scenarios]}
    show([scenario_table(suite, scenarios)], described, as_json)
