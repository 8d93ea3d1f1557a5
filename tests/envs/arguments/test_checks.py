"""Arguments in all their forms, and specs that JSON can hold."""

import json
from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium.envs.registration import EnvSpec

import dqgym  # noqa: F401  registers the environment
from dqgym.envs.arguments.checks import action_spec_of, interval_of, parameters_from, scenario_of
from dqgym.envs.arguments.options import resolve_options
from dqgym.envs.randomisation import Randomisation
from dqgym.errors import BadInputError
from dqgym.model.parameters import DEFAULT_FILE, DEFAULT_PARAMETERS
from dqgym.scenario import save_scenario, scenario_to_yaml
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import ControlInterval
from tests.model.migrations import scenario, writers

ID = "dqgym/Migration-v0"
SLOTS = 4
CASE = scenario(writers("uniform", set_mb=100.0, rate_mb_per_s=0.4), memory_mb=200.0)
POOL = {"suite": "mixed", "pool_size": 8, "max_vcpus": SLOTS, "vcpu_slots": SLOTS}
EVERY_ARGUMENT = [
    {"scenario": CASE, "vcpu_slots": SLOTS},
    {**POOL, "suite": {"mixed": 1.0, "phases": 2.0}, "max_memory_bytes": 64e9, "pool_seed": 3},
    {**POOL, "preference": (0.1, 0.5), "reward_weights": {"stall": 2.0}},
    {**POOL, "preference": np.float64(0.3), "pool_size": np.int64(8)},
    {**POOL, "control_interval": ControlInterval(0.2, 0.1), "survey": ControlInterval(0.0, 0.02), "survey_chance": 0.5},
    {**POOL, "action_spec": ActionSpec(0.01, 10.0)},
    {**POOL, "parameters": DEFAULT_PARAMETERS._replace(fault_s=3e-6)},
    {**POOL, "parameters": DEFAULT_FILE},
    {**POOL, "randomisation": Randomisation(calibration=0.1, latency=(0.1, 0.3))},
]


def first_steps(env) -> list:
    """What an environment gives at first: numbers of its scenario, its telemetry and its rewards."""
    seen = [env.reset(seed=3)[0]]
    for _ in range(5):
        observation, reward, *_ = env.step(np.full(env.action_space.shape, -0.3, dtype=np.float32))
        seen += [observation, np.asarray(reward)]
    return seen


def assert_alike(first, second) -> None:
    for ours, theirs in zip(first_steps(first), first_steps(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("keywords", EVERY_ARGUMENT, ids=lambda keywords: ",".join(keywords))
def test_a_spec_goes_through_json_with_every_argument(keywords):
    env = gym.make(ID, **keywords)
    text = env.spec.to_json()
    json.loads(text)
    assert_alike(gym.make(EnvSpec.from_json(text)), env)


def test_the_spec_of_a_vector_goes_through_json():
    env = gym.make_vec(
        ID, num_envs=2, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP, max_episode_steps=9, scenario=CASE,
        action_spec=ActionSpec(0.01, 10.0), vcpu_slots=SLOTS,
    )  # fmt: skip
    again = gym.make_vec(EnvSpec.from_json(env.spec.to_json()))
    assert again.num_envs == 2
    assert again.metadata["autoreset_mode"] == gym.vector.AutoresetMode.SAME_STEP
    assert_alike(again, env)


def test_a_scenario_has_five_forms(tmp_path):
    path = tmp_path / "case.yaml"
    save_scenario(CASE, path)
    text = scenario_to_yaml(CASE)
    for form in (CASE, yaml.safe_load(text), text, json.dumps(yaml.safe_load(text)), str(path), path):
        assert scenario_of(form) == CASE


def test_intervals_action_specs_and_parameters_have_plain_forms():
    interval = ControlInterval(0.2, 0.1)
    assert interval_of("control_interval", asdict(interval)) == interval
    assert interval_of("survey", {"pass_times": 0.01}) == ControlInterval(0.0, 0.01)
    assert action_spec_of({"highest": 10}) == ActionSpec(highest=10.0)
    assert parameters_from({"fault_s": 1e-6}) == DEFAULT_PARAMETERS._replace(fault_s=1e-6)
    assert parameters_from(DEFAULT_PARAMETERS._asdict()) == DEFAULT_PARAMETERS


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"suite": 5}, "suite=5 must be a mapping"),
        ({"suite": {"mixed": "much"}}, "weight of 'mixed'='much' must be a finite number"),
        ({"scenario": 7}, "scenario=7 must be a Scenario, a mapping, YAML text"),
        ({"scenario": {"vm": object()}}, "scenario: the mapping must be of text"),
        ({"scenario": {"vn": {}}}, r"unknown key 'vn' \(did you mean 'vm'\?\)"),
        ({"preference": "high"}, "preference='high' must be positive"),
        ({"preference": (0.1, 0.2, 0.3)}, "must be positive: a number"),
        ({"preference": float("inf")}, "preference=inf must be positive"),
        ({"control_interval": 0.1}, r"control_interval=0\.1 must say its unit"),
        ({"control_interval": {"least": 1}}, r"unknown part of control_interval 'least' \(did you mean 'least_s'"),
        ({"survey": 2}, "survey=2 must say its unit"),
        ({"survey_chance": "often"}, "survey_chance='often' must be a finite number"),
        ({"pool_size": 2.5}, r"pool_size=2\.5 must be a whole number"),
        ({"pool_seed": -1}, "pool_seed=-1 must be at least 0"),
        ({"max_vcpus": "8"}, "max_vcpus='8' must be a whole number"),
        ({"vcpu_slots": "8"}, "vcpu_slots='8' must be a whole number"),
        ({"max_memory_bytes": "8 GB"}, "max_memory_bytes='8 GB' must be a finite number"),
        ({"reward_weights": [1, 2]}, "reward_weights=.* must be a mapping"),
        ({"reward_weights": {"stall": "2"}}, "stall='2' must not be negative: a number"),
        ({"action_spec": {"low": 1}}, r"unknown part of action_spec 'low' \(did you mean 'lowest'\?\)"),
        ({"action_spec": {"highest": float("inf")}}, r"action_spec\.highest=inf must be a finite number"),
        ({"action_spec": "wide"}, "action_spec='wide' must be a mapping"),
        ({"parameters": {"fault": 1}}, r"unknown parameter 'fault' \(did you mean 'fault_s'\?\)"),
        ({"parameters": {"fault_s": -1}}, "fault_s.value: -1 must not be negative"),
        ({"parameters": 3}, "parameters=3 must be a mapping"),
        ({"randomisation": 0.1}, r"randomisation=0\.1 must be a mapping"),
        ({"randomisation": {"latency": 0.1}}, r"latency=0\.1 must be \(least, most\)"),
        ({"randomisation": {"calibration": "much"}}, "calibration='much' must be from 0 to 1"),
    ],
)
def test_an_argument_of_another_kind_is_named_with_its_value_and_what_is_allowed(keywords, message):
    with pytest.raises(BadInputError, match=message):
        resolve_options(**{"pool_size": 4, **keywords})


@pytest.mark.parametrize("make", [gym.make, lambda name, **keywords: gym.make_vec(name, num_envs=2, **keywords)])
def test_an_argument_that_is_misspelt_is_answered_with_the_nearest_one(make):
    with pytest.raises(BadInputError, match=r"unknown argument 'suit' \(did you mean 'suite'\?\)"):
        make(ID, suit="mixed")
    with pytest.raises(TypeError, match=r"unknown argument 'preferences' \(did you mean 'preference'\?\)"):
        make(ID, preferences=0.2)
