"""A vector environment with the interface of the migration environments and next to no cost of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES

OUTCOME_FIELDS = (
    "total_time_s",
    "time_over_t0",
    "downtime_s",
    "guest_runtime",
    "worst_vcpu_runtime",
    "converged",
    "rounds",
    "cost",
    "episode_return",
    "episode_steps",
    "term_time",
    "term_stall",
    "term_downtime",
    "term_deadline",
    "preference",
    "pass_time_s",
)
TARGET_FEATURE = 1


class FakeMigrationVectorEnv(VectorEnv):
    """An action costs its squared distance from feature 1 of its vCPU; an episode ends after a random number of steps.

    Args:
        least_vcpus: every episode has this many vCPUs to ``vcpu_slots``, in random slots; None: all of them.
        reuse_buffers: write all observations into the same array.
    """

    def __init__(
        self,
        num_envs: int,
        vcpu_slots: int = 8,
        global_features: int = len(GLOBAL_FEATURES),
        vcpu_features: int = len(VCPU_FEATURES),
        least_vcpus: int | None = None,
        autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
        mean_steps: int = 40,
        reuse_buffers: bool = False,
    ) -> None:
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": autoreset_mode}
        self.render_mode = None
        self.encoder = SimpleNamespace(
            vcpu_slots=vcpu_slots, global_features=("g",) * global_features, vcpu_features=("f",) * vcpu_features
        )
        self._shape = (num_envs, vcpu_features, vcpu_slots)
        self._least_vcpus = vcpu_slots if least_vcpus is None else least_vcpus
        self._mean_steps = mean_steps
        self._reuse_buffers = reuse_buffers
        width = global_features + vcpu_features * vcpu_slots
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (vcpu_slots,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rng = np.random.default_rng()
        self._buffer = np.zeros((num_envs, width), np.float32)
        self._vcpus = self._buffer[:, global_features:].reshape(self._shape)
        self._global = self._buffer[:, :global_features]

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.last_reset = (seed, options)
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._returns = np.zeros(self.num_envs)
        self._steps = np.zeros(self.num_envs, dtype=int)
        self._start(np.arange(self.num_envs))
        return self._observations(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        present = self._vcpus[:, 0]
        errors = np.square(actions - self._vcpus[:, TARGET_FEATURE]) * present
        rewards = -errors.sum(axis=1) / present.sum(axis=1)
        self._returns += rewards
        self._steps += 1
        self._global[:, 0] = self._steps / self._mean_steps
        terminated = self._rng.random(self.num_envs) < 1 / self._mean_steps
        infos: dict[str, Any] = {}
        if terminated.any():
            infos = self._final_infos(terminated)
            self._start(np.flatnonzero(terminated))
        truncated = np.zeros(self.num_envs, dtype=bool)
        return self._observations(), rewards.astype(np.float32), terminated, truncated, infos

    def _final_infos(self, ended: np.ndarray) -> dict[str, Any]:
        outcome = {name: np.full(self.num_envs, index / 10) for index, name in enumerate(OUTCOME_FIELDS)}
        outcome |= {"episode_return": self._returns.copy(), "episode_steps": self._steps.copy()}
        outcome |= {"cost": -self._returns, "converged": self._steps < 2 * self._mean_steps}
        return {
            "final_obs": self._buffer.copy(),
            "_final_obs": ended,
            "final_info": outcome,
            "_final_info": ended,
        }

    def _start(self, index: np.ndarray) -> None:
        _, features, slots = self._shape
        self._vcpus[index] = self._rng.uniform(-0.8, 0.8, (len(index), features, slots))
        counts = self._rng.integers(self._least_vcpus, slots + 1, (len(index), 1))
        order = self._rng.random((len(index), slots)).argsort(axis=1)
        present = order < counts
        self._vcpus[index] *= present[:, None]
        self._vcpus[index, 0] = present
        self._global[index] = 0.0
        self._returns[index] = 0.0
        self._steps[index] = 0

    def _observations(self) -> np.ndarray:
        return self._buffer if self._reuse_buffers else self._buffer.copy()
