"""Trains a tiny policy in a few seconds, and says what its migrations cost before and after.

Run it with ``python examples/train_a_policy.py``. ``dqgym train`` does the same with checkpoints, in a run directory;
docs/training.md has the keys of a config.
"""

from contextlib import closing
from pathlib import Path

from stable_baselines3.common.logger import configure

from agents.algorithms.algorithms import make_algorithm
from experiments.runs.config import TrainingConfig
from experiments.training.training import HeldOutEvaluation, draw_held_out, make_environment

FRAMES = 300_000
"""Decisions, over all environments; ``configs/default.yaml`` takes 20 million."""

config = TrainingConfig.model_validate(
    {
        "name": "tiny",
        "seed": 1,
        "environment": {"suites": {"streaming": 1}, "n_envs": 128, "max_vcpus": 8, "pool_size": 256},
        "algorithm": {"kind": "paired", "policy": {"kind": "per-vcpu", "width": 16}},
        "training": {"frames": FRAMES, "checkpoint_every": FRAMES, "evaluate_every": FRAMES},
        "evaluation": {"suites": ["streaming"], "count": 32},
    }
)
with closing(make_environment(config)) as env:
    algorithm = make_algorithm(config.algorithm, env, config.seed)
    algorithm.set_logger(configure(folder=None, format_strings=[]))
    evaluate = HeldOutEvaluation(config, draw_held_out(config), Path("evaluation.json"))  # on other scenarios
    before = evaluate(algorithm)
    algorithm.learn(FRAMES)
    after = evaluate(algorithm)
print(f"mean cost J on 32 held-out migrations: {before:.3f} untrained, {after:.3f} after {FRAMES:,} decisions")
