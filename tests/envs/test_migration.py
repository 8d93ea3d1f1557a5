"""The single environment: the checkers of Gymnasium and Stable-Baselines3, episodes, rendering, arguments."""

import math
import pickle
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

import dqgym  # noqa: F401  registers the environment
from dqgym.backends.model import ModelBackend
from dqgym.envs.info import FINAL_INFO
from dqgym.envs.migration import MigrationEnv
from dqgym.envs.reward import TERM_KEYS
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.scenario import save_scenario
from dqgym.scenario.limits import Limits, pass_times
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES, PerVcpu
from tests.model.migrations import NO_COSTS, READERS, scenario, writers

SLOTS = 4
WORLD = {"suite": "mixed", "pool_size": 16, "max_vcpus": SLOTS, "vcpu_slots": SLOTS, "control_interval": "0.2 T0"}
ONE_WRITER = scenario(writers("uniform", set_mb=100.0, rate_mb_per_s=0.4), memory_mb=200.0)
FREE = np.ones(SLOTS, dtype=np.float32)


def unsquashed(feature: float) -> float:
    """The quantity of a squashed feature."""
    return (float(feature) + 0.1) ** 4 - 1e-4


def single(**keywords) -> MigrationEnv:
    return MigrationEnv(**{**WORLD, **keywords})


def one_writer(**keywords) -> MigrationEnv:
    """One vCPU that writes, T0 = 200 s; a decision every 10 s."""
    return MigrationEnv(**{"scenario": ONE_WRITER, "vcpu_slots": SLOTS, "control_interval": "0.05 T0", **keywords})


def episode(env: MigrationEnv, seed: int, actions_seed: int = 0):
    """All observations and rewards of an episode, and its infos."""
    rng = np.random.default_rng(actions_seed)
    observation, info = env.reset(seed=seed)
    observations, rewards, infos = [observation], [], [info]
    for _ in range(2000):
        action = rng.uniform(-1.0, 1.0, SLOTS).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        assert not truncated
        observations.append(observation)
        rewards.append(reward)
        infos.append(info)
        if terminated:
            return np.array(observations), np.array(rewards), infos
    raise AssertionError("the migration did not end")


@pytest.mark.slow
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_the_checkers_pass_without_a_warning(render_mode):
    keywords = {**WORLD, "render_mode": render_mode}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check(gym.make("dqgym/Migration-v0", **keywords).unwrapped)
        sb3_check(gym.make("dqgym/Migration-v0", **keywords))


@pytest.mark.parametrize("seed", range(4))
def test_an_episodes_rewards_add_up_to_minus_the_cost(seed):
    env = single()
    _, rewards, infos = episode(env, seed)
    outcomes = env.backend.outcomes()
    final = infos[-1]
    cost = outcomes.cost(final["preference"])[0]
    assert rewards.sum() == pytest.approx(-cost, rel=1e-9)
    assert final["cost"] == pytest.approx(cost, rel=1e-9)
    assert final["episode_return"] == pytest.approx(rewards.sum(), rel=1e-9)
    assert final["episode_steps"] == len(rewards)


def test_every_step_says_what_its_reward_is_made_of():
    _, rewards, infos = episode(single(), 1)
    assert infos[0] == dict.fromkeys(TERM_KEYS, 0.0)
    for reward, info in zip(rewards, infos[1:], strict=True):
        terms = [info[key] for key in TERM_KEYS]
        assert reward == pytest.approx(-sum(terms), rel=1e-9, abs=1e-12)
        assert min(terms) >= 0.0
    for key in TERM_KEYS:
        total = sum(info[key] for info in infos)
        assert infos[-1][key.replace("reward", "term")] == pytest.approx(total, rel=1e-9, abs=1e-12)


def test_the_last_info_holds_the_outcome():
    env = single()
    _, _, infos = episode(env, 2)
    outcomes = env.backend.outcomes()
    assert set(FINAL_INFO) <= set(infos[-1])
    assert not set(FINAL_INFO) & set(infos[-2])
    for name in ("total_time_s", "time_over_t0", "downtime_s", "guest_runtime", "worst_vcpu_runtime", "pass_time_s"):
        assert infos[-1][name] == getattr(outcomes, name)[0]
    assert infos[-1]["converged"] == outcomes.converged[0]
    assert infos[-1]["rounds"] == outcomes.rounds[0]


def test_reward_weights_scale_the_terms():
    plain, weighted = episode(single(), 3), episode(single(reward_weights={"stall": 3.0, "time": 0.0}), 3)
    np.testing.assert_array_equal(plain[0], weighted[0])
    expected = [
        -(3.0 * info["reward_stall"] + info["reward_downtime"] + info["reward_deadline"]) for info in plain[2][1:]
    ]
    np.testing.assert_allclose(weighted[1], expected, rtol=1e-9, atol=1e-12)
    assert weighted[2][-1]["cost"] == plain[2][-1]["cost"]


def test_a_survey_is_on_the_clock_and_costs_its_time_and_nothing_else():
    """A guest that only reads: nothing that is learned can change anything."""
    case = scenario(READERS, memory_mb=200.0)
    finals = {}
    for survey in (None, "0.05 T0", "3 s"):
        env = one_writer(scenario=case, survey=survey, preference=0.5)
        env.reset(seed=0)
        rewards, ended = [], False
        while not ended:
            _, reward, ended, _, info = env.step(FREE)
            rewards.append(reward)
        finals[survey] = info
        assert sum(rewards) == pytest.approx(-info["cost"], rel=1e-9)
    for survey, seconds in (("0.05 T0", 10.0), ("3 s", 3.0)):
        ours, plain = finals[survey], finals[None]
        assert ours["total_time_s"] == pytest.approx(plain["total_time_s"] + seconds, rel=1e-9)
        assert ours["cost"] == pytest.approx(plain["cost"] + seconds / 200.0, rel=1e-6)
        assert ours["downtime_s"] == pytest.approx(plain["downtime_s"], abs=1e-9)
        assert ours["term_downtime"] == plain["term_downtime"] == 0.0


def test_the_observation_has_what_the_survey_found():
    env = one_writer(survey="5 s", parameters=NO_COSTS)
    observation, _ = env.reset(seed=0)
    first = len(GLOBAL_FEATURES) + PerVcpu.SURVEY_SET * SLOTS
    found_mb = 100.0 * (1.0 - np.exp(-0.4 * 5.0 / 100.0))
    assert unsquashed(observation[first]) == pytest.approx(found_mb / 200.0, rel=1e-3)
    assert unsquashed(observation[0]) == pytest.approx(5.0 / 200.0, rel=1e-3)


def test_a_missed_deadline_costs_the_whole_migration_once_more():
    greedy = scenario(
        writers("uniform", set_mb=150.0, rate_mb_per_s=50.0), memory_mb=200.0,
        limits=ONE_WRITER.limits.model_copy(update={"deadline": pass_times(3.0)}),
    )  # fmt: skip
    env = one_writer(scenario=greedy, preference=0.5)
    env.reset(seed=0)
    terminated, total = False, 0.0
    while not terminated:
        _, reward, terminated, _, info = env.step(FREE)
        total += reward
    assert info["converged"] == 0.0
    assert np.isnan(info["downtime_s"])
    assert info["total_time_s"] == pytest.approx(600.0)
    assert total == pytest.approx(-6.0, rel=1e-6)
    assert info["reward_deadline"] == pytest.approx(3.0, rel=1e-6)


def test_the_same_seed_gives_the_same_episode_and_reset_goes_on_to_others():
    env = single()
    first, again = episode(env, 5), episode(env, 5)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    env.reset(seed=5)
    following = [env.reset()[0] for _ in range(3)]
    env.reset(seed=5)
    np.testing.assert_array_equal(following, [env.reset()[0] for _ in range(3)])
    assert (following[0] != following[1]).any()


def test_unseeded_environments_differ():
    assert (single().reset()[0] != single().reset()[0]).any()


def test_pickled_environments_are_made_alike():
    env = single(reward_weights={"stall": 2.0}, preference=(0.1, 0.9))
    copy = pickle.loads(pickle.dumps(env))
    for ours, theirs in zip(episode(env, 4)[:2], episode(copy, 4)[:2], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["dqgym/Migration-v0", "dqgym:dqgym/Migration-v0"])
def test_gymnasium_makes_it_and_makes_it_again_from_its_spec(name):
    env = gym.make(name, **WORLD)
    assert isinstance(env.unwrapped, MigrationEnv)
    again = gym.make(env.spec)
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])
    restored = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    np.testing.assert_array_equal(restored.reset(seed=3)[0], env.reset(seed=3)[0])


@pytest.mark.slow
def test_naming_the_package_is_enough_to_make_it():
    script = "import gymnasium as gym; print(gym.make('dqgym:dqgym/Migration-v0', suite='guest-runtime').spec.id)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "dqgym/Migration-v0"


@pytest.mark.parametrize(("interval", "seconds"), [("10 s", 10.0), ("500 ms", 0.5), ("0.1 T0", 20.0)])
def test_decisions_come_at_the_control_interval(interval, seconds):
    env = one_writer(control_interval=interval)
    env.reset(seed=0)
    for step in range(1, 4):
        observation = env.step(FREE)[0]
        assert unsquashed(observation[0]) == pytest.approx(step * seconds / 200.0, rel=1e-4)
        assert unsquashed(observation[2]) == pytest.approx(seconds / 200.0, rel=1e-4)


def test_stall_is_charged_in_windows_of_100_ms_where_decisions_come_faster():
    """Stopped and free by turns of 10 ms is half speed, not half of the time stopped."""
    case = scenario(writers("uniform", set_mb=990.0, rate_mb_per_s=200.0), bandwidth_mb_per_s=100.0)
    stall = {}
    for interval, steps in (("10 ms", 600), ("100 ms", 60)):
        env = one_writer(scenario=case, control_interval=interval, preference=1.0)
        env.reset(seed=0)
        infos = [env.step(-FREE if step % 2 else FREE)[4] for step in range(steps)]
        stall[interval] = sum(info["reward_stall"] for info in infos)
    assert stall["10 ms"] == pytest.approx(-np.log(0.5) * 6.0 / 10.0, rel=0.15)
    assert stall["100 ms"] > 2.0 * stall["10 ms"]


def test_the_reference_page_has_every_feature_with_its_place_and_range():
    """Of the lines of the table in the class's docstring."""
    table = [
        [cell.strip() for cell in line.split("|")[1:5]] for line in MigrationEnv.__doc__.splitlines() if "|" in line
    ]
    described = {(place, name): (float(low), float(high)) for place, name, low, high in table if place[:1].isdigit()}
    g, f = len(GLOBAL_FEATURES), len(VCPU_FEATURES)
    expected = {(str(k), each.name): (each.low, each.high) for k, each in enumerate(GLOBAL_FEATURES)}
    expected |= {(f"{g} + {k} V ..", each.name): (each.low, each.high) for k, each in enumerate(VCPU_FEATURES)}
    assert described == expected
    assert f"({g} + {f} * V,)" in MigrationEnv.__doc__


def test_an_action_holds_a_writer_to_its_share_of_the_bandwidth():
    env = one_writer(parameters=NO_COSTS)
    env.reset(seed=0)
    for _ in range(8):
        env.step(FREE)
    free = env.step(FREE)[0]
    held = env.step(np.full(SLOTS, -0.4, dtype=np.float32))[0]
    spec = env.action_spec
    limit = spec.lowest * (spec.highest / spec.lowest) ** (0.6 / 2.0)
    first_dirty_rate = len(GLOBAL_FEATURES) + PerVcpu.DIRTY_RATE * SLOTS
    assert unsquashed(free[first_dirty_rate]) > limit
    assert unsquashed(held[first_dirty_rate]) == pytest.approx(limit, rel=0.02)


def test_what_is_said_for_absent_slots_has_no_effect():
    first, second = one_writer(), one_writer()
    first.reset(seed=0)
    second.reset(seed=0)
    for _ in range(10):
        ours = first.step(np.array([-0.3, 1.0, 1.0, 1.0], dtype=np.float32))
        theirs = second.step(np.array([-0.3, -1.0, 0.0, 0.4], dtype=np.float32))
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]


def test_a_scenario_can_come_from_a_file(tmp_path):
    path = tmp_path / "one-writer.yaml"
    save_scenario(ONE_WRITER, path)
    from_file, from_object = one_writer(scenario=str(path)), one_writer()
    np.testing.assert_array_equal(episode(from_file, 1)[0], episode(from_object, 1)[0])


def test_a_backend_can_be_handed_in():
    backend = ModelBackend(vcpu_slots=SLOTS)
    env = single(backend=backend)
    assert env.backend is backend
    np.testing.assert_array_equal(episode(env, 1)[0], episode(single(), 1)[0])
    env.close()


def test_an_unlimited_action_stays_at_full_guest_runtime_where_the_guest_only_reads():
    env = one_writer(scenario=scenario(READERS))
    env.reset(seed=0)
    terminated = False
    while not terminated:
        _, _, terminated, _, info = env.step(FREE)
    # The guest stops at the start of the first send window in which the rest fits into the downtime limit of 0.3 s.
    window_s = DEFAULT_PARAMETERS.window_s
    stopped_s = 1000.0 - window_s * math.ceil((1000.0 - 0.3) / window_s)
    assert info["guest_runtime"] == pytest.approx(1.0 - stopped_s / 1000.0, rel=1e-6)
    assert info["cost"] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.slow
def test_frames_show_the_migration_so_far():
    env = one_writer(render_mode="rgb_array")
    env.reset(seed=0)
    env.step(FREE)
    first = env.render()
    assert first.shape == (600, 800, 3)
    assert first.dtype == np.uint8
    for _ in range(10):
        env.step(-FREE)
    assert (env.render() != first).any()


def test_without_a_render_mode_render_says_how_to_get_one():
    env = one_writer()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None


def test_calls_in_the_wrong_order_are_refused():
    env = one_writer(render_mode="rgb_array")
    with pytest.raises(RuntimeError, match="call reset before step"):
        env.step(FREE)
    with pytest.raises(RuntimeError, match="call reset before render"):
        env.render()
    _ = episode(env, 0)
    with pytest.raises(RuntimeError, match="has ended: call reset"):
        env.step(FREE)


@pytest.mark.parametrize("shape", [(SLOTS + 1,), (1,), (1, SLOTS)])
def test_an_action_of_another_shape_is_refused(shape):
    env = one_writer()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must have"):
        env.step(np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"backend": "modell"}, r"unknown backend 'modell' \(did you mean 'model'\?\)"),
        ({"render_mode": "human"}, r"render_mode='human'; allowed: None, \['rgb_array'\]"),
        ({"suite": "mixt"}, r"unknown suite 'mixt' \(did you mean 'mixed'\?\)"),
    ],
)
def test_an_argument_that_is_wrong_is_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        single(**keywords)


def test_a_keyword_that_is_misspelt_is_refused():
    with pytest.raises(TypeError, match="preferences"):
        single(preferences=0.2)


def test_a_pause_at_the_deadline_goes_on_until_all_is_sent_and_is_told_of():
    """In the single environment and the vector alike."""
    limits = Limits(downtime_s=0.01, deadline="4 T0", on_deadline="pause")
    greedy = scenario(writers("uniform", set_mb=150.0, rate_mb_per_s=50.0), memory_mb=200.0, limits=limits)
    env = one_writer(scenario=greedy, preference=0.5)
    env.reset(seed=0)
    terminated, total = False, 0.0
    while not terminated:
        _, reward, terminated, truncated, info = env.step(FREE)
        total += reward
        assert not truncated
    assert (info["converged"], info["forced"]) == (1.0, 1.0)
    assert 4.0 < info["time_over_t0"] < 5.0
    assert info["downtime_s"] == pytest.approx(info["total_time_s"] - 4.0 * info["pass_time_s"], abs=1e-3)
    assert total == pytest.approx(-info["cost"], rel=1e-6)
    assert info["term_deadline"] == 0.0
    envs = gym.make_vec("dqgym/Migration-v0", num_envs=2, scenario=greedy, preference=0.5, vcpu_slots=env.options.slots)
    envs.reset(seed=0)
    ended = np.zeros(2, dtype=bool)
    while not ended.any():
        _, _, ended, _, infos = envs.step(np.broadcast_to(FREE, (2, *FREE.shape)))
    final = infos.get("final_info", infos)
    assert final["forced"][ended].all()
    assert final["cost"][ended] == pytest.approx(info["cost"], rel=1e-3)
