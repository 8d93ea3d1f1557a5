"""``dqgym simulate``: migrate one scenario under one throttle on the model."""

from __future__ import annotations

from experiments.commands.options import (
    AsJson,
    HostSource,
    OnePreference,
    OneThrottle,
    PlotFile,
    ScenarioSource,
    Seed,
    TraceFile,
)


def simulate_command(
    scenario: ScenarioSource,
    throttle: OneThrottle = "dirty-quota",
    preference: OnePreference = None,
    seed: Seed = 0,
    host: HostSource = None,
    as_json: AsJson = False,
    trace: TraceFile = None,
    plot: PlotFile = None,
) -> None:
    """Migrate one scenario under one throttle on the model."""
    from experiments.evaluation.one_migration import Order, Shown, migrate_and_show
    from experiments.evaluation.scenario_sources import find_scenario, on_host

    (played,) = on_host([find_scenario(scenario)], host)
    order = Order(played, throttle, preference, seed)
    migrate_and_show(order, Shown(as_json, trace, plot))
