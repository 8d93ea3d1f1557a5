"""One scenario under one throttle, once: what became of it, how it went on the way, and what proves it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dqgym.arrays import FloatArray
from dqgym.backends.base import Backend, Outcomes
from dqgym.backends.kvm.backend import KvmBackend
from dqgym.controller.loop import run_migrations
from dqgym.controller.timeline import Timeline, TimelineRecorder
from dqgym.cost import FAST, GENTLE
from dqgym.files import require_place, write_text
from dqgym.results.schema import stamped
from dqgym.scenario import Scenario
from dqgym.telemetry.command import Command
from dqgym.telemetry.telemetry import Telemetry
from experiments.evaluation.backend_sources import backend_maker
from experiments.evaluation.throttle_sources import throttle_source
from experiments.extras import require_extra
from experiments.reporting.migration_panel import migration_panel
from experiments.reporting.progress import showing_migration
from experiments.reporting.tables import terminal
from experiments.results.rows import json_safe


@dataclass(frozen=True)
class Order:
    """What is migrated and how.

    Attributes:
        scenario: what.
        throttle: a name, a training run or a policy bundle.
        preference: asked of the throttle; None: its own default.
        seed: decides all that is random.
        backend: where.
        destination: with the KVM backend, ``host:port``; None: a process on this host.
    """

    scenario: Scenario
    throttle: str
    preference: float | None = None
    seed: int = 0
    backend: str = "model"
    destination: str | None = None


@dataclass(frozen=True)
class Shown:
    """What is told of it: JSON in place of the panel, and files for its time line, as JSON and as a picture."""

    as_json: bool = False
    trace: Path | None = None
    plot: Path | None = None


def migrate_and_show(order: Order, shown: Shown) -> None:
    """Migrate once, print what became of it, and write the files that are asked for.

    Raises:
        BadInputError: the throttle, backend or destination cannot be used, or a file cannot be written; said first.
    """
    if shown.plot is not None:
        require_extra("train", "--plot")
    for path in (shown.trace, shown.plot):
        if path is not None:
            require_place(path)  # first, so that a folder that is missing costs no migration
    result, line, title = migrate_once(order, show_progress=not shown.as_json)
    if shown.trace is not None:
        write_text(shown.trace, json.dumps(line.to_dict()))
    if shown.plot is not None:
        from experiments.reporting.plots import save_figure, timeline_figure

        save_figure(timeline_figure(line, title), shown.plot)
    if shown.as_json:
        print(json.dumps(result, indent=2))
    else:
        terminal().print(migration_panel(result))


def migrate_once(order: Order, show_progress: bool) -> tuple[dict[str, Any], Timeline, str]:
    """What became of it as JSON, its time line, and a title for that."""
    make_backend = backend_maker(order.backend, order.destination)
    scenario, chosen = order.scenario, throttle_source(order.throttle)
    chosen.require_runs_on(order.backend)
    chosen.require_serves([scenario])
    with closing(make_backend(chosen.vcpu_slots)) as backend:
        recorder = TimelineRecorder(lambda: backend.facts)
        with showing_migration(scenario, chosen.name, show=show_progress) as on_step:

            def observe(interval_s: FloatArray, command: Command, telemetry: Telemetry) -> None:
                recorder(interval_s, command, telemetry)
                on_step(interval_s, command, telemetry)

            ready = chosen.ready(order.preference, [scenario], [order.seed])
            outcomes = run_migrations(backend, [scenario], ready, [order.seed], observer=observe)
        result = describe_outcome(outcomes, order, chosen.name) | describe_evidence(backend)
        return result, recorder.timeline(), f"{scenario.name}, {chosen.name}"


def describe_outcome(outcomes: Outcomes, order: Order, throttle: str) -> dict[str, Any]:
    """The outcome of the one migration, as JSON; ``cost`` is by preference."""
    preferences = sorted({FAST, GENTLE} | ({order.preference} if order.preference is not None else set()))
    costs = {f"{value:g}": outcomes.cost(value)[0] for value in preferences}
    described: dict[str, Any] = json_safe(
        {
            "backend": order.backend,
            "scenario": order.scenario.name,
            "throttle": throttle,
            "seed": order.seed,
            "preference": order.preference,
            "converged": outcomes.converged[0],
            "forced": outcomes.forced[0],
            "total_time_s": outcomes.total_time_s[0],
            "time_over_t0": outcomes.time_over_t0[0],
            "downtime_s": outcomes.downtime_s[0],
            "guest_runtime": outcomes.guest_runtime[0],
            "worst_vcpu_runtime": outcomes.worst_vcpu_runtime[0],
            "guest_runtime_per_vcpu": outcomes.guest_runtime_per_vcpu[0, : order.scenario.vcpus],
            "bytes_sent": outcomes.bytes_sent[0],
            "rounds": outcomes.rounds[0],
            "max_throttle_percent": outcomes.max_throttle_percent[0],
            "cost": costs,
        }
    )
    return stamped(described)


def describe_evidence(backend: Backend) -> dict[str, Any]:
    """The proof of a real migration, as JSON; empty for a model."""
    if not isinstance(backend, KvmBackend) or backend.final is None:
        return {}
    final = backend.final
    return {
        "ending": final.ending.value,
        "progress_per_vcpu": list(final.progress),
        "proof": None if final.proof is None else asdict(final.proof),
    }
