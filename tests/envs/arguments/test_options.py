import numpy as np
import pytest

from dqgym.cost import PREFERENCE_RANGE
from dqgym.envs.arguments.options import ARGUMENTS, EnvironmentKeywords, resolve_options
from dqgym.envs.errors import UnknownArgumentError
from dqgym.envs.migration import MigrationEnv
from dqgym.scenario import ScenarioError, save_scenario
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import ControlInterval
from tests.model.migrations import scenario, writers

THREE = scenario(writers(vcpus=3))


def test_the_defaults_are_the_mixed_suite_and_the_whole_range_of_preferences():
    options = resolve_options(pool_size=8)
    assert options.scenarios == tuple(get_suite("mixed").scenarios(8, seed=0))
    assert options.preferences == PREFERENCE_RANGE
    assert options.interval == ControlInterval(0.0, 0.04)
    assert options.action_spec == ActionSpec()
    np.testing.assert_array_equal(options.weights, np.ones(4))


def test_slots_are_as_many_as_the_widest_scenario_needs():
    assert resolve_options(scenario=THREE).slots == 4
    assert resolve_options(scenario=THREE, vcpu_slots=3).slots == 4
    assert resolve_options(scenario=THREE, vcpu_slots=8).slots == 8
    assert resolve_options(suite="mixed", pool_size=20, max_vcpus=4).slots == 4


def test_the_seed_of_the_pool_draws_other_scenarios():
    first, other = (resolve_options(pool_size=8, pool_seed=seed).scenarios for seed in (0, 1))
    assert other == tuple(get_suite("mixed").scenarios(8, seed=1))
    assert first != other


def test_a_fixed_suite_is_taken_as_it_is():
    assert resolve_options(suite="guest-runtime", pool_size=1).scenarios == tuple(
        get_suite("guest-runtime").scenarios()
    )


def test_suites_are_mixed_by_their_weights():
    options = resolve_options(suite={"phases": 3.0, "guest-runtime": 1.0}, pool_size=40)
    fixed = get_suite("guest-runtime").scenarios()
    assert len(options.scenarios) == 40
    assert sum(each in fixed for each in options.scenarios) == 10
    assert options.scenarios[:30] == tuple(get_suite("phases").scenarios(30, seed=0, max_vcpus=64))


def test_a_scenario_can_come_from_a_file(tmp_path):
    path = tmp_path / "three.yaml"
    save_scenario(THREE, path)
    assert resolve_options(scenario=path).scenarios == resolve_options(scenario=THREE).scenarios


def test_a_number_is_a_range_of_one_preference():
    assert resolve_options(scenario=THREE, preference=0.3).preferences == (0.3, 0.3)
    assert resolve_options(scenario=THREE, preference=[0.1, 0.5]).preferences == (0.1, 0.5)


def test_an_interval_is_text_or_a_control_interval():
    assert resolve_options(scenario=THREE, control_interval="250 ms").interval == ControlInterval(0.25)
    assert resolve_options(scenario=THREE, control_interval=ControlInterval(1.0, 0.1)).interval == ControlInterval(
        1.0, 0.1
    )


def test_a_survey_is_text_or_an_interval_with_a_chance():
    assert resolve_options(scenario=THREE).survey == (0.0, 0.0, 0.0)
    assert resolve_options(scenario=THREE, survey="0.01 T0").survey == (0.0, 0.01, 1.0)
    assert resolve_options(scenario=THREE, survey="2 s", survey_chance=0.5).survey == (2.0, 0.0, 0.5)
    assert resolve_options(scenario=THREE, survey=ControlInterval(0.5, 0.01)).survey == (0.5, 0.01, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"survey": "soon"}, r"survey 'soon' must be a share of the pass time, like '0.01 T0', or a time, like '2 s'"),
        ({"survey": "1 s", "survey_chance": 1.5}, "survey_chance=1.5 must be from 0 to 1"),
        ({"survey": "1 s", "survey_chance": float("nan")}, "survey_chance=nan must be a finite number"),
        ({"suite": "phasis"}, r"unknown suite 'phasis' \(did you mean 'phases'\?\)"),
        ({"suite": "mixed", "scenario": THREE}, "give one of them"),
        ({"suite": {"mixed": 0.0}}, "weight of each suite must be positive"),
        ({"pool_size": 0}, "pool_size=0 must be at least 1"),
        ({"preference": -0.1}, r"preference=-0.1 must be positive"),
        ({"preference": 0}, r"preference=0 must be positive"),
        ({"preference": (0.5, 0.1)}, r"preference=\(0.5, 0.1\)"),
        ({"preference": float("nan")}, r"preference=nan"),
        ({"scenario": THREE, "vcpu_slots": 2}, "vcpu_slots=2 must hold the 3 vCPUs"),
        ({"scenario": THREE, "vcpu_slots": 65}, "1 to 64"),
        ({"control_interval": "soon"}, "control interval 'soon'"),
        ({"reward_weights": {"stal": 1.0}}, r"unknown term 'stal' \(did you mean 'stall'\?\)"),
        ({"reward_weights": {"stall": -1.0}}, "stall=-1.0 must not be negative"),
        ({"reward_weights": {"stall": float("nan")}}, "stall=nan"),
        ({"suite": "cover-letter", "max_vcpus": 4}, "more than max_vcpus=4"),
        ({"max_vcpus": 0}, "max_vcpus"),
    ],
)
def test_a_bad_argument_is_named_with_its_value_and_what_is_allowed(keywords, message):
    with pytest.raises(ValueError, match=message):
        resolve_options(**keywords)


def test_a_scenario_file_that_is_missing_is_named():
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml"):
        resolve_options(scenario="nowhere.yaml")


def test_every_argument_has_a_default_and_stands_on_the_reference_page():
    assert set(ARGUMENTS) == set(EnvironmentKeywords.__annotations__)
    page = MigrationEnv.__doc__
    for name, argument in ARGUMENTS.items():
        assert f"| ``{name}`` | " in page
        assert argument.what in page
    assert "{" + "arguments}" not in page


def test_an_argument_that_does_not_exist_is_refused():
    with pytest.raises(UnknownArgumentError, match="did you mean 'pool_size'"):
        resolve_options(pool_sizes=3)
