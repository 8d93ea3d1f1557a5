"""The hidden state: what the scenario says, for a critic; and that no observation ever has any of it."""

import math

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from dqgym.envs.hidden import HiddenGlobal, HiddenVcpu, hidden_size, hidden_space
from dqgym.envs.spaces import observation_space
from dqgym.envs.vector import MigrationVectorEnv
from dqgym.model.layout import Vcpu, Vm
from dqgym.scenario import DeviceWrites, Phased, StepsLink
from dqgym.telemetry.features import SQUASHED_HIGH
from tests.model.migrations import MB, NO_COSTS, READERS, scenario, writers
from tests.model_state import vm_column

SLOTS = 4
MOST = 32
"""Slots that every scenario of the letter has room in; compiling for 64 takes twice as long."""
WORLD = {"suite": "mixed", "pool_size": 32, "max_vcpus": SLOTS, "vcpu_slots": SLOTS, "control_interval": "0.2 T0"}
FREE = np.ones((1, SLOTS), dtype=np.float32)
MEMORY_MB, NOMINAL_MB_PER_S = 1000.0, 2.0
CASE = scenario(
    writers("sequential", set_mb=200.0, rate_mb_per_s=0.4),
    writers(
        "hot-cold", set_mb=100.0, rate_mb_per_s=1.0, hot_fraction=0.1, hot_share=0.9,
        schedule=Phased(period_s=100.0, duty=0.25, low_rate_fraction=0.1, offset=0.3),
    ),
    READERS,
    memory_mb=MEMORY_MB,
    link=StepsLink(times_s=(0.0, 60.0), bandwidths_bytes_per_s=(3.0 * MB, 1.0 * MB), period_s=120.0),
    device=DeviceWrites(rate_bytes_per_s=0.05 * MB, working_set_bytes=20 * MB),
)  # fmt: skip
"""T0 is 500 s, at 2 MB/s in the mean; the second vCPU is quiet until 70 s, then busy for 25 s."""
PASS_TIME_S = MEMORY_MB / NOMINAL_MB_PER_S


def squash(x: float) -> float:
    return min((max(x, 0.0) + 1e-4) ** 0.25 - 0.1, SQUASHED_HIGH)


def env_of(case=CASE, **keywords) -> MigrationVectorEnv:
    return MigrationVectorEnv(1, scenario=case, vcpu_slots=SLOTS, hidden_state=True, parameters=NO_COSTS, **keywords)


def named(hidden: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """(numbers of the migration, [V] of its vCPUs) of one hidden state."""
    per_vcpu = hidden[len(HiddenGlobal) :].reshape(len(HiddenVcpu), SLOTS)
    return (
        {each.name: float(hidden[each]) for each in HiddenGlobal},
        {each.name: per_vcpu[each] for each in HiddenVcpu},
    )


def assert_vcpus(found: dict[str, np.ndarray], **expected: list[float]) -> None:
    """Values before squashing, of the vCPUs; the rest of the slots must be 0."""
    for name, values in expected.items():
        wanted = [*(squash(value) for value in values), *[0.0] * (SLOTS - len(values))]
        np.testing.assert_allclose(found[name], wanted, rtol=1e-3, atol=1e-4, err_msg=name)


def test_at_the_start_it_is_what_the_scenario_says():
    vm, vcpus = named(env_of().reset(seed=0)[1]["hidden_state"][0])
    assert vm["BANDWIDTH"] == pytest.approx(3.0 / 2.0, rel=1e-6)
    assert vm["LINK_LEFT"] == pytest.approx(squash(60.0 / PASS_TIME_S), rel=1e-4)
    assert vm["FOUND"] == 0.0
    assert vm["DEVICE_RATE"] == pytest.approx(squash(0.05 / 2.0), rel=1e-4)
    assert_vcpus(
        vcpus,
        DEMAND=[0.2, 0.05, 0.0],
        FULL_RATE=[0.2, 0.5, 0.0],
        WORKING_SET=[0.2, 0.1, 0.0],
        DIRTY=[0.0, 0.0, 0.0],
        PHASE_LEFT=[math.inf, 70.0 / PASS_TIME_S, math.inf],
        BACKLOG=[0.0, 0.0, 0.0],
    )
    np.testing.assert_array_equal(vcpus["SEQUENTIAL"], [1.0, 0.0, 0.0, 0.0])


def test_it_follows_link_and_schedules():
    env = env_of(control_interval="80 s")
    env.reset(seed=0)
    vm, vcpus = named(env.step(FREE)[4]["hidden_state"][0])
    assert vm["BANDWIDTH"] == pytest.approx(1.0 / 2.0, rel=1e-6)
    assert vm["LINK_LEFT"] == pytest.approx(squash(40.0 / PASS_TIME_S), rel=1e-3)
    assert_vcpus(vcpus, DEMAND=[0.2, 0.5, 0.0], PHASE_LEFT=[math.inf, 15.0 / PASS_TIME_S, math.inf])


def test_a_survey_goes_before_it():
    vm, vcpus = named(env_of(survey="80 s").reset(seed=0)[1]["hidden_state"][0])
    assert vm["BANDWIDTH"] == pytest.approx(1.0 / 2.0, rel=1e-6)
    assert_vcpus(
        vcpus,
        DEMAND=[0.2, 0.5, 0.0],
        PHASE_LEFT=[math.inf, 15.0 / PASS_TIME_S, math.inf],
        DIRTY=[0.0, 0.0, 0.0],
    )


def test_what_is_dirty_is_what_the_vcpus_were_seen_to_dirty():
    """As long as no sync has come: all that telemetry has counted since the start."""
    env = env_of(control_interval="50 s")
    env.reset(seed=0)
    dirtied = np.zeros(SLOTS)
    for _ in range(4):
        hidden = env.step(FREE)[4]["hidden_state"][0]
        dirtied += env._vcpu[0, Vcpu.DIRTIED_BYTES]
        vm, vcpus = named(hidden)
        assert_vcpus(vcpus, DIRTY=list(dirtied[:3] / (MEMORY_MB * MB)))
        device = vm_column(env, Vm.DEVICE_DIRTY)[0]
        assert vm["FOUND"] == pytest.approx(squash((dirtied.sum() + device) / (MEMORY_MB * MB)), rel=1e-3)
    assert dirtied[:2].min() > 0.0


def test_open_loop_demand_that_stalls_kept_waiting_shows():
    case = scenario(writers("uniform", set_mb=500.0, rate_mb_per_s=0.5, demand="open"), memory_mb=MEMORY_MB)
    env = env_of(case, control_interval="300 s")
    env.reset(seed=0)
    env.step(FREE)
    held = env.step(-FREE)[4]["hidden_state"][0]
    free = env.step(FREE)[4]["hidden_state"][0]
    assert named(held)[1]["BACKLOG"][0] > squash(0.05)
    assert named(free)[1]["BACKLOG"][0] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["mixed", "phases", "noisy-neighbour", "cover-letter"])
def test_it_lies_within_its_space(suite):
    env = MigrationVectorEnv(16, **{**WORLD, "suite": suite, "max_vcpus": MOST, "vcpu_slots": MOST}, hidden_state=True)
    assert env.single_hidden_space == hidden_space(MOST)
    assert env.single_hidden_space.shape == (hidden_size(MOST),)
    hidden = [env.reset(seed=0)[1]["hidden_state"]]
    rng = np.random.default_rng(0)
    for _ in range(30):
        actions = rng.uniform(-1.0, 1.0, env.action_space.shape).astype(np.float32)
        hidden.append(env.step(actions)[4]["hidden_state"])
    for each in hidden:
        assert each.dtype == np.float32
        assert each.shape == (16, hidden_size(MOST))
        assert all(env.single_hidden_space.contains(row) for row in each)


def rollout(mode: AutoresetMode, hidden_state: bool, steps: int = 60, **keywords):
    env = MigrationVectorEnv(4, autoreset_mode=mode, hidden_state=hidden_state, **{**WORLD, **keywords})
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1.0, 1.0, (steps, *env.action_space.shape)).astype(np.float32)
    return [env.reset(seed=1), *(env.step(each) for each in actions)]


TOLD = {"hidden_state", "final_hidden_state"}


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("survey", [None, "0.02 T0"])
def test_to_tell_it_changes_nothing_else(mode, survey):
    told, plain = (rollout(mode, hidden_state, survey=survey) for hidden_state in (True, False))
    for ours, theirs in zip(told, plain, strict=True):
        for a, b in zip(ours[:-1], theirs[:-1], strict=True):
            np.testing.assert_array_equal(a, b)
        assert "hidden_state" in ours[-1]
        assert {name.removeprefix("_") for name in set(ours[-1]) - set(theirs[-1])} <= TOLD
        if "final_obs" in theirs[-1]:
            np.testing.assert_array_equal(ours[-1]["final_obs"], theirs[-1]["final_obs"])
        assert not TOLD & set(theirs[-1])


def test_what_cannot_be_measured_yet_is_in_it_and_not_in_the_observation():
    """Two guests alike to any monitor until they have written: rates, sets, phases and links differ."""
    ours = env_of()
    other = scenario(
        writers("uniform", set_mb=500.0, rate_mb_per_s=9.0), writers(set_mb=10.0), READERS,
        memory_mb=MEMORY_MB, bandwidth_mb_per_s=NOMINAL_MB_PER_S,
    )  # fmt: skip
    theirs = env_of(other)
    (first, hidden), (second, other_hidden) = ours.reset(seed=0), theirs.reset(seed=0)
    np.testing.assert_array_equal(first, second)
    assert (hidden["hidden_state"] != other_hidden["hidden_state"]).any()
    assert ours.single_observation_space == observation_space(SLOTS)
    assert first.shape[1] == observation_space(SLOTS).shape[0]


def test_an_episode_that_ends_leaves_its_last_one():
    """``final_hidden_state`` is what a vector that does not begin anew in the same step shows at the end."""
    same, disabled = (
        MigrationVectorEnv(3, autoreset_mode=mode, hidden_state=True, **WORLD)
        for mode in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)
    )
    same.reset(seed=3)
    disabled.reset(seed=3)
    ended = np.zeros(3, dtype=bool)
    for _ in range(200):
        actions = np.full((3, SLOTS), -0.4, dtype=np.float32)
        ours, theirs = same.step(actions), disabled.step(actions)
        ended = theirs[2]
        if ended.any():
            break
    assert ended.any()
    np.testing.assert_array_equal(ours[4]["final_hidden_state"][ended], theirs[4]["hidden_state"][ended])
    again = disabled.reset(options={"reset_mask": ended})[1]["hidden_state"]
    np.testing.assert_array_equal(ours[4]["hidden_state"], again)


def test_arrays_that_were_returned_stay_as_they_are():
    env = MigrationVectorEnv(2, hidden_state=True, **WORLD)
    first = env.reset(seed=0)[1]["hidden_state"]
    kept = first.copy()
    second = env.step(np.zeros((2, SLOTS), dtype=np.float32))[4]["hidden_state"]
    kept_second = second.copy()
    env.step(np.zeros((2, SLOTS), dtype=np.float32))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(second, kept_second)
