"""The training loop around an algorithm."""

from __future__ import annotations

from collections.abc import Sequence

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.algorithms.callbacks import (
    FiniteWeights,
    InterruptCallback,
    OutcomeLogger,
    ProgressCallback,
    training_progress,
)


def train(
    algorithm: BaseAlgorithm, total_frames: int, callbacks: Sequence[BaseCallback] = (), show_progress: bool = False
) -> bool:
    """Train until the algorithm has seen ``total_frames`` in all, those before a resumption included.

    Outcomes are logged, and Ctrl-C stops the training; the callbacks decide what else happens.

    Raises:
        FloatingPointError: an update made the weights NaN or infinite; nothing was saved of it.

    Returns:
        Whether the training is finished; False after Ctrl-C.
    """
    with InterruptCallback() as interrupt, training_progress(show_progress) as progress:
        algorithm.learn(
            total_frames - algorithm.num_timesteps,
            callback=[FiniteWeights(), OutcomeLogger(), *callbacks, ProgressCallback(progress), interrupt],
            # On-policy algorithms count rollouts here, off-policy ones episodes.
            log_interval=algorithm.n_envs if isinstance(algorithm, OffPolicyAlgorithm) else 1,
            reset_num_timesteps=algorithm.num_timesteps == 0,
        )
    return not interrupt.requested
