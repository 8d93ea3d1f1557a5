"""Registration with Gymnasium; by name only, so that nothing heavy is imported before an environment is made."""

from __future__ import annotations

import gymnasium as gym

MIGRATION = "dqgym/Migration-v0"


def register_environments() -> None:
    """Make ``gym.make`` and ``gym.make_vec`` know dqgym's environment."""
    if MIGRATION not in gym.registry:
        gym.register(
            MIGRATION,
            entry_point="dqgym.envs.migration:MigrationEnv",
            vector_entry_point="dqgym.envs.vector:MigrationVectorEnv",
        )
