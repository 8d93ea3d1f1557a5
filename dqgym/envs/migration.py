"""The single environment: one live migration, throttled per vCPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import Float32Array
from dqgym.backends.base import Backend
from dqgym.backends.registry import make_backend
from dqgym.controller.timeline import TimelineRecorder
from dqgym.cost import TERMS
from dqgym.envs.actions import checked_actions
from dqgym.envs.arguments.checks import ScenarioChoice, scenario_of
from dqgym.envs.arguments.options import EnvironmentKeywords, refuse_unknown_arguments, resolve_options
from dqgym.envs.arguments.reset_options import SINGLE, checked_options, checked_seed, one_preference
from dqgym.envs.arguments.specs import JsonableSpec
from dqgym.envs.errors import EnvironmentClosedError, ResetNeededError
from dqgym.envs.info import final_info_of
from dqgym.envs.kernel import draw_episode
from dqgym.envs.randomisation import Randomisation
from dqgym.envs.randomised_model import RandomisedModel, require_model
from dqgym.envs.reference_page import with_tables
from dqgym.envs.reward import TERM_KEYS, charge, meter_of
from dqgym.envs.spaces import action_space, observation_space
from dqgym.errors import BadInputError
from dqgym.jit.random import streams
from dqgym.scenario import Scenario
from dqgym.telemetry.action import action_to_command
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Telemetry, VmField


@with_tables
class MigrationEnv(JsonableSpec, gym.Env[Float32Array, Float32Array]):
    """Throttle the memory writes of a virtual machine while it is migrated live.

    ## Description
    Pre-copy live migration sends a running guest's memory round by round while the guest dirties it again; it completes
    when what remains fits into the downtime limit. A guest that dirties faster than the network sends never gets there.
    The agent decides, every control interval, how much memory each vCPU may dirty. Little makes the migration short and
    the guest slow, much the other way round; vCPUs differ, and so do their phases, their working sets and the link.

    ## Action space
    ``Box(-1, 1, (V,), float32)``: for each of the V vCPU slots a dirty-rate limit in fair shares (the measured
    bandwidth over the number of vCPUs that write), on a logarithmic scale: ``0.005 * 4000 ** ((a + 1) / 2)``, so that
    -1 is 0.005, 0 is 0.32 and just below 1 is 20; 1 is no limit. A vCPU that has used up its limit stalls until its
    quota is refilled, every 10 ms. What is said for an absent slot has no effect. The numbers are those of
    ``dqgym.telemetry.action.ActionSpec``.

    ## Observation space
    ``Box(low, high, ({G} + {F} * V,), float32)``, dimensionless: first {G} features of the migration, then {F} per
    vCPU, feature by feature (V wide each). ``B`` is the bandwidth, ``T0`` = memory / B the pass time; ``squash(x)`` is
    ``min((x + 1e-4) ** 0.25 - 0.1, 6)``.

    | number | name | min | max | what |
    | --- | --- | --- | --- | --- |
    {features}

    All of it is what a real VMM can measure; hidden state of the model is never part of it.

    ## Reward
    Minus the growth of the cost J (``dqgym.cost``) in the interval, a sum of four weighted terms (``reward_weights``):
    ``time`` (T / T0), ``stall`` (preference / T0 * integral of mean_i min(5.3, -ln max(r_i, 0.005)) dt with r_i the run
    share of vCPU i), ``downtime`` (beyond its limit, as stall of all vCPUs) and ``deadline`` (the cost once more where
    the migration missed it). With all weights 1 the rewards of an episode add up to -J.

    ## Starting state
    A scenario drawn from the suite (or the one given), a preference drawn log-uniformly from its range; all memory is
    to send. The seed decides both, and everything random in the migration. With ``survey``, one has just been made
    (``dqgym.telemetry.survey``): its time has gone by, and the observation has what it found.

    ## Episode end
    Terminated when the migration completes or misses its deadline (20 T0 unless the scenario says otherwise); never
    truncated by itself. Where the scenario pauses the guest at the deadline, the episode goes on until the rest is
    sent, whatever the actions, and ``forced`` is 1 in the last ``info``. The last ``info`` holds the outcome (names in
    ``dqgym.envs.info.FINAL_INFO``); every ``info`` holds what each cost term grew by in the step: ``reward_time``,
    ``reward_stall``, ``reward_downtime`` and ``reward_deadline``.

    ## Arguments
    | name | default | what |
    | --- | --- | --- |
    {arguments}
    | ``backend`` | ``"model"`` | where the migration happens: a name or a ``Backend`` |
    | ``render_mode`` | None | ``"rgb_array"``: frames that show the migration so far |

    ```python
    import gymnasium as gym
    import dqgym

    env = gym.make("dqgym/Migration-v0", suite="phases", preference=0.2)
    envs = gym.make_vec("dqgym/Migration-v0", num_envs=1024, suite="phases")
    ```

    A reset takes ``options={"scenario": ..., "preference": ...}`` for the episode that it begins. An action that is not
    finite is an error. ``docs/gymnasium.md`` has the rest: infos, seeding, copies, specs, and snippets for libraries.

    ## Version history
    * v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        *,
        backend: str | Backend = "model",
        render_mode: str | None = None,
        **keywords: Unpack[EnvironmentKeywords],
    ) -> None:
        refuse_unknown_arguments(keywords, ("backend", "render_mode"))
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise BadInputError(f"render_mode={render_mode!r}; allowed: None, {self.metadata['render_modes']}")
        self.options = resolve_options(**keywords)
        slots = self.options.slots
        if self.options.randomisation == Randomisation():
            self.backend = make_backend(backend, self.options.parameters, slots)
        else:
            require_model(backend)
            self.backend = RandomisedModel(self.options.randomisation, slots)
        self.encoder = Encoder(slots)
        self.action_spec = self.options.action_spec
        # Gymnasium types Box by all dtypes that it might have.
        self.observation_space = observation_space(slots)  # type: ignore[assignment]
        self.action_space = action_space(slots)  # type: ignore[assignment]
        self.render_mode = render_mode
        self._streams: NDArray[np.uint64] | None = None
        self._telemetry: Telemetry | None = None
        self._recorder: TimelineRecorder | None = None
        self._closed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin another migration.

        Args:
            seed: of the scenario, the preference and all that is random; None goes on with the numbers at hand.
            options: ``scenario`` and ``preference`` of this episode in place of drawn ones, in any form that the
                arguments of these names have; what else is drawn stays. The scenario goes as it is, under the
                ``parameters`` that the environment was made with: randomisation varies neither.

        Raises:
            BadInputError: an unknown option, a scenario with more vCPUs than slots, a negative seed.
            EnvironmentClosedError: after ``close``.
        """
        if self._closed:
            raise EnvironmentClosedError("reset: the environment has been closed")
        given = checked_options(options, SINGLE)
        scenario = self._own_scenario(given["scenario"]) if "scenario" in given else None
        preference = one_preference(given["preference"]) if "preference" in given else None
        super().reset(seed=None if seed is None else checked_seed(seed))
        if seed is not None:
            self._streams = streams([seed])
        elif self._streams is None:
            self._streams = streams([int(self.np_random.integers(2**63))])
        scenarios, preferences = self.options.scenarios, self.options.preferences
        least_s, pass_times, survey_chance = self.options.survey
        episode_seed, index, drawn, surveyed = draw_episode(
            self._streams, 0, len(scenarios), *preferences, survey_chance
        )
        self._preference = drawn if preference is None else preference
        constants = self.options.constants[index] if scenario is None else self.options.parameters
        survey = ControlInterval(least_s, pass_times) if surveyed else None
        if isinstance(self.backend, RandomisedModel):
            self.backend.begin_episode(constants, self._streams)
        self._telemetry = self.backend.start([scenario or scenarios[index]], [int(episode_seed)], survey)
        facts = self.backend.facts
        self._interval_s = self.options.interval.seconds(facts)
        self._meter = meter_of(facts, self._preference)
        self._return, self._steps = 0.0, 0
        self._recorder = TimelineRecorder(facts) if self.render_mode is not None else None
        return self.encoder.reset(facts, self._preference)[0], dict.fromkeys(TERM_KEYS, 0.0)

    def step(self, action: Float32Array) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """One control interval under the limits that ``action`` [V] sets.

        Raises:
            BadActionError: an action that is not finite; the message says whose. Or another shape.
            ResetNeededError: before ``reset``, or after the end of the migration.
            EnvironmentClosedError: after ``close``.
        """
        if self._closed:
            raise EnvironmentClosedError("step: the environment has been closed")
        if self._telemetry is None:
            raise ResetNeededError("call reset before step")
        if self._telemetry.done[0]:
            raise ResetNeededError("the migration has ended: call reset")
        actions = checked_actions(action, (self.options.slots,))[None]
        bandwidth = np.ascontiguousarray(self._telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S))
        command = action_to_command(actions, bandwidth, self.encoder.writers, self.backend.facts, self.action_spec)
        telemetry = self._telemetry = self.backend.step(command, self._interval_s)
        if self._recorder is not None:
            self._recorder(self._interval_s, command, telemetry)
        observation = self.encoder.encode(telemetry)[0]

        before = dict(self._meter.terms)
        terminated = bool(telemetry.done[0])
        outcomes = self.backend.outcomes() if terminated else None
        charge(self._meter, self.backend.facts, telemetry, outcomes)
        reward = self._weighted(before) - self._weighted(self._meter.terms)
        self._return += reward
        self._steps += 1
        growth = (self._meter.terms[name] - before[name] for name in TERMS)
        info: dict[str, Any] = dict(zip(TERM_KEYS, growth, strict=True))
        if outcomes is not None:
            info |= final_info_of(outcomes, self._meter.terms, self._preference, self._return, self._steps)
        return observation, reward, terminated, False, info

    def render(self) -> NDArray[np.uint8] | None:
        """uint8 [600, 800, 3]: the migration so far."""
        from dqgym.envs.rendering.frames import draw_migration

        if self.render_mode is None:
            gym.logger.warn('render needs a render mode: gym.make("dqgym/Migration-v0", render_mode="rgb_array")')
            return None
        if self._recorder is None:
            raise ResetNeededError("call reset before render")
        return draw_migration(self._recorder.timeline())

    def close(self) -> None:
        """Release the backend; no other call is taken after it."""
        self._closed = True
        self.backend.close()

    def _own_scenario(self, given: ScenarioChoice) -> Scenario:
        """The scenario that one episode is to have."""
        scenario = scenario_of(given)
        if scenario.vcpus > self.options.slots:
            raise BadInputError(
                f"options['scenario']: {scenario.name!r} has {scenario.vcpus} vCPUs, the environment has slots for"
                f" {self.options.slots}: make it with vcpu_slots={scenario.vcpus}"
            )
        return scenario

    def _weighted(self, terms: Mapping[str, float]) -> float:
        return float(sum(weight * terms[name] for weight, name in zip(self.options.weights, TERMS, strict=True)))
