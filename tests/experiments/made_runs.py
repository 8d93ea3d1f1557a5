"""Run directories as training leaves them, with policies that are lively but untrained."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from agents.algorithms.algorithms import make_algorithm
from agents.storage.checkpoints import save_algorithm
from agents.vec_env import Sb3VecEnv
from experiments.runs.config import TrainingConfig
from experiments.runs.run_directory import RunDirectory, describe_run
from tests.agents.fakes import FakeMigrationVectorEnv

EVALUATION = {"frames": 640, "cost": 1.5, "summary": [{"suite": "mixed", "cost": 1.5}]}
MLP_SLOTS = 8


def config(policy: str) -> TrainingConfig:
    """A small training on the suite ``mixed``."""
    return TrainingConfig.model_validate(
        {
            "name": f"untrained-{policy}",
            "seed": 3,
            "environment": {"suites": {"mixed": 1}, "max_vcpus": MLP_SLOTS, "preference": [0.1, 1.0]},
            "algorithm": {"kind": "ppo", "batch_size": 64, "policy": {"kind": policy, "width": 16}},
            "training": {"frames": 1000, "checkpoint_every": 500, "evaluate_every": 500},
            "evaluation": {"suites": ["mixed"]},
        }
    )


def make_run(path: Path, policy: str) -> Path:
    """A run directory whose best model has random weights, large enough for actions all over -1 .. 1."""
    settings = config(policy)
    run = RunDirectory.create(
        path, settings.to_yaml(), "dqgym train untrained.yaml", describe_run(settings.name, settings.seed)
    )
    env = Sb3VecEnv(FakeMigrationVectorEnv(2, vcpu_slots=MLP_SLOTS))
    algorithm = make_algorithm(settings.algorithm, env, settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.no_grad():
        for parameter in algorithm.policy.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    save_algorithm(algorithm, run.best_model_path)
    run.evaluation_path.write_text(json.dumps({**EVALUATION, "history": [{"frames": 640, "cost": 1.5}]}))
    return path
