"""The vector environment: N migrations in one compiled kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Unpack

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dqgym.arrays import BoolArray, Float32Array, FloatArray
from dqgym.cost import TERMS
from dqgym.envs.actions import checked_actions
from dqgym.envs.arguments.checks import whole_number
from dqgym.envs.arguments.options import EnvironmentKeywords, refuse_unknown_arguments, resolve_options
from dqgym.envs.arguments.reset_options import (
    VECTOR,
    checked_options,
    checked_seed,
    is_mask,
    mask_of,
    preferences_of_each,
)
from dqgym.envs.arguments.specs import JsonableSpec
from dqgym.envs.errors import EnvironmentClosedError, ResetNeededError
from dqgym.envs.hidden import hidden_size, hidden_space
from dqgym.envs.info import FINAL_INFO, FinalInfo, with_masks
from dqgym.envs.kernel import final_info_where, reset_where, step_all
from dqgym.envs.rendering.vector_frames import VectorRecorder
from dqgym.envs.reward import TERM_KEYS
from dqgym.envs.spaces import action_space, observation_space
from dqgym.errors import BadInputError
from dqgym.jit.lane_rows import LANES, blocks_for, column_of, in_columns
from dqgym.jit.random import streams
from dqgym.model.layout import VM_GROWN, Vcpu, Vm
from dqgym.model.pool import pack_scenarios
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.encoding import TILE_ROWS, FactColumn, VmState

_OWN_ARGUMENTS = ("num_envs", "max_episode_steps", "autoreset_mode", "render_mode", "hidden_state")


class MigrationVectorEnv(JsonableSpec, VectorEnv):
    """N migrations side by side; ``gym.make_vec("dqgym/Migration-v0", num_envs=N)``.

    The mathematics, the spaces, the reward and the keyword arguments are those of
    ``dqgym.envs.migration.MigrationEnv``, whose docstring is the reference page; the model is the only backend. Number
    for number, environment i of a vector that was reset with seed s is the single environment reset with seed s + i.

    Besides, it has ``max_episode_steps`` (episodes are truncated after so many steps), ``autoreset_mode``,
    ``render_mode`` (``"rgb_array"``: a tuple of N frames) and ``hidden_state`` (below).

    ``infos`` are those of Gymnasium's ``SyncVectorEnv`` of single environments: ``infos["cost"]`` [N] counts where the
    mask ``infos["_cost"]`` [N] is true, and so do all others. In every step these are the reward terms
    (``reward_time``, ...); where an episode is over also the outcome (names in ``FINAL_INFO``), of a truncated one how
    far it has come.

    Autoreset: with ``NEXT_STEP`` an environment that ended begins its next episode in the following step, which ignores
    its action and gives reward 0. With ``SAME_STEP`` it begins in the same step; what it was at its end is in
    ``infos["final_obs"]`` float32 [N, D], where ``infos["_final_obs"]`` [N] is true, and in ``infos["final_info"]``.
    With ``DISABLED`` the caller resets, with ``options={"reset_mask": mask}``.

    ``hidden_state=True`` adds ``infos["hidden_state"]`` float32 [N, P + Q * V] (``dqgym.envs.hidden``) to every reset
    and step, for a critic in training, and with ``SAME_STEP`` ``infos["final_hidden_state"]`` where environments ended.

    ``leave_out`` lets environments stand still while others go on.

    Pickling and deepcopy keep the state in mid-episode.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        hidden_state: bool = False,
        **keywords: Unpack[EnvironmentKeywords],
    ) -> None:
        self.num_envs = whole_number("num_envs", num_envs, least=1)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise BadInputError(f"render_mode={render_mode!r}; allowed: None, {self.metadata['render_modes']}")
        if (backend := dict(keywords).pop("backend", "model")) != "model":
            raise BadInputError(f"backend={backend!r}: a vector environment runs on the model, the single one on any")
        keywords.pop("backend", None)  # type: ignore[typeddict-item]
        refuse_unknown_arguments(keywords, _OWN_ARGUMENTS)
        self.options = resolve_options(**keywords)
        self._most_steps = most_steps_of(max_episode_steps)
        self.autoreset_mode = autoreset_mode_of(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        slots = self.options.slots
        self.encoder = Encoder(slots)
        self.action_spec = self.options.action_spec
        self.single_observation_space = observation_space(slots)
        self.single_hidden_space = hidden_space(slots)
        self.single_action_space = action_space(slots)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.hidden_state = hidden_state
        self._make_arrays(self.num_envs, slots)
        self._recorder = None if render_mode is None else VectorRecorder(self.num_envs)

    def _make_arrays(self, n: int, slots: int) -> None:
        self._slots = (0,) * slots
        self._actions_shape = (n, slots)
        self._randomised = self.options.randomisation.of_steps
        pool = pack_scenarios(self.options.scenarios, self.options.constants, slots)
        self._pool = (pool.vcpu, pool.vm, pool.table_times, pool.table_values)
        self._vcpu = np.zeros((n, len(Vcpu), slots), dtype=np.float32)
        self._vm = np.zeros((blocks_for(n), len(Vm), LANES))
        self._streams: NDArray[np.uint64] | None = None
        self._migration_streams = np.zeros(n, dtype=np.uint64)
        self._encoder_state = (
            np.zeros((blocks_for(n), len(FactColumn), LANES)),
            np.zeros((n, TILE_ROWS, slots), dtype=np.float32),
            np.zeros((blocks_for(n), len(VmState), LANES)),
        )
        self._final_observations = np.zeros((n, self.encoder.observation_size), dtype=np.float32)
        self._final_info = np.zeros((n, len(FINAL_INFO)))
        self._observations = np.zeros((n, self.encoder.observation_size), dtype=np.float32)
        self._hidden_size = hidden_size(slots) if self.hidden_state else 0
        self._hidden = np.zeros((n, self._hidden_size), dtype=np.float32)
        self._final_hidden = np.zeros((n, self._hidden_size), dtype=np.float32)
        self._ended = np.zeros(n, dtype=bool)
        self._nobody = np.zeros(n, dtype=bool)
        self._everybody = np.ones(n, dtype=bool)
        self._left_out = self._nobody

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: s seeds environment i with s + i; a list gives each its own; None goes on with the random numbers at
                hand.
            options: ``reset_mask`` bool [N]: only where it is true, the others stay as they are. ``preference``: of the
                episodes that begin, one for all or a list of N, in place of drawn ones; what else is drawn stays.

        Raises:
            BadInputError: an unknown option, a seed that is negative or none, or a list or a mask of another length.
            EnvironmentClosedError: after ``close``.
        """
        if self.closed:
            raise EnvironmentClosedError("reset: the environment has been closed")
        given = checked_options(options, VECTOR)
        mask = mask_of(given, self.num_envs)
        preferences = preferences_of_each(given["preference"], self.num_envs) if "preference" in given else None
        self._seed(seed, mask)
        self._observations = self._observations.copy()
        self._hidden = self._hidden.copy()
        if preferences is None:
            self._begin(mask, self.options.preferences)
        else:
            for preference in np.unique(preferences[mask]).tolist():
                self._begin(mask & (preferences == preference), (preference, preference))
        self._ended = self._ended & ~mask
        self._left_out = self._left_out & ~mask
        if self._recorder is not None:
            self._recorder.begin(mask, self._vcpu, self._vm)
        infos = with_masks(TERM_KEYS, np.zeros((len(TERMS), self.num_envs)), mask.copy())
        if self.hidden_state:
            infos |= {"hidden_state": self._hidden, "_hidden_state": np.ones(self.num_envs, dtype=bool)}
        return self._observations, infos

    def leave_out(self, mask: BoolArray) -> None:
        """Leave environments out of the steps that follow, until they are reset or this is called again.

        They stand still, whatever their actions; their rewards are 0, and their rows of observations, too. What others
        do is the same, bit for bit, and a step takes less time.

        Args:
            mask: bool [N] which ones; those that were left out before, and are no more, go on where they were.

        Raises:
            BadInputError: another type or length.
        """
        if not is_mask(mask, self.num_envs):
            raise BadInputError(f"leave_out: the mask must be bool [{self.num_envs}], not {mask!r}")
        self._left_out = mask.copy()

    def step(self, actions: Float32Array) -> tuple[Float32Array, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """One control interval of every migration, for actions [N, V] in [-1, 1].

        Raises:
            BadActionError: an action that is not finite; the message says whose. Or another shape.
            ResetNeededError: before ``reset``, or, with autoreset disabled, where an environment has ended.
            EnvironmentClosedError: after ``close``.
        """
        if self._streams is None or self.closed:
            self._refuse("step")
        actions = checked_actions(actions, self._actions_shape)
        left_out = self._left_out
        ended_before = self._ended & ~left_out
        if self.autoreset_mode == AutoresetMode.DISABLED and ended_before.any():
            waiting = np.flatnonzero(ended_before).tolist()
            raise ResetNeededError(f"environments {waiting} have ended: reset them, with reset_mask")
        n = self.num_envs
        # Zeros for those left out, which the kernel does not observe; of that size, they cost no more than np.empty.
        observations = self._observations = np.zeros((n, self.encoder.observation_size), dtype=np.float32)
        hidden = self._hidden = np.zeros((n, self._hidden_size), dtype=np.float32)
        terminated = np.zeros(n, dtype=bool)
        same_step = self.autoreset_mode == AutoresetMode.SAME_STEP
        begin_now = ended_before if self.autoreset_mode == AutoresetMode.NEXT_STEP else self._nobody
        if begin_now.any():
            self._begin(begin_now, self.options.preferences)
        any_ended = step_all(
            self._vcpu, self._vm, self._streams, self._migration_streams, self._encoder_state, self._slots,
            self._pool[2:], self.options.parameters, self._randomised, actions, self.action_spec.log_range,
            self.options.interval.least_s, self.options.interval.pass_times, self.options.weights, begin_now | left_out,
            observations, hidden, terminated, self._final_info,
        )  # fmt: skip
        rewards, terms = column_of(self._vm, Vm.REWARD, n), in_columns(self._vm, n, VM_GROWN)
        if same_step and any_ended:
            self._begin_after(terminated)
        truncated: BoolArray = self._nobody.copy()
        ended: BoolArray = terminated
        if self._most_steps is not None:
            truncated = self._truncate(terminated, same_step)
            ended = terminated | truncated
            any_ended = ended.any()
        infos = self._infos(terms, ended, same_step) if any_ended else self._running_infos(terms)
        if not same_step:
            self._ended = ended | (self._ended & left_out)
        if self._recorder is not None:
            begun = ended if same_step else begin_now
            self._recorder.note(~(begun | left_out), self._vcpu, self._vm)
            self._recorder.begin(begun, self._vcpu, self._vm)
        return observations, rewards, terminated, truncated, infos

    def pieces_per_step(self) -> float:
        """Pieces of rounds that a step of the episodes so far has taken, on average: what its time goes by.

        A piece ends with each event: a sync, a new bandwidth, the end of the interval.
        """
        steps = column_of(self._vm, Vm.STEPS, self.num_envs).sum()
        return float(column_of(self._vm, Vm.PIECES, self.num_envs).sum() / max(steps, 1.0))

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The migrations so far, one frame uint8 [600, 800, 3] of each."""
        if self._recorder is None:
            gym.logger.warn('render needs a render mode: gym.make_vec(..., render_mode="rgb_array")')
            return None
        if self._streams is None or self.closed:
            self._refuse("render")
        return self._recorder.frames()

    def _refuse(self, call: str) -> NoReturn:
        if self.closed:
            raise EnvironmentClosedError(f"{call}: the environment has been closed")
        raise ResetNeededError(f"call reset before {call}")

    def _begin(self, mask: BoolArray, preferences: tuple[float, float]) -> None:
        """Begin other episodes wherever ``mask`` [N] says so."""
        reset_where(
            mask, self._vcpu, self._vm, self._streams, self._migration_streams, self._encoder_state, self._slots,
            self._pool, preferences, self.options.survey, self._randomised, self._observations, self._hidden,
        )  # fmt: skip

    def _truncate(self, terminated: BoolArray, same_step: bool) -> BoolArray:
        """[N] whose episodes have had all their steps; those that the kernel left running are brought to their end."""
        ended_after = self._final_info[:, FinalInfo.EPISODE_STEPS]
        truncated: BoolArray = (
            np.where(terminated, ended_after, column_of(self._vm, Vm.STEPS, self.num_envs)) >= self._most_steps
        )
        truncated &= ~self._left_out
        cut = truncated & ~terminated
        if cut.any():
            final_info_where(cut, self._vcpu, self._vm, self._final_info, self._slots)
            if same_step:
                self._begin_after(cut)
        return truncated

    def _begin_after(self, ended: BoolArray) -> None:
        """Keep what was observed at the ends of episodes, and begin others."""
        self._final_observations[ended] = self._observations[ended]
        self._final_hidden[ended] = self._hidden[ended]
        self._begin(ended, self.options.preferences)

    def _running_infos(self, terms: FloatArray) -> dict[str, Any]:
        """Of a step in which all environments are in mid-episode, or begin one."""
        infos = with_masks(TERM_KEYS, terms, self._everybody.copy())
        if self.hidden_state:
            infos |= {"hidden_state": self._hidden, "_hidden_state": np.ones(self.num_envs, dtype=bool)}
        return infos

    def _infos(self, terms: FloatArray, ended: BoolArray, same_step: bool) -> dict[str, Any]:
        """Of a step in which episodes ended."""
        over, places = ended.copy(), np.flatnonzero(ended)
        numbers = self._final_info.copy()
        self._final_info[places] = 0.0  # so that the next copy has nothing but the next outcomes
        outcomes = with_masks(FINAL_INFO, numbers.T, over)
        if not same_step:
            return self._running_infos(terms) | outcomes
        last = np.zeros_like(terms)
        last[:, places] = terms[:, places]
        terms[:, places] = 0.0
        infos = self._running_infos(terms) | {
            "final_obs": self._final_observations.copy(), "_final_obs": over,
            "final_info": with_masks(TERM_KEYS, last, over) | outcomes, "_final_info": over,
        }  # fmt: skip
        if self.hidden_state:
            infos |= {"final_hidden_state": self._final_hidden.copy(), "_final_hidden_state": over}
        return infos

    def _seed(self, seed: int | Sequence[int | None] | None, mask: BoolArray) -> None:
        if seed is not None and not isinstance(seed, Sequence | np.ndarray):
            first = checked_seed(seed)
            super().reset(seed=first)
            seed = [first + i for i in range(self.num_envs)]
        if seed is not None and len(seed) != self.num_envs:
            raise BadInputError(f"seed: {len(seed)} seeds for {self.num_envs} environments")
        given = [(i, checked_seed(each, f"seed[{i}]")) for i, each in enumerate(seed or ()) if each is not None]
        if self._streams is None:
            self._streams = streams(self.np_random.integers(2**63, size=self.num_envs))
        for i, each in given:
            if mask[i]:
                self._streams[i] = streams([each])[0]


def most_steps_of(max_episode_steps: int | None) -> int | None:
    """After how many steps episodes are truncated; -1 is none to ``gym.make``, too."""
    if max_episode_steps is None or max_episode_steps == -1:
        return None
    return whole_number("max_episode_steps", max_episode_steps, least=1)


def autoreset_mode_of(given: AutoresetMode | str) -> AutoresetMode:
    """The mode of that value. BadInputError for an unknown one."""
    try:
        return AutoresetMode(given)
    except ValueError as error:
        modes = ", ".join(repr(mode.value) for mode in AutoresetMode)
        raise BadInputError(f"autoreset_mode={given!r} must be an AutoresetMode or one of {modes}") from error
