"""CartPole as others step it: what the rates of this package's environment are held against.

======================  ===============================  ============================================================
``CartPoleVectorEnv``   Gymnasium                        NumPy, one process; always measured
``envpool``             ``pip install 'dqgym[bench]'``   C++, here with one thread
``gymnax``              ``pip install 'dqgym[bench]'``   compiled by JAX for the CPU; observations stay JAX arrays
======================  ===============================  ============================================================
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from dqgym.installed import is_installed
from experiments.bench.stepper import Steppable, Stepper

BATCHES = 16
"""Of random actions: drawing them is not the environment's work."""
GYMNASIUM = "CartPoleVectorEnv"
_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def _gymnasium(n_envs: int) -> Steppable:
    return gym.make_vec("CartPole-v1", num_envs=n_envs, vectorization_mode="vector_entry_point")


class _Envpool:
    """envpool's, whose ``reset`` takes its seed when it is made."""

    def __init__(self, n_envs: int) -> None:
        import envpool

        self.num_envs = n_envs
        self._env = envpool.make("CartPole-v1", env_type="gymnasium", num_envs=n_envs, num_threads=1, seed=0)
        self.step: Callable[[Any], Any] = self._env.step

    def reset(self, *, seed: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # its spaces, made here, have bounds that Gymnasium rounds
            return self._env.reset()


class _Gymnax:
    """gymnax's, N of them in one compiled function that also draws the random numbers of resets."""

    def __init__(self, n_envs: int) -> None:
        # Read when JAX is loaded first: with more threads, others than this one would do the work.
        os.environ.setdefault("XLA_FLAGS", _ONE_THREAD)
        import gymnax
        import jax

        self.num_envs = n_envs
        env, parameters = gymnax.make("CartPole-v1")

        def reset_all(key: Any) -> Any:
            key, used = jax.random.split(key)
            _, states = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(used, n_envs), parameters)
            return key, states

        def step_all(key: Any, states: Any, actions: Any) -> Any:
            key, used = jax.random.split(key)
            step = jax.vmap(env.step, in_axes=(0, 0, 0, None))
            observations, states, rewards, *ended, _ = step(jax.random.split(used, n_envs), states, actions, parameters)
            return key, states, (observations, rewards, ended)

        self._jax, self._reset, self._step = jax, jax.jit(reset_all), jax.jit(step_all)

    def reset(self, *, seed: int) -> Any:
        self._key, self._states = self._reset(self._jax.random.key(seed))

    def step(self, actions: Any) -> Any:
        self._key, self._states, seen = self._step(self._key, self._states, actions)
        return self._jax.block_until_ready(seen)


_KINDS: dict[str, tuple[str, Callable[[int], Steppable]]] = {
    GYMNASIUM: ("gymnasium", _gymnasium),
    "envpool": ("envpool", _Envpool),
    "gymnax": ("gymnax", _Gymnax),
}
"""The module and the maker of each kind."""


def cartpoles(n_envs: int) -> dict[str, Stepper]:
    """N CartPoles of each kind that is installed here."""
    actions = np.random.default_rng(0).integers(0, 2, (BATCHES, n_envs))
    return {
        kind: Stepper(make(n_envs), list(actions.astype(np.int32)))
        for kind, (module, make) in _KINDS.items()
        if is_installed(module)
    }


def missing_kinds() -> list[str]:
    """Kinds that are not installed."""
    return [kind for kind, (module, _) in _KINDS.items() if not is_installed(module)]
