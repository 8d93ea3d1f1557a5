"""Environments of a vector that stand still while others go on."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from dqgym.envs.vector import MigrationVectorEnv

SLOTS = 4
WORLD = {"suite": "mixed", "pool_size": 32, "max_vcpus": SLOTS, "vcpu_slots": SLOTS, "control_interval": "0.2 T0"}


def vector(num_envs: int, mode: AutoresetMode = AutoresetMode.SAME_STEP, **keywords) -> MigrationVectorEnv:
    return MigrationVectorEnv(num_envs, autoreset_mode=mode, **{**WORLD, **keywords})


def random_actions(env: MigrationVectorEnv, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1.0, 1.0, env.action_space.shape).astype(np.float32)


LEFT_OUT = np.array([False, True, False, True, True])


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.slow
def test_environments_left_out_stand_still_and_the_others_go_on_as_they_would(mode):
    one, other = vector(5, mode, max_episode_steps=9), vector(5, mode, max_episode_steps=9)
    one.reset(seed=3)
    other.reset(seed=3)
    rng = np.random.default_rng(0)
    actions = [random_actions(one, rng) for _ in range(20)]
    for each in actions[:4]:
        one.step(each)
        other.step(each)
    one.leave_out(LEFT_OUT)
    for each in actions:
        observations, rewards, terminated, truncated, _ = one.step(each)
        expected = other.step(each)
        for got, wanted in zip((observations, rewards, terminated, truncated), expected, strict=False):
            np.testing.assert_array_equal(got[~LEFT_OUT], wanted[~LEFT_OUT])
            assert not got[LEFT_OUT].any()
    one.leave_out(~LEFT_OUT)
    again = vector(5, mode, max_episode_steps=9)
    again.reset(seed=3)
    for each in actions[:4]:
        again.step(each)
    for each in actions[:4]:
        got, wanted = one.step(each), again.step(each)
        np.testing.assert_array_equal(got[0][LEFT_OUT], wanted[0][LEFT_OUT])
        np.testing.assert_array_equal(got[1][LEFT_OUT], wanted[1][LEFT_OUT])


@pytest.mark.slow
def test_without_autoreset_those_that_ended_can_be_left_out_until_the_last_one_ends():
    env, rng = vector(5, AutoresetMode.DISABLED), np.random.default_rng(0)
    env.reset(seed=3)
    over, ends = np.zeros(5, dtype=bool), np.zeros(5, dtype=int)
    while not over.all():
        terminated = env.step(random_actions(env, rng))[2]
        ends += terminated
        over |= terminated
        env.leave_out(over)
    assert ends.tolist() == [1] * 5
    env.leave_out(~over)
    with pytest.raises(RuntimeError, match=r"\[0, 1, 2, 3, 4\] have ended"):
        env.step(random_actions(env, rng))


def test_a_reset_takes_environments_back_in():
    env = vector(3)
    env.reset(seed=0)
    env.leave_out(np.array([True, True, False]))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    assert env.step(random_actions(env, np.random.default_rng(0)))[1].astype(bool).tolist() == [True, False, True]


@pytest.mark.parametrize("mask", [np.zeros(2, dtype=bool), np.zeros(3), [True, False, False]])
def test_masks_that_leave_out_no_environments_are_refused(mask):
    with pytest.raises(ValueError, match=r"leave_out: the mask must be bool \[3\]"):
        vector(3).leave_out(mask)
