"""Steps one vector environment, and notes how fast that goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

WARM_UP_STEPS = 60
"""Enough for everything to be compiled and for episodes to be at different stages."""


class Steppable(Protocol):
    """What is asked of a vector environment: those of Gymnasium have it, and those of ``cartpoles``."""

    num_envs: int

    def reset(self, *, seed: int) -> Any:
        """Begin the episodes."""
        ...

    def step(self, actions: Any) -> Any:
        """One step of all environments."""
        ...


@dataclass
class Stepper:
    """Steps one vector environment with actions made beforehand, in turn, and keeps the rates of its samples."""

    env: Steppable
    actions: Sequence[Any]
    wall_rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.env.reset(seed=0)
        self._run(WARM_UP_STEPS)
        self._step_s = self._run(WARM_UP_STEPS)[0] / WARM_UP_STEPS

    def sample(self, length_s: float) -> None:
        """Add a sample of about that length."""
        steps = max(1, round(length_s / self._step_s))
        wall_s, cpu_s = self._run(steps)
        self.wall_rates.append(steps * self.env.num_envs / wall_s)
        self.cpu_rates.append(steps * self.env.num_envs / cpu_s)

    @property
    def wall_rate(self) -> float:
        """Environment steps per second, the median."""
        return median(self.wall_rates)

    @property
    def cpu_rate(self) -> float:
        """Environment steps per second of CPU time, the median."""
        return median(self.cpu_rates)

    def _run(self, steps: int) -> tuple[float, float]:
        """Wall-clock and CPU seconds of some steps."""
        actions, env = self.actions, self.env
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for index in range(steps):
            env.step(actions[index % len(actions)])
        return time.perf_counter() - wall_s, time.process_time() - cpu_s
