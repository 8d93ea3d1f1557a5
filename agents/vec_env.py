"""The bridge from a native gymnasium vector environment to Stable-Baselines3's ``VecEnv``.

Info dicts are built only for environments that ended; all others share one empty dict. For an environment that ended,
the dict holds what Stable-Baselines3 expects (``terminal_observation``, ``TimeLimit.truncated``, ``episode``) and
``outcome``: every field of the environment's ``final_info`` as a float.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv

from dqgym.errors import BadInputError
from dqgym.telemetry.features import MIDDLE_PREFERENCE, Global

Indices = int | Iterable[int] | None


RewardUnit = Callable[[np.ndarray], np.ndarray]
"""[N] for observations [N, D]: what the rewards of the next step are divided by."""


def typical_cost(observations: np.ndarray) -> np.ndarray:
    """The reward unit that makes relative gains at all preferences c weigh alike: 1 + c.

    A good rule costs about that much on the training's migrations (`dqgym tune tuned-rule`: 1.36 at 0.2, 1.70 at 0.6).
    It is constant over an episode, so no episode's optimum changes. Without it the gentle preferences, whose costs are
    larger, would decide what is learned.
    """
    return 1.0 + MIDDLE_PREFERENCE * 10.0 ** observations[:, Global.PREFERENCE].astype(float)


def _training_space(env: Any, has_hidden: bool) -> spaces.Box:
    """The space for Stable-Baselines3: the observation, and the hidden state behind it where there is one."""
    own = env.single_observation_space
    if not has_hidden:
        return own
    hidden = env.single_hidden_space
    return spaces.Box(np.concatenate((own.low, hidden.low)), np.concatenate((own.high, hidden.high)), dtype=np.float32)


class Sb3VecEnv(VecEnv):
    """Lets Stable-Baselines3 train on a ``gymnasium.vector.VectorEnv`` that resets in the same step.

    Observations are the environment's own, or, where it gives its hidden state for a critic, these with the hidden
    state behind them: [N, D + D_hidden].

    Args:
        env: its ``infos["final_obs"]`` and ``infos["final_info"]`` hold arrays over all environments, valid where
            ``infos["_final_info"]`` is set; ``final_info`` has at least ``episode_return`` and ``episode_steps``.
        reward_unit: scales the rewards; None hands them on as they are.

    Raises:
        BadInputError: the environment does not reset in the same step.
    """

    def __init__(self, env: VectorEnv, reward_unit: RewardUnit | None = None) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise BadInputError(
                f"autoreset_mode is {mode!r}; Stable-Baselines3 needs AutoresetMode.SAME_STEP: "
                "make the environment with autoreset_mode=AutoresetMode.SAME_STEP"
            )
        self.env = env
        self._has_hidden = bool(getattr(env, "hidden_state", False))
        super().__init__(env.num_envs, _training_space(env, self._has_hidden), env.single_action_space)
        self._actions: np.ndarray | None = None
        self._raw_observations = np.empty(0, dtype=np.float32)
        self._reward_unit = reward_unit
        self._start_time_s = time.monotonic()

    def reset(self) -> np.ndarray:
        """[N, D] the first observations, under the seed and the options set before."""
        # Stable-Baselines3 numbers the seeds seed, seed + 1, ...: exactly what gymnasium makes of the first one.
        observations, infos = self.env.reset(seed=self._seeds[0], options=self._options[0] or None)
        self._reset_seeds()
        self._reset_options()
        return self._first(observations, infos)

    def begin(self, seeds: Sequence[int]) -> np.ndarray:
        """[N, D] the first observations of new migrations everywhere: those of equal seeds are alike."""
        observations, infos = self.env.reset(seed=list(seeds))  # type: ignore[arg-type]  # gymnasium's own environments take lists
        return self._first(observations, infos)

    def leave_out(self, mask: np.ndarray) -> None:
        """Leave environments, bool [N], out of the steps that follow; only migrations can be.

        Until the next ``begin``: their rewards and observations are 0.
        """
        self.env.leave_out(mask)  # type: ignore[attr-defined]

    def _first(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """The part of a reset's observations that is handed on."""
        self._raw_observations = observations
        return self._with_hidden(observations, infos) if self._has_hidden else observations.copy()

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions [N, A] for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all environments: observations [N, D], rewards [N], dones [N], one info dict each."""
        observations, rewards, terminated, truncated, infos = self.env.step(self._actions)
        dones = terminated | truncated
        if self._reward_unit is not None:
            rewards = rewards / self._reward_unit(self._raw_observations)
        observations = self._own(observations)
        if self._has_hidden:
            observations = self._with_hidden(observations, infos)
        return observations, rewards, dones, self._info_dicts(infos, truncated & ~terminated)

    @staticmethod
    def _with_hidden(observations: np.ndarray, infos: dict[str, Any], prefix: str = "") -> np.ndarray:
        return np.concatenate((observations, infos[f"{prefix}hidden_state"]), axis=1)

    def _own(self, observations: np.ndarray) -> np.ndarray:
        """Copies only when the environment writes every step into the same buffer: the caller keeps the last one."""
        reused = np.may_share_memory(observations, self._raw_observations)
        self._raw_observations = observations
        return observations.copy() if reused else observations

    def _info_dicts(self, infos: dict[str, Any], cut: np.ndarray) -> list[dict[str, Any]]:
        nothing: dict[str, Any] = {}
        dicts = [nothing] * self.num_envs
        if "final_info" not in infos:
            return dicts
        ended = np.flatnonzero(infos["_final_info"])
        final_info, final_obs = infos["final_info"], infos["final_obs"]
        if self._has_hidden:
            final_obs = self._with_hidden(final_obs, infos, "final_")
        fields = [name for name in final_info if not name.startswith("_")]
        rows = zip(*(np.asarray(final_info[name], dtype=float)[ended].tolist() for name in fields), strict=True)
        elapsed_s = time.monotonic() - self._start_time_s
        for index, row in zip(ended.tolist(), rows, strict=True):
            outcome = dict(zip(fields, row, strict=True))
            dicts[index] = {
                "terminal_observation": final_obs[index],
                "TimeLimit.truncated": bool(cut[index]),
                "episode": {"r": outcome["episode_return"], "l": int(outcome["episode_steps"]), "t": elapsed_s},
                "outcome": outcome,
            }
        return dicts

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """The vector environment's attribute, once for every environment asked for."""
        return [getattr(self.env, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of the vector environment, for all its environments."""
        self._refuse_subset(f"set_attr({attr_name!r})", indices)
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment once; its result, once for every environment."""
        self._refuse_subset(f"env_method({method_name!r})", indices)
        return [getattr(self.env, method_name)(*method_args, **method_kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type, indices: Indices = None) -> list[bool]:
        """Never: a native vector environment holds no single environments that could be wrapped."""
        return [False] * self._count(indices)

    def get_images(self) -> list[np.ndarray | None]:
        """One rendered frame for each environment that the vector environment renders."""
        frames: Any = self.env.render()
        return list(frames or ())

    def _count(self, indices: Indices) -> int:
        return len(list(self._get_indices(indices)))

    def _refuse_subset(self, call: str, indices: Indices) -> None:
        if self._count(indices) != self.num_envs:
            raise BadInputError(
                f"{call}: indices={indices!r}, but a native vector environment has one state for all: None"
            )
