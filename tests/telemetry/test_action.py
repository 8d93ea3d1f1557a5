import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.telemetry.action import ActionSpec, action_to_command
from dqgym.telemetry.telemetry import Facts

SPEC = ActionSpec()


def facts(vcpus: tuple[int, ...], slots: int = 4) -> Facts:
    n = len(vcpus)
    return Facts(
        present=np.arange(slots) < np.array(vcpus)[:, None],
        memory_bytes=np.full(n, 1e9),
        bandwidth_bytes_per_s=np.full(n, 1e8),
        downtime_limit_s=np.full(n, 0.3),
        deadline_s=np.full(n, 200.0),
        ring_bytes=np.full(n, 4096.0 * 4096),
    )


@pytest.mark.slow
@settings(deadline=None)
@given(action=st.floats(-1.0, 1.0, width=32), bandwidth=st.floats(1e3, 1e12), vcpus=st.integers(1, 4))
def test_limits_are_fair_shares_of_the_writers_on_a_logarithmic_scale(action, bandwidth, vcpus):
    actions = np.full((1, 4), action, dtype=np.float32)
    command = action_to_command(actions, np.array([bandwidth]), np.array([vcpus]), facts((4,)), SPEC)
    expected = bandwidth / vcpus * SPEC.lowest * (SPEC.highest / SPEC.lowest) ** ((action + 1.0) / 2.0)
    expected = np.inf if action == 1.0 else expected
    np.testing.assert_allclose(command.dirty_limit_bytes_per_s, np.full((1, 4), expected), rtol=1e-4)


def test_zero_lets_the_vm_dirty_a_third_of_what_the_link_carries():
    command = action_to_command(
        np.zeros((2, 4), dtype=np.float32), np.array([1e8, 4e8]), np.array([1.0, 4.0]), facts((1, 4)), SPEC
    )
    np.testing.assert_allclose(
        np.where(facts((1, 4)).present, command.dirty_limit_bytes_per_s, 0.0).sum(axis=1),
        [0.3162e8, 1.265e8],
        rtol=1e-3,
    )


def test_an_action_below_the_range_is_the_lowest_limit():
    command = action_to_command(
        np.full((1, 4), -7.0, dtype=np.float32), np.array([1e8]), np.array([4.0]), facts((4,)), SPEC
    )
    np.testing.assert_allclose(command.dirty_limit_bytes_per_s, SPEC.lowest * 0.25e8, rtol=1e-4)


def test_an_action_commands_limits_and_nothing_else():
    actions = np.full((2, 4), 0.3, dtype=np.float32)
    command = action_to_command(actions, np.array([1e8, 1e8]), np.array([1.0, 4.0]), facts((1, 4)), SPEC)
    assert (command.run_share_cap == 1.0).all()
    assert (command.ring_sleep_s == 0.0).all()
    assert not command.share_unclaimed.any()
    assert not command.sync.any()
    assert (actions == np.float32(0.3)).all()
    assert command.dirty_limit_bytes_per_s.dtype == np.float32


def test_actions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\), must have \(2, 4\)"):
        action_to_command(np.zeros((2, 3), dtype=np.float32), np.ones(2), np.ones(2), facts((1, 4)), SPEC)


@pytest.mark.parametrize(("lowest", "highest"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, 1.0)])
def test_an_empty_range_is_refused(lowest, highest):
    with pytest.raises(ValueError, match=f"lowest={lowest!r}.*highest={highest!r}"):
        ActionSpec(lowest, highest)


def test_a_manifest_can_carry_the_specification():
    spec = ActionSpec(0.01, 3.0)
    assert ActionSpec.from_spec(json.loads(json.dumps(spec.spec()))) == spec
