"""Any number of migrations on any backend: as many side by side as it runs, the rest in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dqgym.backends.base import Backend, Outcomes
from dqgym.controller.guard import Guard, Takeover
from dqgym.controller.loop import Observer, OnProgress, run_migrations
from dqgym.scenario import Scenario
from dqgym.throttles.base import Throttle


@dataclass(frozen=True)
class Run:
    """The outcomes of all migrations.

    Attributes:
        outcomes: [N], in the order of the scenarios.
        takeovers: of the guard, where the throttle is one; their ``migration`` counts through all scenarios.
    """

    outcomes: Outcomes
    takeovers: tuple[Takeover, ...]


def run_all(
    backend: Backend,
    scenarios: Sequence[Scenario],
    throttle: Throttle,
    seeds: Sequence[int],
    observer: Observer | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Migrate every scenario under one throttle; see ``run_migrations``, which each turn is one call of.

    Raises:
        BadInputError: no scenarios, or another number of seeds.
    """
    together = backend.capabilities.max_migrations or max(len(scenarios), 1)
    if together >= len(scenarios):
        outcomes = run_migrations(backend, scenarios, throttle, seeds, observer, on_progress)
        return Run(outcomes, _takeovers(throttle, 0))
    parts: list[Outcomes] = []
    takeovers: tuple[Takeover, ...] = ()
    for first in range(0, len(scenarios), together):
        turn = slice(first, first + together)

        def count(done: int, _: int, first: int = first) -> None:
            if on_progress is not None:
                on_progress(first + done, len(scenarios))

        parts.append(run_migrations(backend, scenarios[turn], throttle, seeds[turn], observer, count))
        takeovers += _takeovers(throttle, first)
    return Run(Outcomes.concatenated(parts), takeovers)


def _takeovers(throttle: Throttle, first: int) -> tuple[Takeover, ...]:
    if not isinstance(throttle, Guard):
        return ()
    return tuple(replace(one, migration=first + one.migration) for one in throttle.takeovers)
