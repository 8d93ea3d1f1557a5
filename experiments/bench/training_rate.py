"""Frames per second of a whole training loop: environment, policy, and updates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from gymnasium.vector import AutoresetMode

from agents.algorithms import make_algorithm
from agents.config import PolicyConfig, PpoConfig
from agents.vec_env import Sb3VecEnv
from dqgym.envs.vector import MigrationVectorEnv
from experiments.bench.hardware import hardware

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

SUITE = "mixed"
KINDS: tuple[Literal["mlp", "per-vcpu"], ...] = ("mlp", "per-vcpu")


@dataclass(frozen=True)
class UpdateShape:
    """How much PPO collects and computes between two policies; few epochs with large minibatches are fast."""

    n_steps: int
    epochs: int
    minibatches: int


def measure_training_rates(n_envs: Sequence[int], vcpus: int, repeats: int, shape: UpdateShape) -> dict[str, Any]:
    """Median frames/s over updates, by policy and number of environments; the updates of all take turns."""
    algorithms = {(kind, n): _algorithm(kind, n, vcpus, shape) for kind in KINDS for n in n_envs}
    for algorithm in algorithms.values():
        _update_rate(algorithm, shape)  # compiles and allocates
    rates: dict[tuple[str, int], list[float]] = {key: [] for key in algorithms}
    for _ in range(repeats):
        for key, algorithm in algorithms.items():
            rates[key].append(_update_rate(algorithm, shape))
    return {
        "results": [
            {"policy": kind, "n_envs": n, "vcpus": vcpus, "frames_per_s": median(rates[kind, n])}
            for kind, n in algorithms
        ],
        "settings": {
            **asdict(shape),
            "width": PolicyConfig().width,
            "layers": PolicyConfig().layers,
            "torch_threads": 1,
        },
        "hardware": hardware(),
    }


def _algorithm(kind: Literal["mlp", "per-vcpu"], n_envs: int, vcpus: int, shape: UpdateShape) -> BaseAlgorithm:
    env = MigrationVectorEnv(
        n_envs, suite=SUITE, max_vcpus=vcpus, vcpu_slots=vcpus, autoreset_mode=AutoresetMode.SAME_STEP
    )
    config = PpoConfig(
        policy=PolicyConfig(kind=kind),
        n_steps=shape.n_steps,
        n_epochs=shape.epochs,
        batch_size=max(2, n_envs * shape.n_steps // shape.minibatches),
    )
    return make_algorithm(config, Sb3VecEnv(env), seed=0)


def _update_rate(algorithm: BaseAlgorithm, shape: UpdateShape) -> float:
    """Frames/s of one rollout and the update that follows it."""
    frames = algorithm.n_envs * shape.n_steps
    start_s = time.perf_counter()
    algorithm.learn(frames)
    return frames / (time.perf_counter() - start_s)
