"""Commands that take effect within their control interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dqgym.envs.vector import MigrationVectorEnv
from dqgym.model.layout import Vcpu, Vm
from tests.model.migrations import NO_COSTS, scenario, writers
from tests.model_state import vm_column

SLOTS = 4
CASE = scenario(writers("uniform", vcpus=SLOTS, set_mb=200.0, rate_mb_per_s=0.5))
"""Four writers of 2 B in all on a link of one bandwidth B: a fair share is always a quarter of it. T0 is 1000 s."""
INTERVAL_S = 40.0
FREE = 1.0


def env_of(latency: tuple[float, float] | None, n: int = 1, **keywords) -> MigrationVectorEnv:
    randomisation = None if latency is None else {"latency": latency}
    keywords = {"scenario": CASE, "parameters": NO_COSTS, "preference": 0.2, **keywords}
    env = MigrationVectorEnv(n, autoreset_mode="Disabled", randomisation=randomisation, **keywords)
    env.reset(seed=3)
    return env


def played(env: MigrationVectorEnv, actions: list[float]) -> list[np.ndarray]:
    """[N, V] bytes dirtied in each step."""
    dirtied = []
    for action in actions:
        env.step(np.full(env.action_space.shape, action, dtype=np.float32))
        dirtied.append(env._vcpu[:, Vcpu.DIRTIED_BYTES].copy())
    return dirtied


ACTIONS = [-0.6, -0.2, -1.0, 0.1, -0.4, -0.8]


def test_a_whole_interval_is_to_play_each_action_one_step_later_after_a_free_one():
    late, shifted = env_of((1.0, 1.0)), env_of(None)
    for ours, theirs in zip(played(late, ACTIONS), played(shifted, [FREE, *ACTIONS[:-1]]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(vm_column(late, Vm.STALL_TERM), vm_column(shifted, Vm.STALL_TERM))
    np.testing.assert_array_equal(vm_column(late, Vm.SENT_BYTES), vm_column(shifted, Vm.SENT_BYTES))


@pytest.mark.parametrize("latency", [0.1, 0.5, 0.8])
def test_the_old_limits_hold_for_that_share_of_each_interval(latency):
    """Whoever has written next to nothing dirties as much as the limit says: the two limits, weighed by their times."""
    actions = [-0.9, -0.6, -0.95]
    first, second, third = (0.25 * 0.005 * 4000 ** ((action + 1) / 2) for action in actions)  # MB/s of each vCPU
    dirtied = [each.mean() / 1e6 / INTERVAL_S for each in played(env_of((latency, latency)), actions)]
    assert dirtied[1] == pytest.approx(latency * first + (1.0 - latency) * second, rel=1e-2)
    assert dirtied[2] == pytest.approx(latency * second + (1.0 - latency) * third, rel=1e-2)


def test_none_is_the_environment_without():
    for ours, theirs in zip(played(env_of((0.0, 0.0)), ACTIONS), played(env_of(None), ACTIONS), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_guest_runs_free_until_the_first_command_takes_effect():
    env = env_of((0.999999, 0.999999))
    env.step(np.full((1, SLOTS), -1.0, dtype=np.float32))
    assert (env._vcpu[0, Vcpu.STALLED_S] < 0.01 * INTERVAL_S).all()
    env.step(np.full((1, SLOTS), -1.0, dtype=np.float32))
    assert (env._vcpu[0, Vcpu.STALLED_S] > 0.5 * INTERVAL_S).all()


def test_each_migration_draws_one_evenly_and_keeps_it():
    env = env_of((0.2, 0.6), n=512)
    drawn = vm_column(env, Vm.LATENCY)
    assert stats.kstest(drawn, stats.uniform(0.2, 0.4).cdf).pvalue > 1e-3
    played(env, ACTIONS)
    np.testing.assert_array_equal(vm_column(env, Vm.LATENCY), drawn)
    env.reset(options={"reset_mask": np.arange(512) < 256})
    np.testing.assert_array_equal(vm_column(env, Vm.LATENCY)[256:], drawn[256:])
    assert (vm_column(env, Vm.LATENCY)[:256] != drawn[:256]).all()


def test_latency_changes_neither_the_clock_nor_the_scenarios():
    keywords = {"scenario": None, "suite": "mixed", "pool_size": 64, "max_vcpus": SLOTS, "n": 64}
    late, plain = env_of((0.3, 0.9), **keywords), env_of(None, **keywords)
    # A latency is drawn after all else.
    np.testing.assert_array_equal(vm_column(late, Vm.MEMORY_BYTES), vm_column(plain, Vm.MEMORY_BYTES))
    np.testing.assert_array_equal(vm_column(late, Vm.PREFERENCE), vm_column(plain, Vm.PREFERENCE))
    for env in (late, plain):
        env.step(np.full((64, SLOTS), -1.0, dtype=np.float32))
    both_run = (vm_column(late, Vm.DONE) == 0.0) & (vm_column(plain, Vm.DONE) == 0.0)
    assert both_run.sum() > 50
    np.testing.assert_allclose(vm_column(late, Vm.TIME_S)[both_run], vm_column(plain, Vm.TIME_S)[both_run], rtol=1e-9)
    np.testing.assert_allclose(
        vm_column(late, Vm.INTERVAL_S)[both_run], vm_column(plain, Vm.INTERVAL_S)[both_run], rtol=1e-9
    )


def test_a_migration_may_end_before_its_command_takes_effect():
    """In the last interval, most of which is over before the limits change, nothing is amiss."""
    env = env_of(
        (0.9, 0.9), n=32, scenario=None, suite="mixed", pool_size=32, max_vcpus=SLOTS, control_interval="0.3 T0"
    )
    ended = np.zeros(32, dtype=bool)
    for _ in range(80):
        observation, reward, terminated, _, _ = env.step(np.full((32, SLOTS), -0.7, dtype=np.float32))
        assert np.isfinite(observation).all()
        assert np.isfinite(reward).all()
        ended |= terminated
        if terminated.any():
            env.reset(options={"reset_mask": terminated})
    assert ended.mean() > 0.9
