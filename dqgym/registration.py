"""Registration with Gymnasium, by name only: now where Gymnasium is loaded already, else as soon as somebody loads it.

Importing it takes longer than all that a controller needs, and a light installation has none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MIGRATION = "dqgym/Migration-v0"
_GYMNASIUM = "gymnasium"


def register_environments() -> None:
    """Make ``gym.make`` and ``gym.make_vec`` know dqgym's environment; imports nothing."""
    if _GYMNASIUM in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterGymnasium())


def _register() -> None:
    import gymnasium as gym

    if MIGRATION not in gym.registry:
        gym.register(
            MIGRATION,
            entry_point="dqgym.envs.migration:MigrationEnv",
            vector_entry_point="dqgym.envs.vector:MigrationVectorEnv",
        )


class _AfterGymnasium(MetaPathFinder):
    """Finds Gymnasium where the other finders find it, and registers the environment when it has been loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The others' specification of Gymnasium; None for everything else."""
        if fullname != _GYMNASIUM:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._register_after(spec)
        return spec

    def _register_after(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        assert loader is not None
        load = loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            sys.meta_path.remove(self)
            _register()

        loader.exec_module = load_and_register  # type: ignore[method-assign]
