"""How far an exported form of a policy is from the trained network, in actions, over many observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dqgym.arrays import Float32Array
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.controller.manifest import ParityFigure
from dqgym.controller.policy_throttle import Act
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES, PerVcpu
from experiments.policies import Exportable

VCPU_SLOTS = (1, 8, 32, 64)
"""Numbers of slots at which a policy for any number of vCPUs is compared."""
RECORDED_SCENARIOS = 32
"""Migrations recorded of each sampler that the policy was trained on; of a fixed suite all are."""
SEED = 0


@dataclass(frozen=True)
class ObservationSet:
    """Observations to compare on."""

    source: str
    vcpu_slots: int
    observations: Float32Array
    """[N, D]"""


def observation_sets(policy: Exportable, count: int) -> list[ObservationSet]:
    """``count`` random observations for each number of vCPU slots, and up to as many recorded ones."""
    rng = np.random.default_rng(SEED)
    slots = VCPU_SLOTS if policy.vcpus.slots is None else (policy.vcpus.slots,)
    sets = [ObservationSet("random", vcpus, random_observations(vcpus, count, rng)) for vcpus in slots]
    return [*sets, recorded_observations(policy, count, rng)]


def random_observations(slots: int, count: int, rng: np.random.Generator) -> Float32Array:
    """[count, D] observations, each feature uniform over its range, with at least one vCPU; absent slots hold zeros."""
    global_part = _uniform([(f.low, f.high) for f in GLOBAL_FEATURES], (count,), rng)
    vcpu_part = _uniform([(f.low, f.high) for f in VCPU_FEATURES], (count, slots), rng)
    present = np.arange(slots) < rng.integers(1, slots + 1, size=count)[:, None]
    vcpu_part[:, PerVcpu.PRESENT] = 1.0
    vcpu_part *= present[:, None, :]
    return np.concatenate([global_part, vcpu_part.reshape(count, -1)], axis=1).astype(np.float32)


def _uniform(ranges: Sequence[tuple[float, float]], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """[shape[0], features, *shape[1:]]"""
    return np.stack([rng.uniform(low, high, shape) for low, high in ranges], axis=1)


def recorded_observations(policy: Exportable, count: int, rng: np.random.Generator) -> ObservationSet:
    """Observations of the trained policy in some migrations of the suites that it was trained on."""
    met: list[Float32Array] = []

    def recording_act(observation: Float32Array) -> Float32Array:
        met.append(observation.copy())
        return policy.act(observation)

    scenarios = policy.scenarios(RECORDED_SCENARIOS, SEED)
    slots = policy.vcpus.slots or max(scenario.vcpus for scenario in scenarios)
    run_migrations(ModelBackend(vcpu_slots=slots), scenarios, policy.throttle_of(recording_act), range(len(scenarios)))
    observations = np.unique(np.concatenate(met), axis=0)  # what has ended shows the same to the end of the run
    chosen = rng.permutation(len(observations))[:count]
    return ObservationSet("recorded", slots, observations[chosen])


def parity_figure(form: str, trained: Act, exported: Act, observations: ObservationSet) -> ParityFigure:
    """The largest difference, of a whole batch at once and of one observation at a time (other kernels run then)."""
    wanted = trained(observations.observations)
    at_once = exported(observations.observations)
    one_by_one = np.concatenate([exported(observation[None]) for observation in observations.observations])
    difference = max(np.abs(at_once - wanted).max(), np.abs(one_by_one - wanted).max())
    return ParityFigure(
        form=form,
        observations=len(wanted),
        source=observations.source,
        vcpus=observations.vcpu_slots,
        max_abs_difference=float(difference),
    )
