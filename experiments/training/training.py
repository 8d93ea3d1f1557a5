"""One training run, from the scenarios to the files that it leaves in its run directory."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure

import dqgym.envs  # noqa: F401  registers dqgym/Migration-v0
from agents.algorithms import training
from agents.algorithms.algorithms import load_algorithm, make_algorithm
from agents.algorithms.callbacks import BestModelCallback, CheckpointCallback, log_at_once
from agents.storage.checkpoints import checkpoints, latest_checkpoint, save_algorithm
from agents.vec_env import Sb3VecEnv, typical_cost
from dqgym.backends.model import ModelBackend
from dqgym.errors import BadInputError, RunFailedError
from dqgym.files import write_text
from dqgym.results.rows import Summary
from dqgym.results.schema import stamped
from dqgym.scenario.suites import get_suite
from experiments.evaluation.evaluation import Task, evaluate
from experiments.evaluation.throttle_sources import ThrottleSource
from experiments.reporting.progress import saying_frames
from experiments.results.rows import json_safe, summarise
from experiments.runs.config import TrainingConfig
from experiments.runs.run_directory import RunDirectory, read_evaluation, timestamp
from experiments.runs.trained_policy import trained_policy
from experiments.training.frame_lines import FrameLines

log = logging.getLogger(__name__)

LOGGED_FIELDS = ("cost", "time_over_t0", "guest_runtime", "converged_share")
"""Of each evaluation's summaries, in TensorBoard."""


@dataclass(frozen=True)
class TrainingResult:
    """The progress of a run.

    Attributes:
        finished: all frames of the config are trained; False after Ctrl-C.
        frames: trained so far.
    """

    finished: bool
    frames: int


def draw_held_out(config: TrainingConfig) -> list[Task]:
    """The migrations that choose the best model; no sampled scenario is one that is trained on.

    Raises:
        BadInputError: a fixed suite has a scenario with more vCPUs than ``environment.max_vcpus``.
    """
    evaluation, tasks = config.evaluation, []
    for suite in map(get_suite, evaluation.suites):
        scenarios = suite.some(evaluation.count, evaluation.seed, config.environment.max_vcpus)
        tasks.append(
            Task(suite.name, tuple(scenarios), tuple(range(evaluation.seed, evaluation.seed + len(scenarios))))
        )
    return tasks


def require_device(config: TrainingConfig) -> None:
    """Raise a BadInputError where torch cannot use the device: Stable-Baselines3 would take the CPU without a word."""
    device = config.algorithm.device
    if device == "auto":
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(f"algorithm.device: {device!r} cannot be used here, cpu and auto can: {reason}") from error


def make_environment(config: TrainingConfig) -> Sb3VecEnv:
    """The native vector environment behind its bridge to Stable-Baselines3."""
    environment = config.environment
    return Sb3VecEnv(
        gym.make_vec(
            "dqgym/Migration-v0",
            num_envs=environment.n_envs,
            suite=environment.suites,
            preference=environment.preference,
            control_interval=environment.control_interval,
            max_vcpus=environment.max_vcpus,
            # A plain network serves as many slots as it is trained with, whatever was drawn for training.
            vcpu_slots=environment.max_vcpus if config.policy.kind == "mlp" else None,
            max_memory_bytes=environment.max_memory_bytes,
            pool_size=environment.pool_size,
            pool_seed=config.seed,
            randomisation=environment.randomisation.model_dump(),
            survey=environment.survey,
            survey_chance=environment.survey_chance,
            hidden_state=config.algorithm.sees_hidden_state,
            autoreset_mode=AutoresetMode.SAME_STEP,
        ),
        reward_unit=typical_cost,
    )


def run_training(
    config: TrainingConfig,
    run: RunDirectory,
    env: Sb3VecEnv,
    held_out: Sequence[Task],
    show_progress: bool = False,
    trust: bool = False,
) -> TrainingResult:
    """Train to the end of the config, from the run's latest whole checkpoint where it has one.

    Raises:
        BadInputError: no checkpoint is whole, or one needs ``trust`` (``agents.algorithms.algorithms.load_algorithm``).
        RunFailedError: the training broke down; the run can be resumed from its latest checkpoint.
    """
    algorithm = start_algorithm(config, run, env, trust)
    algorithm.set_logger(configure(str(run.tensorboard_path), ["tensorboard"]))
    evaluation = HeldOutEvaluation(config, held_out, run.evaluation_path)
    callbacks = [
        BestModelCallback(evaluation, run.best_model_path, config.training.evaluate_every),
        CheckpointCallback(run.checkpoints_path, config.training.checkpoint_every),
    ]
    started_s = time.monotonic()
    try:
        with saying_frames(config.training.frames, show_progress) as lines:
            told = [] if lines is None else [FrameLines(lines)]
            finished = training.train(algorithm, config.training.frames, [*callbacks, *told], show_progress)
    except (BadInputError, FloatingPointError) as error:  # an action that is not finite is bad input to the environment
        raise RunFailedError(
            f"training broke down after {algorithm.num_timesteps:,} frames: {error}{_what_is_left(run)}"
        ) from error
    finally:
        algorithm.logger.close()
    _note_progress(run, algorithm.num_timesteps, time.monotonic() - started_s, finished)
    if finished:  # last, because its presence means that all is done
        save_algorithm(algorithm, run.final_model_path)
    return TrainingResult(finished, algorithm.num_timesteps)


def _note_progress(run: RunDirectory, frames: int, elapsed_s: float, finished: bool) -> None:
    meta = run.read_meta()
    progress = {
        "frames": frames,
        "training_s": round(meta.training_s + elapsed_s, 3),
        "ended_at": timestamp() if finished else None,
    }
    run.write_meta(meta.model_copy(update=progress))


def _what_is_left(run: RunDirectory) -> str:
    checkpoint = latest_checkpoint(run.checkpoints_path)
    return "" if checkpoint is None else f"; the last checkpoint before that is {checkpoint}"


def start_algorithm(config: TrainingConfig, run: RunDirectory, env: Sb3VecEnv, trust: bool) -> BaseAlgorithm:
    """A fresh algorithm, or the one of the latest checkpoint that is whole; those that are not are told of."""
    found = checkpoints(run.checkpoints_path)
    if not found:
        return make_algorithm(config.algorithm, env, config.seed)
    damages: list[str] = []
    for checkpoint in found:
        try:
            algorithm = load_algorithm(config.algorithm, checkpoint, env, config.seed, trust)
        except BadInputError as error:
            damages.append(str(error))
            continue
        for damage in damages:
            print(f"{damage}; going on from {checkpoint.name}", file=sys.stderr)
        log.info("going on from %s, after %d frames", checkpoint, algorithm.num_timesteps)
        return algorithm
    raise BadInputError("\n".join(dict.fromkeys(damages)))


class HeldOutEvaluation:
    """The cost of a policy on the held-out migrations: the mean over suites and preferences.

    A JSON file tells the best evaluation so far in full, and the cost of each:
    ``{"frames", "cost", "summary": [...], "history": [{"frames", "cost"}, ...]}``.
    """

    def __init__(self, config: TrainingConfig, tasks: Sequence[Task], path: Path) -> None:
        self.config = config
        self.tasks = tasks
        self.path = path

    def __call__(self, algorithm: BaseAlgorithm) -> float:
        """Evaluate the algorithm's policy as it is now, deterministically."""
        policy = trained_policy(algorithm.policy, self.config)
        source = ThrottleSource(self.config.name, True, policy.throttle, policy.vcpus)
        preferences = self.config.evaluation.preferences
        evaluation = evaluate([source], self.tasks, preferences, _model_backend, lambda *_: None)
        summaries = summarise(evaluation.rows)
        logged = {
            f"eval/{summary.suite}/c={summary.preference:g}/{field}": getattr(summary, field)
            for summary in summaries
            for field in LOGGED_FIELDS
        }
        log_at_once(algorithm, logged)
        cost = float(np.mean([summary.cost for summary in summaries]))
        self._record(algorithm.num_timesteps, cost, summaries)
        return cost

    def _record(self, frames: int, cost: float, summaries: Sequence[Summary]) -> None:
        record: dict[str, Any] = read_evaluation(self.path) if self.path.is_file() else {"history": []}
        # A run that was resumed repeats the frames after its checkpoint.
        history = [entry for entry in record["history"] if entry["frames"] < frames]
        if "cost" not in record or cost < record["cost"]:
            record = {"frames": frames, "cost": cost, "summary": [asdict(summary) for summary in summaries]}
        record["history"] = [*history, {"frames": frames, "cost": cost}]
        write_text(self.path, json.dumps(json_safe(stamped(record)), indent=1) + "\n")


def _model_backend(vcpu_slots: int | None) -> ModelBackend:
    return ModelBackend(vcpu_slots=vcpu_slots)
