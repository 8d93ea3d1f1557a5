"""The vector environment: N migrations in one compiled kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dqgym.envs.hidden import hidden_size, hidden_space
from dqgym.envs.info import FINAL_INFO, final_info_columns
from dqgym.envs.kernel import reset_where, step_all
from dqgym.envs.options import EnvironmentKeywords, resolve_options
from dqgym.envs.spaces import action_space, observation_space
from dqgym.errors import BadInputError
from dqgym.model.layout import Vcpu, Vm
from dqgym.model.pool import pack_scenarios
from dqgym.random import streams
from dqgym.telemetry.encoder import Encoder, FactColumn, Row, VmState
from dqgym.telemetry.telemetry import BoolArray, Float32Array, FloatArray


class MigrationVectorEnv(VectorEnv, EzPickle):
    """N migrations side by side; ``gym.make_vec("dqgym/Migration-v0", num_envs=N)``.

    The mathematics, the spaces, the reward and the keyword arguments are those of
    ``dqgym.envs.migration.MigrationEnv``, whose docstring is the reference page; the model is the only backend. Number
    for number, environment i of a vector that was reset with seed s is the single environment reset with seed s + i.

    Autoreset: with ``SAME_STEP`` an environment that ends begins its next episode in the same step, and
    ``infos["final_obs"]`` float32 [N, D] and ``infos["final_info"]`` (arrays [N], names in ``FINAL_INFO``) hold what
    it was at its end where ``infos["_final_obs"]`` and ``infos["_final_info"]`` [N] are true. With ``NEXT_STEP`` it
    begins in the following step, which ignores its action and gives reward 0; ``final_info`` comes with the step that
    ended it.
    The keys are absent where nothing ended. ``hidden_state=True`` adds ``infos["hidden_state"]`` float32 [N, P + Q * V]
    (``dqgym.envs.hidden``) to every reset and step, for a critic in training, and with ``SAME_STEP``
    ``infos["final_hidden_state"]`` where environments ended. With ``DISABLED`` the caller resets, with
    ``options={"reset_mask": mask}``.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        hidden_state: bool = False,
        **keywords: Unpack[EnvironmentKeywords],
    ) -> None:
        EzPickle.__init__(
            self, num_envs, autoreset_mode=autoreset_mode, render_mode=render_mode, hidden_state=hidden_state,
            **keywords,
        )  # fmt: skip
        if num_envs < 1:
            raise BadInputError(f"num_envs={num_envs!r} must be at least 1")
        if render_mode is not None:
            raise BadInputError(f"render_mode={render_mode!r}: only the single environment is rendered")
        self.options = resolve_options(**keywords)
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = None
        slots = self.options.slots
        self.encoder = Encoder(slots)
        self.action_spec = self.options.action_spec
        self.single_observation_space = observation_space(slots)
        self.single_hidden_space = hidden_space(slots)
        self.single_action_space = action_space(slots)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self._slots = (0,) * slots
        self._randomised = self.options.randomisation.of_steps
        pool = pack_scenarios(self.options.scenarios, self.options.constants, slots)
        self._pool = (pool.vcpu, pool.vm, pool.table_times, pool.table_values)
        self._vcpu = np.zeros((num_envs, len(Vcpu), slots), dtype=np.float32)
        self._vm = np.zeros((num_envs, len(Vm)))
        self._streams: NDArray[np.uint64] | None = None
        self._migration_streams = np.zeros(num_envs, dtype=np.uint64)
        self._encoder_state = (
            np.zeros((num_envs, len(FactColumn))),
            np.zeros((num_envs, len(Row), slots), dtype=np.float32),
            np.zeros((num_envs, len(VmState))),
        )
        self._final_observations = np.zeros((num_envs, self.encoder.observation_size), dtype=np.float32)
        self._final_info = np.zeros((num_envs, len(FINAL_INFO)))
        self._observations = np.zeros((num_envs, self.encoder.observation_size), dtype=np.float32)
        self.hidden_state = hidden_state
        self._hidden = self._no_hidden_state()
        self._final_hidden = self._no_hidden_state()
        self._ended = np.zeros(num_envs, dtype=bool)
        self._nobody = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin new episodes; ``options={"reset_mask": bool [N]}`` only where it is true: the others stay as they are.

        ``seed``: s seeds environment i with s + i; a list gives each its own; None goes on with the random numbers at
        hand. BadInputError where a list or a mask has another length.
        """
        mask = self._reset_mask(options)
        self._seed(seed, mask)
        observations = self._observations = self._observations.copy()
        hidden = self._hidden = self._hidden.copy()
        reset_where(
            mask, self._vcpu, self._vm, self._streams, self._migration_streams, self._encoder_state, self._slots,
            self._pool, self.options.preferences, self.options.survey, self._randomised, observations, hidden,
        )  # fmt: skip
        self._ended = self._ended & ~mask
        return observations, {"hidden_state": hidden} if self.hidden_state else {}

    def step(self, actions: Float32Array) -> tuple[Float32Array, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """One control interval of every migration, for actions [N, V] in [-1, 1]."""
        if self._streams is None:
            raise RuntimeError("call reset before step")
        actions = np.asarray(actions, dtype=np.float32)
        if actions.shape != self.action_space.shape:
            raise BadInputError(f"actions have shape {actions.shape}, must have {self.action_space.shape}")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            raise RuntimeError(f"environments {np.flatnonzero(self._ended)} have ended: reset them, with reset_mask")
        n = self.num_envs
        observations = self._observations = np.empty((n, self.encoder.observation_size), dtype=np.float32)
        hidden = self._hidden = self._no_hidden_state()
        rewards, terminated = np.empty(n), np.empty(n, dtype=bool)
        same_step = self.autoreset_mode == AutoresetMode.SAME_STEP
        ended_before = self._ended if self.autoreset_mode == AutoresetMode.NEXT_STEP else self._nobody
        ended = step_all(
            self._vcpu, self._vm, self._streams, self._migration_streams, self._encoder_state, self._slots,
            self._pool, self.options.preferences, self.options.survey, self.options.parameters,
            self._randomised, np.ascontiguousarray(actions), self.action_spec.log_range,
            self.options.interval.least_s, self.options.interval.pass_times,
            self.options.weights, same_step, ended_before,
            observations, hidden, rewards, terminated, self._final_observations, self._final_hidden, self._final_info,
        )  # fmt: skip
        infos: dict[str, Any] = {}
        if ended:
            infos = {"final_info": final_info_columns(self._final_info.copy()), "_final_info": terminated.copy()}
            if same_step:
                infos |= {"final_obs": self._final_observations.copy(), "_final_obs": terminated.copy()}
        if self.hidden_state:
            infos["hidden_state"] = hidden
            if ended and same_step:
                infos["final_hidden_state"] = self._final_hidden.copy()
        if not same_step:
            self._ended = terminated.copy()
        return observations, rewards, terminated, np.zeros(n, dtype=bool), infos

    def _no_hidden_state(self) -> Float32Array:
        """float32 [N, P + Q * V] zeros, or [N, 0] where nobody asks for the hidden state."""
        size = hidden_size(self.options.slots) if self.hidden_state else 0
        return np.zeros((self.num_envs, size), dtype=np.float32)

    def _reset_mask(self, options: dict[str, Any] | None) -> BoolArray:
        if options is None or "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=bool)
        mask = np.asarray(options["reset_mask"])
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise BadInputError(
                f"options['reset_mask'] must be bool [{self.num_envs}] with at least one True, not {mask!r}"
            )
        return mask

    def _seed(self, seed: int | Sequence[int | None] | None, mask: BoolArray) -> None:
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))
            seed = [int(seed) + i for i in range(self.num_envs)]
        if seed is not None and len(seed) != self.num_envs:
            raise BadInputError(f"seed: {len(seed)} seeds for {self.num_envs} environments")
        if self._streams is None:
            self._streams = streams(self.np_random.integers(2**63, size=self.num_envs))
        if seed is not None:
            given = [i for i in range(self.num_envs) if seed[i] is not None and mask[i]]
            self._streams[given] = streams(int(seed[i]) for i in given)  # type: ignore[arg-type]
