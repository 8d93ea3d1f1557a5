"""Options and seeds of a reset, calls at the wrong time, actions that are none, and copies in mid-episode."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded

import dqgym  # noqa: F401  registers the environment
from dqgym.envs import MigrationEnv, MigrationVectorEnv
from dqgym.errors import BadInputError
from dqgym.scenario import scenario_to_yaml
from dqgym.telemetry.features import Global
from tests.model.migrations import READERS, scenario, writers

SLOTS = 4
WORLD = {"suite": "mixed", "pool_size": 16, "max_vcpus": SLOTS, "vcpu_slots": SLOTS, "control_interval": "0.2 T0"}
CASE = scenario(writers("uniform", set_mb=100.0, rate_mb_per_s=0.4), memory_mb=200.0)


def single(**keywords) -> MigrationEnv:
    return MigrationEnv(**{**WORLD, **keywords})


def vector(**keywords) -> MigrationVectorEnv:
    return MigrationVectorEnv(3, **{**WORLD, **keywords})


BOTH = pytest.mark.parametrize("make", [single, vector])


def some_steps(env, count: int, actions_seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(actions_seed)
    seen = []
    for _ in range(count):
        step = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        seen += [np.asarray(each) for each in step[:4]]
        if isinstance(env, MigrationEnv) and step[2]:
            seen.append(env.reset()[0])
    return seen


def test_a_reset_takes_a_scenario_and_a_preference_for_one_episode():
    env = single()
    env.reset(seed=1, options={"scenario": CASE, "preference": 0.7})
    assert env.backend.facts.memory_bytes[0] == CASE.vm.memory_bytes
    ended = False
    while not ended:
        *_, ended, _, info = env.step(np.ones(SLOTS, dtype=np.float32))
    assert info["preference"] == 0.7
    again = single()
    again.reset(seed=1)
    np.testing.assert_array_equal(env.reset()[0], again.reset()[0])  # the draws of later episodes are as without


@pytest.mark.slow
@pytest.mark.parametrize("form", [scenario_to_yaml, lambda case: case])
@pytest.mark.parametrize("keywords", [{}, {"randomisation": {"calibration": 0.2, "measurement_noise": 0.1}}])
def test_a_scenario_that_a_reset_is_given_is_the_one_that_the_environment_is_made_with(form, keywords):
    given, made = single(**keywords), single(**{**keywords, "scenario": CASE, "suite": None, "randomisation": None})
    observation = given.reset(seed=1, options={"scenario": form(CASE), "preference": 0.3})[0]
    np.testing.assert_array_equal(observation, made.reset(seed=1, options={"preference": 0.3})[0])


def test_a_vector_takes_one_preference_or_one_for_each():
    env, plain = vector(), vector()
    drawn, same = plain.reset(seed=5)[0], env.reset(seed=5, options={"preference": 0.2})[0]
    np.testing.assert_allclose(same[:, Global.PREFERENCE], 0.0, atol=1e-6)
    others = np.arange(drawn.shape[1]) != Global.PREFERENCE
    np.testing.assert_array_equal(same[:, others], drawn[:, others])
    each = env.reset(seed=5, options={"preference": [0.2, 2.0, 0.2]})[0]
    np.testing.assert_allclose(each[:, Global.PREFERENCE], [0.0, 1.0, 0.0], atol=1e-6)
    mask = np.array([True, False, False])
    part = env.reset(options={"preference": 0.02, "reset_mask": mask})[0]
    np.testing.assert_allclose(part[:, Global.PREFERENCE], [-1.0, 1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            single,
            {"scenari": CASE},
            r"unknown reset option 'scenari' \(did you mean 'scenario'\?\); known: scenario, pr",
        ),
        (vector, {"prefrence": 0.2}, r"unknown reset option 'prefrence' \(did you mean 'preference'\?\)"),
        (vector, {"scenario": CASE}, "unknown reset option 'scenario'.*; known: reset_mask, preference"),
        (single, {"preference": -1}, "preference=-1 must be positive"),
        (single, {"preference": [0.1, 0.2]}, "must be one positive number"),
        (single, {"preference": float("nan")}, "preference=nan must be positive"),
        (vector, {"preference": [0.1, 0.2]}, "2 preferences for 3 environments"),
        (single, {"scenario": "nowhere.yaml"}, "nowhere.yaml"),
        (single, {"scenario": scenario(READERS.model_copy(update={"vcpus": 5}))}, "5 vCPUs.*slots for 4"),
        (single, "fast", "options='fast' must be a mapping"),
    ],
)
def test_reset_options_that_cannot_be_used_are_refused(make, options, message):
    with pytest.raises(BadInputError, match=message):
        make().reset(options=options)


@pytest.mark.parametrize(
    ("make", "seed", "message"),
    [
        (single, -1, "seed: -1 must be a whole number from 0"),
        (single, 1.5, r"seed: 1\.5"),
        (vector, -3, "seed: -3"),
        (vector, [1, -2, 3], r"seed\[1\]: -2 must be a whole number from 0"),
        (vector, [1, 2, True], r"seed\[2\]: True"),
        (vector, "123", r"seed\[0\]: '1'"),
    ],
)
def test_a_seed_that_is_none_is_refused(make, seed, message):
    with pytest.raises(BadInputError, match=message):
        make().reset(seed=seed)


@BOTH
def test_calls_before_a_reset_or_after_close_are_refused(make):
    env = make(render_mode="rgb_array")
    for call in (lambda: env.step(env.action_space.sample()), env.render):
        with pytest.raises(ResetNeeded, match="call reset before"):
            call()
    env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(ClosedEnvironmentError, match="step: the environment has been closed"):
        env.step(env.action_space.sample())
    with pytest.raises(ClosedEnvironmentError, match="reset: the environment has been closed"):
        env.reset()


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_not_finite_is_refused_with_its_place(make, value):
    env, twin = make(), make()
    env.reset(seed=0)
    twin.reset(seed=0)
    actions = np.zeros(env.action_space.shape, dtype=np.float32)
    actions[..., 2] = value
    place = "vCPU 2" if make is single else "environment 0, vCPU 2"
    with pytest.raises(BadInputError, match=f"action of {place}: {value} must be a finite number"):
        env.step(actions)
    with pytest.raises(InvalidAction):
        env.step(actions)
    for ours, theirs in zip(some_steps(env, 3), some_steps(twin, 3), strict=True):  # nothing has happened
        np.testing.assert_array_equal(ours, theirs)


@BOTH
def test_an_action_that_is_no_number_is_refused(make):
    env = make()
    env.reset(seed=0)
    with pytest.raises(BadInputError, match="must be numbers"):
        env.step("fast")


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
@pytest.mark.parametrize("keywords", [{}, {"render_mode": "rgb_array", "randomisation": {"late_commands": 0.3}}])
def test_a_copy_in_mid_episode_goes_on_as_the_original_does(make, duplicate, keywords):
    env = make(**keywords)
    env.reset(seed=3)
    some_steps(env, 4)
    twin = duplicate(env)
    ours = some_steps(env, 25, actions_seed=1)
    for original, copied in zip(ours, some_steps(twin, 25, actions_seed=1), strict=True):
        np.testing.assert_array_equal(original, copied)
    if env.render_mode:
        np.testing.assert_array_equal(env.render(), twin.render())
    np.testing.assert_array_equal(env.reset()[0], twin.reset()[0])


def test_a_copy_behind_gymnasiums_wrappers_keeps_their_state_too():
    env = gym.make("dqgym/Migration-v0", max_episode_steps=3, **WORLD)
    env.reset(seed=3)
    env.step(np.zeros(SLOTS, dtype=np.float32))
    twin = copy.deepcopy(env)
    for _ in range(2):
        ours, theirs = (each.step(np.zeros(SLOTS, dtype=np.float32)) for each in (env, twin))
        np.testing.assert_array_equal(ours[0], theirs[0])
    assert theirs[3]
