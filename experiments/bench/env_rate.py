"""Environment steps per second, through the whole public ``step`` of each vector environment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np

from dqgym.envs.vector import MigrationVectorEnv
from experiments.bench.hardware import hardware

WARM_UP_STEPS = 60
"""Enough for the kernel to be compiled and for episodes to be at different stages."""
PREPARED_ACTIONS = 16
"""Batches of random actions made beforehand, used in turn: drawing them is not the environment's work."""
SUITE = "mixed"


@dataclass
class Stepper:
    """Steps one vector environment with random actions and keeps the rates of its samples."""

    env: gym.vector.VectorEnv[Any, Any, Any]
    wall_rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.env.reset(seed=0)
        self.env.action_space.seed(0)
        self._actions = [self.env.action_space.sample() for _ in range(PREPARED_ACTIONS)]
        self._run(WARM_UP_STEPS)
        self._step_s = self._run(WARM_UP_STEPS)[0] / WARM_UP_STEPS

    def sample(self, length_s: float) -> None:
        """Add a sample of about that length."""
        steps = max(1, round(length_s / self._step_s))
        wall_s, cpu_s = self._run(steps)
        self.wall_rates.append(steps * self.env.num_envs / wall_s)
        self.cpu_rates.append(steps * self.env.num_envs / cpu_s)

    def _run(self, steps: int) -> tuple[float, float]:
        """Wall-clock and CPU seconds of some steps."""
        actions, env = self._actions, self.env
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for index in range(steps):
            env.step(actions[index % PREPARED_ACTIONS])
        return time.perf_counter() - wall_s, time.process_time() - cpu_s


def measure_env_rates(n_envs: Sequence[int], vcpus: Sequence[int], repeats: int, sample_s: float) -> dict[str, Any]:
    """Median rates of every size, and of CartPoleVectorEnv; samples of all take turns, so that all see the same load.

    The migrations are those of the suite ``mixed`` with up to so many vCPUs: every slot costs the same, used or not.
    """
    cartpoles = {
        n: Stepper(gym.make_vec("CartPole-v1", num_envs=n, vectorization_mode="vector_entry_point")) for n in n_envs
    }
    migrations = {
        (n, slots): Stepper(MigrationVectorEnv(n, suite=SUITE, max_vcpus=slots, vcpu_slots=slots))
        for slots in vcpus
        for n in n_envs
    }
    for _ in range(repeats):
        for stepper in (*cartpoles.values(), *migrations.values()):
            stepper.sample(sample_s)
    return {
        "results": [
            {
                "n_envs": n,
                "vcpus": slots,
                "env_steps_per_s": median(stepper.wall_rates),
                "env_steps_per_cpu_s": median(stepper.cpu_rates),
                "mean_vcpus": _mean_vcpus(stepper.env),
            }
            for (n, slots), stepper in migrations.items()
        ],
        "cartpole_vector_env_steps_per_s": {str(n): median(stepper.wall_rates) for n, stepper in cartpoles.items()},
        "hardware": hardware(),
    }


def _mean_vcpus(env: gym.vector.VectorEnv[Any, Any, Any]) -> float:
    """Of the scenarios that the environments draw from."""
    assert isinstance(env, MigrationVectorEnv)
    return float(np.mean([scenario.vcpus for scenario in env.options.scenarios]))
