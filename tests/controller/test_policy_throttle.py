"""A learned policy behind the interface of a baseline."""

from dataclasses import dataclass

import numpy as np
import pytest

from dqgym.arrays import Float32Array
from dqgym.controller.loop import run_migrations
from dqgym.controller.policy_throttle import PolicyThrottle
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField
from dqgym.throttles.base import Throttle
from tests.controller.fakes import MIB, FakeBackend, writers

ACTIONS = ActionSpec(lowest=0.002, highest=4.0)


@dataclass
class FakeEncoder:
    """Two features: the time of the telemetry, and the preference."""

    vcpu_slots: int

    def reset(self, facts: Facts, preference: float) -> Float32Array:
        self.preference = preference
        self.writers = facts.vcpus.astype(np.float64)
        return np.zeros((len(facts.memory_bytes), 2), dtype=np.float32)

    def encode(self, telemetry: Telemetry) -> Float32Array:
        time_s = telemetry.per_vm(VmField.TIME_S)
        return np.stack([time_s, np.full_like(time_s, self.preference)], axis=1).astype(np.float32)


class FakePolicy:
    """Always the same action; remembers what it saw."""

    def __init__(self, action: float, vcpus: int = 2) -> None:
        self.action, self.vcpus = action, vcpus
        self.seen: list[Float32Array] = []

    def __call__(self, observation: Float32Array) -> Float32Array:
        self.seen.append(observation)
        return np.full((len(observation), self.vcpus), self.action, dtype=np.float32)


def throttle_of(policy: FakePolicy, encoder: object, preference: float = 0.2) -> PolicyThrottle:
    return PolicyThrottle("learned", policy, encoder, ACTIONS, preference, ControlInterval(0.0, 0.05))


def action_for(limit_over_bandwidth: float) -> float:
    return float(2 * np.log(limit_over_bandwidth / ACTIONS.lowest) / np.log(ACTIONS.highest / ACTIONS.lowest) - 1)


def test_it_is_a_throttle_with_the_policy_s_own_control_interval() -> None:
    throttle = throttle_of(FakePolicy(1.0), FakeEncoder)
    assert isinstance(throttle, Throttle)
    assert throttle.control_interval == ControlInterval(0.0, 0.05)


def test_its_actions_become_limits_in_fair_shares_of_the_measured_bandwidth() -> None:
    backend = FakeBackend()
    throttle = throttle_of(FakePolicy(action_for(0.5)), FakeEncoder)
    outcome = run_migrations(backend, [writers(500, vcpus=2)] * 2, throttle, [0, 1])
    assert backend.commands[3].dirty_limit_bytes_per_s == pytest.approx(0.5 * 64 * MIB / 2, rel=1e-4)
    # Two vCPUs at a quarter of the bandwidth each: what is left falls by half of what is sent.
    assert outcome.time_over_t0[0] == pytest.approx((1 - 19.2 / 128) / 0.5, rel=0.1)


def test_each_decision_sees_the_last_interval_and_each_run_has_an_encoder_of_its_own() -> None:
    policy, encoders = FakePolicy(1.0), []

    def make(slots: int) -> FakeEncoder:
        encoders.append(FakeEncoder(slots))
        return encoders[-1]

    throttle = throttle_of(policy, make, preference=0.6)
    for _ in range(2):
        policy.seen.clear()
        run_migrations(FakeBackend(), [writers(20, vcpus=2)], throttle, [0])
        assert [seen[0, 0] for seen in policy.seen] == pytest.approx([0.1 * i for i in range(len(policy.seen))])
        assert all(seen[0, 1] == np.float32(0.6) for seen in policy.seen)
    assert [encoder.vcpu_slots for encoder in encoders] == [2, 2]


def test_a_policy_for_another_number_of_vcpus_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"policy 'learned': actions have shape \(1, 2\), the run \(1, 3\)"):
        run_migrations(FakeBackend(), [writers(20, vcpus=3)], throttle_of(FakePolicy(1.0), FakeEncoder), [0])


@pytest.mark.slow
def test_with_the_real_encoder_the_first_decision_sees_the_observation_of_the_reset() -> None:
    policy = FakePolicy(action_for(0.25))
    throttle = throttle_of(policy, Encoder)
    backend = FakeBackend()
    run_migrations(backend, [writers(500, vcpus=2)] * 2, throttle, [0, 1])
    at_reset = Encoder(2).reset(backend.facts, 0.2)
    assert np.array_equal(policy.seen[0], at_reset)
    assert not np.array_equal(policy.seen[1], at_reset)
