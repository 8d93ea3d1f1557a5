"""``dqgym migrate``: migrate one scenario under one throttle, for real."""

from __future__ import annotations

from experiments.commands.options import (
    AsJson,
    Backend,
    Destination,
    OnePreference,
    OneThrottle,
    PlotFile,
    Scale,
    ScenarioSource,
    Seed,
    TraceFile,
)


def migrate_command(
    scenario: ScenarioSource,
    backend: Backend = "kvm",
    throttle: OneThrottle = "dirty-quota",
    preference: OnePreference = None,
    seed: Seed = 0,
    scale: Scale = False,
    destination: Destination = None,
    as_json: AsJson = False,
    trace: TraceFile = None,
    plot: PlotFile = None,
) -> None:
    """Migrate one scenario under one throttle: a real virtual machine on KVM, or the model."""
    from experiments.evaluation.one_migration import Order, Shown, migrate_and_show
    from experiments.evaluation.scenario_sources import find_scenario, in_small

    migrated = in_small(find_scenario(scenario)) if scale else find_scenario(scenario)
    migrate_and_show(Order(migrated, throttle, preference, seed, backend, destination), Shown(as_json, trace, plot))
