"""What one evaluation is to do: who migrates what, where, and how it is repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.evaluation.evaluation import MakeBackend, Task
from experiments.evaluation.throttle_sources import ThrottleSource
from experiments.kept_suites import digest


@dataclass(frozen=True)
class Session:
    """What is evaluated.

    Attributes:
        throttles: with distinct names, at least one.
        tasks: the migrations that each of them is given.
        preferences: at which the cost is taken; distinct, ascending.
        opponent: the throttle that statistics compare with; None: there is no such comparison.
        backend: the name of where migrations happen.
        make_backend: opens it.
        options: what else decides the results, by option; what differs here is not resumed.
        command: the command line that repeats it.
    """

    throttles: tuple[ThrottleSource, ...]
    tasks: tuple[Task, ...]
    preferences: tuple[float, ...]
    opponent: str | None
    backend: str
    make_backend: MakeBackend
    options: Mapping[str, Any]
    command: str

    def setting(self) -> dict[str, Any]:
        """What decides the results of each run."""
        return {
            "backend": self.backend,
            "preferences": list(self.preferences),
            **self.options,
            "migrations": _migrations(self.tasks),
            "digest of scenarios": {task.suite: digest(task.scenarios) for task in self.tasks},
        }


def _migrations(tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Scenario and seed of every migration, by suite."""
    return {
        task.suite: [f"{scenario.name} {seed}" for scenario, seed in zip(task.scenarios, task.seeds, strict=True)]
        for task in tasks
    }
