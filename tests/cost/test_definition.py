import numpy as np
import pytest

from dqgym.cost import FAST, GENTLE, LEAST_RUN_SHARE, MAX_STALL, PREFERENCE_RANGE, WINDOW_S, migration_cost
from dqgym.cost.window import stall_of_window


def cost(total_time_s, stall_s, pass_time_s, converged, preference):
    arrays = [np.array([number], dtype=float) for number in (total_time_s, stall_s, pass_time_s)]
    return migration_cost(*arrays, np.array([converged]), preference)[0]


@pytest.mark.parametrize(
    ("total_time_s", "stall_s", "pass_time_s", "converged", "preference", "expected"),
    [
        (10.0, 0.0, 10.0, True, 0.2, 1.0),  # nothing written, nothing stalled
        (15.0, 20.0, 10.0, True, 0.2, 1.9),
        (15.0, 20.0, 10.0, True, 0.6, 2.7),
        (200.0, 0.0, 10.0, False, 0.2, 40.0),  # missed a deadline of 20 T0: as if it had taken 40
        (200.0, 100.0, 10.0, False, 0.2, 44.0),
    ],
)
def test_cost_by_hand(total_time_s, stall_s, pass_time_s, converged, preference, expected):
    assert cost(total_time_s, stall_s, pass_time_s, converged, preference) == pytest.approx(expected)


def test_each_migration_has_its_own_cost():
    together = migration_cost(
        np.array([10.0, 40.0]), np.array([5.0, 0.0]), np.array([10.0, 2.0]), np.array([True, False]), 1.0
    )
    np.testing.assert_allclose(together, [1.5, 40.0])


def stall(*shares: float, present=None, window_s: float = 0.1) -> float:
    there = np.ones(len(shares)) if present is None else np.array(present)
    tiles = np.zeros((1, 2, 4), dtype=np.float32)
    tiles[0, 0, : len(shares)], tiles[0, 1, : len(shares)] = there, np.float32(window_s) * np.float32(shares)
    return float(stall_of_window(tiles, (0,) * 4, window_s, float(there.sum())))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01])
def test_stall_is_minus_the_logarithm_of_the_run_share_times_the_window(share):
    assert stall(share) == pytest.approx(-np.log(share) * 0.1, rel=1e-5, abs=1e-8)
    assert stall(share, window_s=3.0) == pytest.approx(-np.log(share) * 3.0, rel=1e-5, abs=1e-6)


def test_stall_of_a_stopped_vcpu_is_bounded():
    assert stall(0.0) == pytest.approx(0.1 * min(MAX_STALL, -np.log(LEAST_RUN_SHARE)), rel=1e-5)
    assert stall(0.0) == stall(0.5 * LEAST_RUN_SHARE)


def test_stall_is_the_mean_over_the_vcpus_that_exist():
    assert stall(1.0, 0.25) == pytest.approx(-np.log(0.25) * 0.1 / 2, rel=1e-5)
    assert stall(1.0, 0.25, 0.0, 0.0, present=[1, 1, 0, 0]) == pytest.approx(stall(1.0, 0.25), rel=1e-6)


def test_stall_is_convex_so_that_two_half_speeds_cost_less_than_a_stop():
    assert 2 * stall(0.5) < stall(0.0) + stall(1.0)
    assert stall(0.5, 0.5) < stall(0.0, 1.0)


def test_run_time_beyond_the_window_is_no_gain():
    assert stall(1.001) == 0.0


def test_the_named_preferences_lie_in_the_range():
    assert PREFERENCE_RANGE[0] <= FAST < GENTLE <= PREFERENCE_RANGE[1]
    assert WINDOW_S == 0.1
