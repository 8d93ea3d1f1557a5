"""Checkpoints of a training: zip files of Stable-Baselines3, each complete or not there at all."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.storage.replay_files import save_replay_buffer
from dqgym.files import write_binary

PATTERN = "checkpoint-*.zip"
ENVIRONMENT_STATE = ("_last_obs", "_last_original_obs", "_last_episode_starts")
"""A training goes on with fresh episodes, so the last observations need not be kept."""


def save_algorithm(algorithm: BaseAlgorithm, path: Path) -> None:
    """Write weights, optimiser state, settings and the number of frames."""
    write_binary(path, lambda file: algorithm.save(file, exclude=ENVIRONMENT_STATE))


def save_checkpoint(algorithm: BaseAlgorithm, folder: Path, keep: int) -> Path:
    """Write a checkpoint, drop all but the ``keep`` last ones, and return its path.

    The replay buffer of an off-policy algorithm is written beside it, the last one only: it is large.
    """
    path = folder / f"checkpoint-{algorithm.num_timesteps:012d}.zip"
    if isinstance(algorithm, OffPolicyAlgorithm):
        assert algorithm.replay_buffer is not None
        save_replay_buffer(algorithm.replay_buffer, replay_buffer_path(path))
    save_algorithm(algorithm, path)
    for old in sorted(folder.glob(PATTERN))[:-keep]:
        old.unlink()
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most frames."""
    return next(iter(checkpoints(folder)), None)


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, the one with the most frames first."""
    return sorted(folder.glob(PATTERN), reverse=True)


def replay_buffer_path(checkpoint: Path) -> Path:
    """Path of the replay buffer of a folder's last checkpoint."""
    return checkpoint.with_name("replay_buffer.npz")


def pickled_buffer_path(checkpoint: Path) -> Path:
    """Path at which earlier versions left the replay buffer, as a pickle."""
    return checkpoint.with_name("replay_buffer.pkl")
