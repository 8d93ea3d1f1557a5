"""Gymnasium's wrappers and Stable-Baselines3's environments around ours."""

import importlib.util
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecCheckNan, VecMonitor, VecNormalize

import dqgym  # noqa: F401  registers the environment
from agents.vec_env import Sb3VecEnv
from dqgym.envs import MigrationEnv, MigrationVectorEnv

ID = "dqgym/Migration-v0"
SLOTS = 4
WORLD = {"suite": "mixed", "pool_size": 16, "max_vcpus": SLOTS, "vcpu_slots": SLOTS, "control_interval": "0.2 T0"}
MODES = pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])


def vector(mode: AutoresetMode, **keywords) -> gym.vector.VectorEnv:
    return gym.make_vec(ID, num_envs=3, autoreset_mode=mode, **{**WORLD, **keywords})


def drive(env, steps: int = 40):
    """Step with sampled actions; the last step's results, and how many episodes were over."""
    env.reset(seed=0)
    env.action_space.seed(0)
    over = 0
    for _ in range(steps):
        step = env.step(env.action_space.sample())
        over += int(np.sum(step[2] | step[3]))
        if not isinstance(env, gym.vector.VectorEnv) and (step[2] or step[3]):
            env.reset()
    return step, over


@MODES
@pytest.mark.parametrize(
    "wrap",
    [
        vector_wrappers.RecordEpisodeStatistics,
        vector_wrappers.NormalizeReward,
        vector_wrappers.ClipAction,
        lambda env: vector_wrappers.RescaleAction(env, np.float32(0.0), np.float32(2.0)),
        lambda env: vector_wrappers.ClipReward(env, -1.0, 0.0),
        lambda env: vector_wrappers.TransformReward(env, lambda reward: 2.0 * reward),
        lambda env: vector_wrappers.VectorizeTransformReward(
            env, gym.wrappers.TransformReward, func=lambda reward: 2.0 * reward
        ),
    ],
    ids=lambda wrap: getattr(wrap, "__name__", "wrap"),
)
def test_vector_wrappers_run_over_several_episodes(mode, wrap):
    (observation, reward, *_), over = drive(wrap(vector(mode)))
    assert over >= 3
    assert np.isfinite(observation).all()
    assert np.isfinite(reward).all()


@pytest.mark.parametrize(
    "wrap",
    [
        vector_wrappers.NormalizeObservation,
        vector_wrappers.FlattenObservation,
        lambda env: vector_wrappers.DtypeObservation(env, np.float64),
        lambda env: vector_wrappers.RescaleObservation(env, np.float32(-1.0), np.float32(1.0)),
    ],
    ids=lambda wrap: getattr(wrap, "__name__", "wrap"),
)
def test_wrappers_of_observations_run_where_gymnasium_allows_them(wrap):
    """It refuses most of them with SAME_STEP, whatever the environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Gymnasium casts the bounds of float64 to float32
        (observation, *_), over = drive(wrap(vector(AutoresetMode.NEXT_STEP)))
    assert over >= 3
    assert np.isfinite(observation).all()


@MODES
def test_infos_become_one_dict_for_each_environment(mode):
    env = vector_wrappers.DictInfoToList(vector(mode))
    env.reset(seed=0)
    outcomes = 0
    for _ in range(60):
        *_, terminated, _, infos = env.step(np.zeros((3, SLOTS), dtype=np.float32))
        assert len(infos) == 3
        for info, ended in zip(infos, terminated, strict=True):
            assert "reward_time" in info
            outcome = info.get("final_info", info)
            assert ("cost" in outcome) == ended
            outcomes += ended
    assert outcomes >= 3


@MODES
def test_statistics_are_those_that_the_outcome_has(mode):
    if mode == AutoresetMode.SAME_STEP and tuple(map(int, gym.__version__.split(".")[:2])) < (1, 4):
        pytest.skip("RecordEpisodeStatistics of Gymnasium before 1.4 gives other returns under SAME_STEP")
    env = vector_wrappers.RecordEpisodeStatistics(vector(mode))
    env.reset(seed=0)
    checked = 0
    for _ in range(60):
        *_, terminated, _, infos = env.step(np.zeros((3, SLOTS), dtype=np.float32))
        outcomes = infos.get("final_info", infos)
        episode = outcomes.get("episode", infos.get("episode"))
        for n in np.flatnonzero(terminated):
            assert episode["r"][n] == pytest.approx(outcomes["episode_return"][n], rel=1e-5)
            assert episode["l"][n] == outcomes["episode_steps"][n]
            checked += 1
    assert checked >= 3


@MODES
def test_episodes_are_truncated_after_so_many_steps_with_the_cost_so_far(mode):
    """The numbers of Gymnasium's synchronous vector with a time limit; and a vector of its own knows what it cost."""
    ours = vector(mode, max_episode_steps=5)
    theirs = gym.make_vec(
        ID, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, max_episode_steps=5, **WORLD
    )
    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    rng, returns, cut = np.random.default_rng(0), np.zeros(3), 0
    for _ in range(40):
        actions = rng.uniform(-1.0, 1.0, (3, SLOTS)).astype(np.float32)
        step, expected = ours.step(actions), theirs.step(actions)
        for values, others in zip(step[:4], expected[:4], strict=True):
            np.testing.assert_allclose(values, others, rtol=1e-12, atol=1e-12)
        returns += step[1]
        outcomes = step[4].get("final_info", step[4])
        over = step[2] | step[3]
        assert ("cost" in outcomes) == over.any()
        for n in np.flatnonzero(over):
            assert outcomes["cost"][n] == pytest.approx(-returns[n], rel=1e-9)
            if step[3][n] and not step[2][n]:
                assert outcomes["episode_steps"][n] == 5
                assert outcomes["converged"][n] == 0.0
                cut += 1
        returns[over] = 0.0
    assert cut >= 3


def test_a_bridge_tells_truncation_from_an_end():
    env = Sb3VecEnv(vector(AutoresetMode.SAME_STEP, max_episode_steps=4))
    env.seed(0)
    env.reset()
    truncated = [
        info["TimeLimit.truncated"]
        for _ in range(40)
        for info in env.step(np.full((3, SLOTS), -0.5, dtype=np.float32))[3]
        if info
    ]
    assert {True, False} == set(truncated)


@pytest.mark.slow
@MODES
def test_frames_of_a_vector_are_those_of_single_environments(mode):
    ours, theirs = vector(mode, render_mode="rgb_array"), MigrationEnv(**WORLD, render_mode="rgb_array")
    ours.reset(seed=4)
    theirs.reset(seed=5)
    for _ in range(3):
        ours.step(np.full((3, SLOTS), -0.2, dtype=np.float32))
        theirs.step(np.full(SLOTS, -0.2, dtype=np.float32))
    frames = ours.render()
    assert isinstance(frames, tuple)
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[1], theirs.render())
    for _ in range(30):
        ours.step(np.full((3, SLOTS), -0.2, dtype=np.float32))
    assert (ours.render()[1] != frames[1]).any()


def test_without_a_render_mode_a_vector_says_how_to_get_one():
    env = vector(AutoresetMode.NEXT_STEP)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None


@pytest.mark.skipif(importlib.util.find_spec("moviepy") is None, reason="Gymnasium's RecordVideo needs moviepy")
def test_a_vector_is_recorded_as_a_video(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = vector_wrappers.RecordVideo(
            vector(AutoresetMode.NEXT_STEP, render_mode="rgb_array"), str(tmp_path / "videos"), video_length=4,
            step_trigger=lambda step: step == 0,
        )  # fmt: skip
        drive(env, 6)
        env.close()
    assert list((tmp_path / "videos").glob("*.mp4"))


@pytest.mark.parametrize(
    "wrap",
    [
        gym.wrappers.PassiveEnvChecker,
        gym.wrappers.OrderEnforcing,
        gym.wrappers.RecordEpisodeStatistics,
        lambda env: gym.wrappers.TimeAwareObservation(gym.wrappers.TimeLimit(env, 50)),
        gym.wrappers.NormalizeObservation,
        gym.wrappers.NormalizeReward,
        gym.wrappers.ClipAction,
        lambda env: gym.wrappers.RescaleAction(env, np.float32(0.0), np.float32(2.0)),
        lambda env: gym.wrappers.FrameStackObservation(env, 3),
        lambda env: gym.wrappers.FlattenObservation(gym.wrappers.FrameStackObservation(env, 2)),
        lambda env: gym.wrappers.TimeLimit(env, 7),
        lambda env: gym.wrappers.DelayObservation(env, 2),
        lambda env: gym.wrappers.StickyAction(env, 0.3),
    ],
    ids=lambda wrap: getattr(wrap, "__name__", "wrap"),
)
def test_single_wrappers_run_over_several_episodes(wrap):
    (observation, *_), over = drive(wrap(MigrationEnv(**WORLD)), 60)
    assert over >= 1
    assert np.isfinite(observation).all()


def test_autoreset_begins_the_next_episode():
    env = gym.wrappers.Autoreset(MigrationEnv(**WORLD))
    env.reset(seed=0)
    ends = [env.step(np.full(SLOTS, -0.5, dtype=np.float32))[2] for _ in range(60)]
    assert sum(ends) >= 2


def test_stable_baselines_wraps_single_environments():
    check_env(MigrationEnv(**WORLD))
    venv = VecNormalize(VecCheckNan(DummyVecEnv([lambda: Monitor(MigrationEnv(**WORLD))] * 2)))
    venv.seed(0)
    venv.reset()
    episodes = [
        info["episode"]["l"]
        for _ in range(60)
        for info in venv.step(np.full((2, SLOTS), -0.5, dtype=np.float32))[3]
        if "episode" in info
    ]
    assert len(episodes) >= 2


def test_stable_baselines_wraps_the_bridge():
    native = MigrationVectorEnv(3, autoreset_mode=AutoresetMode.SAME_STEP, **WORLD)
    venv = VecNormalize(VecCheckNan(VecMonitor(Sb3VecEnv(native)), raise_exception=True))
    venv.seed(0)
    venv.reset()
    infos = [
        info
        for _ in range(60)
        for info in venv.step(np.full((3, SLOTS), -0.5, dtype=np.float32))[3]
        if "episode" in info
    ]
    assert len(infos) >= 3
    assert all(info["episode"]["l"] == info["outcome"]["episode_steps"] for info in infos)


def make_by_name() -> gym.Env:
    """What a spawned process is told: naming the package registers the environment there."""
    return gym.make("dqgym:dqgym/Migration-v0", **WORLD)


@pytest.mark.slow
def test_spawned_processes_make_the_environment_by_its_long_name():
    apart, here = SubprocVecEnv([make_by_name] * 2, start_method="spawn"), DummyVecEnv([make_by_name] * 2)
    try:
        for venv in (apart, here):
            venv.seed(3)
        np.testing.assert_array_equal(apart.reset(), here.reset())
        actions = np.full((2, SLOTS), -0.5, dtype=np.float32)
        for _ in range(3):
            ours, theirs = apart.step(actions), here.step(actions)
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1].astype(np.float32), theirs[1])
    finally:
        apart.close()
