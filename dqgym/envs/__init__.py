"""The Gymnasium environments."""

from dqgym.envs.migration import MigrationEnv
from dqgym.envs.vector import MigrationVectorEnv

__all__ = ["MigrationEnv", "MigrationVectorEnv"]
