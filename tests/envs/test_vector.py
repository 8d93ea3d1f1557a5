"""The vector environment: Gymnasium's contract, and number for number the single one."""

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from scipy import stats

import dqgym  # noqa: F401  registers the environment
from dqgym.cost import PREFERENCE_RANGE
from dqgym.envs.migration import MigrationEnv
from dqgym.envs.randomisation import Randomisation
from dqgym.envs.reward import TERM_KEYS
from dqgym.envs.vector import MigrationVectorEnv
from dqgym.telemetry.features import Global

SLOTS = 4
WORLD = {"suite": "mixed", "pool_size": 32, "max_vcpus": SLOTS, "vcpu_slots": SLOTS, "control_interval": "0.2 T0"}
"""Short episodes: about ten to a hundred steps."""
REWARD_TOLERANCE = 1e-12


def vector(num_envs: int, mode: AutoresetMode = AutoresetMode.SAME_STEP, **keywords) -> MigrationVectorEnv:
    return MigrationVectorEnv(num_envs, autoreset_mode=mode, **{**WORLD, **keywords})


def random_actions(env: MigrationVectorEnv, rng: np.random.Generator) -> np.ndarray:
    """All of the range, with both ends among them."""
    actions = rng.uniform(-1.3, 1.3, env.action_space.shape).astype(np.float32)
    return np.clip(actions, -1.0, 1.0)


def rollout(env: MigrationVectorEnv, steps: int, seed: int, actions_seed: int = 0):
    """Observations [T + 1, N, D], rewards [T, N], terminated [T, N] and the infos."""
    rng = np.random.default_rng(actions_seed)
    observations, rewards, ends, infos = [env.reset(seed=seed)[0]], [], [], []
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(random_actions(env, rng))
        assert not truncated.any()
        observations.append(observation)
        rewards.append(reward)
        ends.append(terminated)
        infos.append(info)
    return np.array(observations), np.array(rewards), np.array(ends), infos


def test_spaces_shapes_and_types_are_those_of_a_vector_environment():
    env = vector(3)
    assert env.observation_space.shape == (3, *env.single_observation_space.shape)
    assert env.action_space.shape == (3, SLOTS)
    observation, infos = env.reset(seed=0)
    assert set(infos) == {*TERM_KEYS, *(f"_{key}" for key in TERM_KEYS)}
    assert observation.dtype == np.float32
    assert env.observation_space.contains(observation)
    for _ in range(60):
        observation, reward, terminated, truncated, infos = env.step(env.action_space.sample())
        assert observation.dtype == np.float32
        assert env.observation_space.contains(observation)
        assert reward.shape == terminated.shape == truncated.shape == (3,)
        assert reward.dtype == np.float64
        assert terminated.dtype == truncated.dtype == np.bool_
        assert np.isfinite(reward).all()
        assert (reward <= 0.0).all()


def test_the_single_environment_has_the_single_spaces():
    single, many = MigrationEnv(**WORLD), vector(2)
    assert single.observation_space == many.single_observation_space
    assert single.action_space == many.single_action_space
    assert many.encoder.observation_size == many.single_observation_space.shape[0]
    assert many.action_spec == single.action_spec


@pytest.mark.slow
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("seed", [0, 17, 2024])
def test_a_vector_is_single_environments_side_by_side(mode, seed):
    assert_side_by_side(mode, seed)


@pytest.mark.parametrize("survey", ["0.02 T0", "2 s"])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_vector_with_surveys_is_single_environments_side_by_side(chance, survey):
    assert_side_by_side(AutoresetMode.SAME_STEP, seed=5, survey=survey, survey_chance=chance)


@pytest.mark.slow
@pytest.mark.parametrize(
    "randomisation",
    [
        {"calibration": 0.3},
        {"measurement_noise": 0.1},
        {"bandwidth_noise": 0.1},
        {"late_commands": 0.3},
        {"latency": (0.0, 1.0)},
        {"latency": (0.5, 0.5)},
        Randomisation(0.2, 0.05, 0.2, 0.05, (0.1, 0.6)),
    ],
    ids=["calibration", "noise", "bandwidth", "late", "any latency", "half latency", "all"],
)
def test_a_randomised_vector_is_single_environments_side_by_side(randomisation):
    keywords = {"survey": "0.02 T0", "survey_chance": 0.5, "randomisation": randomisation}
    assert_side_by_side(AutoresetMode.SAME_STEP, seed=5, **keywords)


def assert_side_by_side(mode: AutoresetMode, seed: int, **keywords) -> None:
    """Step by step against Gymnasium's own vector of single environments, over several episodes of each."""
    native = vector(3, mode, **keywords)
    plain = SyncVectorEnv([lambda: MigrationEnv(**{**WORLD, **keywords})] * 3, autoreset_mode=mode)
    rng = np.random.default_rng(seed)
    ours, theirs = native.reset(seed=seed), plain.reset(seed=seed)
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert_same_infos(ours[1], theirs[1])
    episodes = np.zeros(3, dtype=int)
    for _ in range(120):
        actions = random_actions(native, rng)
        ours, theirs = native.step(actions), plain.step(actions)
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=REWARD_TOLERANCE, atol=REWARD_TOLERANCE)
        np.testing.assert_array_equal(ours[2], theirs[2])
        np.testing.assert_array_equal(ours[3], theirs[3])
        assert_same_infos(ours[4], theirs[4])
        episodes += ours[2]
    assert episodes.min() >= 2


def assert_same_infos(ours: dict, theirs: dict, place: str = "infos") -> None:
    """Key by key, mask by mask, type by type."""
    assert set(ours) == set(theirs), place
    for key, value in ours.items():
        if isinstance(value, dict):
            assert_same_infos(value, theirs[key], f"{place}[{key!r}]")
        elif key == "final_obs":  # objects in the synchronous vector, one array in the native one
            for n in np.flatnonzero(ours["_final_obs"]):
                np.testing.assert_array_equal(value[n], theirs[key][n])
        else:
            assert value.dtype == theirs[key].dtype, f"{place}[{key!r}]"
            # The single environment computes the means in another order.
            np.testing.assert_allclose(value, theirs[key], rtol=1e-6, atol=1e-9, err_msg=f"{place}[{key!r}]")


def test_a_survey_that_is_never_made_is_none():
    plain, never = rollout(vector(4), 60, seed=2), rollout(vector(4, survey="0.1 T0", survey_chance=0.0), 60, seed=2)
    for ours, theirs in zip(never[:3], plain[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_surveys_come_as_often_as_wanted_and_start_the_clock():
    """The time of the first observation of each episode says whether there was one."""
    env = vector(64, survey="0.1 T0", survey_chance=0.25)
    observations, _, ends, _ = rollout(env, 60, seed=2)
    firsts = np.concatenate([observations[0], observations[1:][ends]])
    surveyed = firsts[:, Global.TIME] > 0.0
    assert len(firsts) > 200
    assert stats.binomtest(int(surveyed.sum()), len(firsts), 0.25).pvalue > 1e-3
    np.testing.assert_allclose(firsts[surveyed][:, [Global.TIME, Global.SURVEY]], 0.1001**0.25 - 0.1, rtol=1e-5)
    assert (firsts[~surveyed][:, Global.SURVEY] == 0.0).all()


@pytest.mark.parametrize("interval", ["10 ms", "1 s", "0.004 T0"])
def test_one_is_the_single_environment_at_any_control_interval(interval):
    keywords = {**WORLD, "control_interval": interval}
    single, many = MigrationEnv(**keywords), vector(1, control_interval=interval)
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(single.reset(seed=4)[0], many.reset(seed=4)[0][0])
    for _ in range(60):
        actions = random_actions(many, rng)
        ours, theirs = many.step(actions), single.step(actions[0])
        np.testing.assert_allclose(ours[1][0], theirs[1], rtol=REWARD_TOLERANCE, atol=REWARD_TOLERANCE)
        if theirs[2]:
            assert ours[2][0]
            break
        np.testing.assert_array_equal(ours[0][0], theirs[0])


def test_each_environment_depends_on_its_own_seed_alone():
    """Neither on its place nor on how many there are (a kernel's block is 16)."""
    together = rollout(vector(19), 40, seed=100)
    alone = vector(1)
    for place in (0, 15, 16, 18):
        rng = np.random.default_rng(0)
        observation = alone.reset(seed=100 + place)[0]
        np.testing.assert_array_equal(observation[0], together[0][0, place])
        for step in range(40):
            actions = np.clip(rng.uniform(-1.3, 1.3, (19, SLOTS)).astype(np.float32), -1.0, 1.0)
            observation, reward, terminated, _, _ = alone.step(actions[place : place + 1])
            np.testing.assert_array_equal(observation[0], together[0][step + 1, place])
            assert reward[0] == together[1][step, place]
            assert terminated[0] == together[2][step, place]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    env = vector(4)
    first, again, other = rollout(env, 40, seed=5), rollout(env, 40, seed=5), rollout(vector(4), 40, seed=50)
    for ours, theirs in zip(first[:3], again[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (first[0][0] != other[0][0]).any(axis=1).all()


def test_a_list_seeds_each_environment_and_none_goes_on():
    listed, counted = vector(3), vector(3)
    np.testing.assert_array_equal(listed.reset(seed=[7, 8, 9])[0], counted.reset(seed=7)[0])
    following = listed.reset()[0]
    np.testing.assert_array_equal(following, counted.reset()[0])
    np.testing.assert_array_equal(listed.reset(seed=[7, None, None])[0][0], counted.reset(seed=7)[0][0])
    assert (following != counted.reset(seed=7)[0]).any()


def test_unseeded_environments_differ():
    first, second = vector(2), vector(2)
    ours, theirs = first.reset()[0], second.reset()[0]
    assert (ours[0] != ours[1]).any()
    assert (ours != theirs).any()


def test_same_step_begins_the_next_episode_in_the_step_that_ends_one():
    env = vector(4, AutoresetMode.SAME_STEP)
    observations, rewards, ends, infos = rollout(env, 80, seed=1)
    time_feature = 0
    assert ends.sum() > 4
    for step, n in zip(*np.nonzero(ends), strict=True):
        assert observations[step + 1, n, time_feature] == 0.0
        assert infos[step]["final_obs"][n, time_feature] > 0.0
        assert rewards[step, n] < 0.0
        assert infos[step]["final_info"]["episode_steps"][n] >= 1


def test_next_step_ignores_the_action_that_begins_an_episode():
    env = vector(4, AutoresetMode.NEXT_STEP)
    observations, rewards, ends, _ = rollout(env, 80, seed=1)
    time_feature = 0
    assert ends.sum() > 4
    for step, n in zip(*np.nonzero(ends[:-1]), strict=True):
        assert observations[step + 1, n, time_feature] > 0.0
        assert observations[step + 2, n, time_feature] == 0.0
        assert rewards[step + 1, n] == 0.0
        assert not ends[step + 1, n]


def test_both_modes_see_the_same_episodes():
    endings = {}
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        env = vector(3, mode)
        env.reset(seed=9)
        seen = [[] for _ in range(3)]
        for _ in range(120):
            infos = env.step(np.full((3, SLOTS), -0.5, dtype=np.float32))[4]
            outcomes = infos.get("final_info", infos)
            for n in np.flatnonzero(outcomes.get("_total_time_s", np.zeros(3, dtype=bool))):
                seen[n].append(outcomes["total_time_s"][n])
        endings[mode] = seen
    for same, following in zip(*endings.values(), strict=True):
        count = min(len(same), len(following))
        assert count >= 3
        assert same[:count] == following[:count]


def run_until_one_ends(env: MigrationVectorEnv, seed: int) -> tuple[np.ndarray, np.ndarray]:
    env.reset(seed=seed)
    for _ in range(1000):
        observation, _, terminated, _, _ = env.step(np.full(env.action_space.shape, -0.5, dtype=np.float32))
        if terminated.any() and not terminated.all():
            return observation, terminated
    raise AssertionError("no migration ended before the others")


def test_disabled_leaves_the_reset_to_the_caller_and_the_others_alone():
    env = vector(3, AutoresetMode.DISABLED)
    observation, ended = run_until_one_ends(env, seed=2)
    again, infos = env.reset(options={"reset_mask": ended})
    np.testing.assert_array_equal(infos["_reward_time"], ended)
    np.testing.assert_array_equal(again[~ended], observation[~ended])
    assert (again[ended, 0] == 0.0).all()
    assert (observation[ended, 0] > 0.0).all()


def test_disabled_is_what_same_step_does_by_itself():
    by_hand, by_itself = vector(3, AutoresetMode.DISABLED), vector(3, AutoresetMode.SAME_STEP)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(by_hand.reset(seed=6)[0], by_itself.reset(seed=6)[0])
    for _ in range(60):
        actions = random_actions(by_hand, rng)
        ours, theirs = by_hand.step(actions), by_itself.step(actions)
        np.testing.assert_array_equal(ours[1], theirs[1])
        observation = ours[0]
        if ours[2].any():
            np.testing.assert_array_equal(observation[ours[2]], theirs[4]["final_obs"][ours[2]])
            observation = by_hand.reset(options={"reset_mask": ours[2]})[0]
        np.testing.assert_array_equal(observation, theirs[0])


def test_disabled_refuses_to_step_what_has_ended():
    env = vector(3, AutoresetMode.DISABLED)
    _, ended = run_until_one_ends(env, seed=2)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(env.action_space.sample())
    env.reset(options={"reset_mask": ended})
    env.step(env.action_space.sample())


@pytest.mark.parametrize("mask", [np.zeros(3, dtype=bool), np.ones(2, dtype=bool), np.ones(3), [1, 0, 0]])
def test_a_mask_that_selects_nothing_or_something_else_is_refused(mask):
    env = vector(3, AutoresetMode.DISABLED)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"reset_mask.*bool \[3\]"):
        env.reset(options={"reset_mask": mask})


def test_returned_arrays_are_the_callers():
    env = vector(3)
    first = env.reset(seed=0)[0]
    kept = first.copy()
    second = env.step(env.action_space.sample())
    kept_second = [each.copy() for each in second[:4]]
    env.step(env.action_space.sample())
    np.testing.assert_array_equal(first, kept)
    for ours, before in zip(second[:4], kept_second, strict=True):
        np.testing.assert_array_equal(ours, before)


def test_actions_are_not_overwritten():
    env = vector(2)
    env.reset(seed=0)
    actions = np.full((2, SLOTS), 0.25, dtype=np.float32)
    env.step(actions)
    assert (actions == np.float32(0.25)).all()


def test_the_return_is_minus_the_cost_and_the_terms_add_up_to_it():
    env = vector(8)
    _, rewards, ends, infos = rollout(env, 120, seed=3)
    running, checked = np.zeros(8), 0
    for step in range(120):
        running += rewards[step]
        for n in np.flatnonzero(ends[step]):
            final = {name: values[n] for name, values in infos[step]["final_info"].items()}
            assert final["episode_return"] == pytest.approx(running[n], rel=1e-9)
            assert final["cost"] == pytest.approx(-running[n], rel=1e-9)
            terms = sum(final[f"term_{name}"] for name in ("time", "stall", "downtime", "deadline"))
            assert final["cost"] == pytest.approx(terms, rel=1e-12)
            assert final["term_time"] == pytest.approx(final["total_time_s"] / final["pass_time_s"], rel=1e-9)
            assert PREFERENCE_RANGE[0] <= final["preference"] <= PREFERENCE_RANGE[1]
            assert 0.0 <= final["worst_vcpu_runtime"] <= final["guest_runtime"] <= 1.0
            running[n] = 0.0
            checked += 1
    assert checked > 8


def test_weights_scale_the_terms_of_the_reward():
    plain, _, _, infos = (rollout(vector(4), 60, seed=3))[:4]
    weighted_env = vector(4, reward_weights={"time": 0.5, "stall": 2.0, "deadline": 0.0})
    observations, _, ends, weighted_infos = rollout(weighted_env, 60, seed=3)
    np.testing.assert_array_equal(observations, plain)
    for step, n in zip(*np.nonzero(ends), strict=True):
        final = {name: values[n] for name, values in weighted_infos[step]["final_info"].items()}
        expected = 0.5 * final["term_time"] + 2.0 * final["term_stall"] + final["term_downtime"]
        assert final["episode_return"] == pytest.approx(-expected, rel=1e-9)
        assert final["cost"] == infos[step]["final_info"]["cost"][n]


def test_pickled_environments_are_made_alike():
    env = vector(2, reward_weights={"stall": 2.0}, preference=0.3)
    copy = pickle.loads(pickle.dumps(env))
    for ours, theirs in zip(rollout(env, 20, seed=4)[:3], rollout(copy, 20, seed=4)[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["dqgym/Migration-v0", "dqgym:dqgym/Migration-v0"])
def test_gymnasium_makes_the_native_vector_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make_vec(name, num_envs=3, autoreset_mode=AutoresetMode.SAME_STEP, **WORLD)
        assert isinstance(env, MigrationVectorEnv)
        assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        np.testing.assert_array_equal(env.reset(seed=1)[0], vector(3).reset(seed=1)[0])
        again = gym.make_vec(env.spec)
    assert again.num_envs == 3
    np.testing.assert_array_equal(again.reset(seed=1)[0], env.reset(seed=1)[0])
    env.close()


def test_gymnasium_can_also_put_single_environments_side_by_side():
    env = gym.make_vec("dqgym/Migration-v0", num_envs=2, vectorization_mode="sync", **WORLD)
    assert isinstance(env, SyncVectorEnv)
    np.testing.assert_array_equal(env.reset(seed=1)[0], vector(2).reset(seed=1)[0])
    env.close()


def test_wrappers_of_gymnasium_fit():
    env = gym.wrappers.vector.RecordEpisodeStatistics(vector(2))
    env.reset(seed=0)
    rng, total = np.random.default_rng(0), np.zeros(2)
    for _ in range(200):
        _, reward, terminated, _, infos = env.step(random_actions(env.unwrapped, rng))
        total += reward
        for n in np.flatnonzero(terminated):
            assert infos["episode"]["r"][n] == pytest.approx(infos["final_info"]["episode_return"][n], rel=1e-5)
            assert infos["episode"]["l"][n] == infos["final_info"]["episode_steps"][n]
            return
    raise AssertionError("no migration ended")


def test_stepping_before_a_reset_is_refused():
    env = vector(2)
    with pytest.raises(RuntimeError, match="call reset before step"):
        env.step(env.action_space.sample())


@pytest.mark.parametrize("shape", [(2, SLOTS + 1), (3, SLOTS), (2 * SLOTS,)])
def test_actions_of_another_shape_are_refused(shape):
    env = vector(2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"must have \(2, 4\)"):
        env.step(np.zeros(shape, dtype=np.float32))


def test_seeds_must_be_as_many_as_environments():
    with pytest.raises(ValueError, match="seed: 2 seeds for 3 environments"):
        vector(3).reset(seed=[1, 2])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_envs": 0}, "num_envs=0 must be at least 1"),
        ({"num_envs": "3"}, "num_envs='3' must be a whole number"),
        ({"max_episode_steps": 0}, "max_episode_steps=0 must be at least 1"),
        ({"autoreset_mode": "same"}, "autoreset_mode='same' must be .*'NextStep'"),
        ({"backend": "kvm"}, "backend='kvm': a vector environment runs on the model"),
        ({"render_mode": "human"}, r"render_mode='human'; allowed: None, \['rgb_array'\]"),
    ],
)
def test_arguments_that_no_vector_takes_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        MigrationVectorEnv(**{"num_envs": 1, **WORLD, **keywords})
