"""Frames per second of a whole training loop: environment, policy, and updates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from gymnasium.vector import AutoresetMode

from agents.algorithms.algorithms import make_algorithm
from agents.algorithms.paired_rollouts import PairedRollouts
from agents.config import PairedConfig, PolicyConfig, PpoConfig
from agents.vec_env import Sb3VecEnv
from dqgym.envs.vector import MigrationVectorEnv
from experiments.bench.hardware import hardware

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

SUITE = "mixed"
PolicyKind = Literal["mlp", "per-vcpu"]
CONTESTANTS: tuple[tuple[Literal["ppo", "paired"], PolicyKind], ...] = (
    ("ppo", "mlp"),
    ("ppo", "per-vcpu"),
    ("paired", "per-vcpu"),
)
"""Algorithm and policy."""


@dataclass(frozen=True)
class UpdateShape:
    """The work of PPO between two policies; few epochs with large minibatches are fast."""

    n_steps: int
    epochs: int
    minibatches: int


def measure_training_rates(n_envs: Sequence[int], vcpus: int, repeats: int, shape: UpdateShape) -> dict[str, Any]:
    """Median frames/s over updates, by contestant and number of environments; the updates of all take turns."""
    algorithms = {
        (contestant, n): _algorithm(*contestant, n, vcpus, shape)
        for contestant in CONTESTANTS
        for n in n_envs
        if contestant[0] != "paired" or n % 2 == 0
    }
    for algorithm in algorithms.values():
        _update_rate(algorithm, shape)  # compiles and allocates
    rates: dict[Any, list[float]] = {key: [] for key in algorithms}
    for _ in range(repeats):
        for key, algorithm in algorithms.items():
            rates[key].append(_update_rate(algorithm, shape))
    return {
        "results": [
            {
                "algorithm": contestant[0],
                "policy": contestant[1],
                "n_envs": n,
                "vcpus": vcpus,
                "frames_per_s": median(rates[contestant, n]),
            }
            for contestant, n in algorithms
        ],
        "settings": {
            **asdict(shape),
            "width": PolicyConfig().width,
            "layers": PolicyConfig().layers,
            "torch_threads": 1,
        },
        "hardware": hardware(),
    }


def _algorithm(
    algorithm: Literal["ppo", "paired"], kind: PolicyKind, n_envs: int, vcpus: int, shape: UpdateShape
) -> BaseAlgorithm:
    env = MigrationVectorEnv(
        n_envs, suite=SUITE, max_vcpus=vcpus, vcpu_slots=vcpus, autoreset_mode=AutoresetMode.SAME_STEP
    )
    policy = PolicyConfig(kind=kind)
    config: PpoConfig | PairedConfig
    if algorithm == "paired":
        config = PairedConfig(policy=policy)
    else:
        batch_size = max(2, n_envs * shape.n_steps // shape.minibatches)
        config = PpoConfig(policy=policy, n_steps=shape.n_steps, n_epochs=shape.epochs, batch_size=batch_size)
    return make_algorithm(config, Sb3VecEnv(env), seed=0)


def _update_rate(algorithm: BaseAlgorithm, shape: UpdateShape) -> float:
    """Frames/s of one rollout and the update that follows it; paired rollouts run whole migrations."""
    start_s = time.perf_counter()
    algorithm.learn(1 if isinstance(algorithm, PairedRollouts) else algorithm.n_envs * shape.n_steps)
    return algorithm.num_timesteps / (time.perf_counter() - start_s)
