"""Runs through all kernels: ``python -m tests.jit.rollouts FILE [--in-order]`` writes what they compute to a .npz file.

``--in-order``: they are compiled without fast-math flags. Numba's cache does not tell the two apart, so that this needs
a ``NUMBA_CACHE_DIR`` of its own.
"""

from __future__ import annotations

import sys

import dqgym.jit.compile as jit

if __name__ == "__main__" and "--in-order" in sys.argv:
    jit.FAST = set()  # before any kernel is defined
    import dqgym.jit.lanes

    dqgym.jit.lanes.FUSES = False

import numpy as np
import torch

from agents.networks.pooling import pool
from dqgym.backends.base import Backend
from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.controller.loop import run_migrations
from dqgym.envs.migration import MigrationEnv
from dqgym.envs.vector import MigrationVectorEnv
from dqgym.model.bandwidth import bandwidth_path
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.model.pool import pack_scenarios
from dqgym.oracle.throttle import OracleThrottle
from dqgym.scenario import Phased, Scenario
from dqgym.scenario.suites.registry import get_suite
from dqgym.telemetry.interval import ControlInterval
from dqgym.throttles.registry import make_throttle
from tests.backends.commands import random_command
from tests.model.guests import guest, writer

Found = dict[str, np.ndarray]
SLOTS = 8
ROUGH = {"measurement_noise": 0.1, "late_commands": 0.2, "bandwidth_noise": 0.1, "latency": (0.0, 0.9)}
WORLDS = {
    "plain": {},
    "survey": {"survey": "0.3 T0", "survey_chance": 0.5},
    "rough": {"randomisation": ROUGH},
}


def of_vectors() -> Found:
    """Observations, rewards, ends and hidden states of vector environments; 4 migrations and 60 steps of each."""
    found = {}
    for world, options in WORLDS.items():
        env = MigrationVectorEnv(
            4, suite="mixed", pool_size=8, max_vcpus=SLOTS, vcpu_slots=SLOTS, autoreset_mode="SameStep",
            hidden_state=True, **options,
        )  # fmt: skip
        rng = np.random.default_rng(0)
        steps = [(env.reset(seed=1)[0].copy(), np.zeros(4), np.zeros(4, dtype=bool), np.zeros(4))]
        hidden = []
        for _ in range(60):
            observations, rewards, ended, _, infos = env.step(rng.uniform(-1.0, 1.2, (4, SLOTS)).clip(-1.0, 1.0))
            costs = infos["final_info"]["cost"] if ended.any() else np.zeros(4)
            steps.append((observations.copy(), rewards, ended, costs))
            hidden.append(infos["hidden_state"].copy())
        names = ("observations", "rewards", "ended", "costs")
        found |= {
            f"{world} {name}": np.array(values) for name, values in zip(names, zip(*steps, strict=True), strict=True)
        }
        found[f"{world} hidden"] = np.array(hidden)
    return found


def of_single() -> Found:
    """Observations and rewards of a single environment, whose kernels are others."""
    env = MigrationEnv(suite="mixed", pool_size=8, max_vcpus=SLOTS, vcpu_slots=SLOTS, randomisation=ROUGH)
    rng = np.random.default_rng(0)
    observations, rewards = [env.reset(seed=2)[0]], []
    terminated = False
    while not terminated and len(rewards) < 60:
        observation, reward, terminated, _, _ = env.step(rng.uniform(-1.0, 1.0, SLOTS).astype(np.float32))
        observations.append(observation)
        rewards.append(reward)
    return {"single observations": np.array(observations), "single rewards": np.array(rewards)}


def of_backend(name: str, backend: Backend, scenarios: list[Scenario]) -> Found:
    """Telemetry of 30 control intervals under commands of every kind, after a survey."""
    rng = np.random.default_rng(3)
    telemetry = [backend.start(scenarios, range(len(scenarios)), ControlInterval(0.0, 0.1))]
    facts = backend.facts
    assert facts.survey is not None
    telemetry += [backend.step(random_command(rng, facts), facts.pass_time_s * 0.04) for _ in range(30)]
    return {
        f"{name} surveyed": facts.survey.dirtied_bytes,
        f"{name} vcpu": np.array([each.vcpu for each in telemetry]),
        f"{name} vm": np.array([each.vm for each in telemetry]),
        f"{name} done": telemetry[-1].done,
        f"{name} stall": backend.outcomes().stall_s,
    }


def of_throttles() -> Found:
    """J under throttles; the oracle's search plays a migration hundreds of times."""
    scenarios, seeds = get_suite("phases").scenarios(2, seed=5, max_vcpus=SLOTS), [0, 1]
    found = {}
    for name in ("contextual-rule", "dirty-limit"):
        throttle = make_throttle(name)
        outcomes = run_migrations(ModelBackend(vcpu_slots=SLOTS), scenarios, throttle, seeds)
        found[f"{name} cost"] = outcomes.cost(0.2)
    oracle = OracleThrottle(0.2, rounds=0)
    oracle.foresee(scenarios[:1], seeds[:1])
    found["oracle cost"] = run_migrations(ModelBackend(), scenarios[:1], oracle, seeds[:1]).cost(0.2)
    return found


def of_links() -> Found:
    """The paths of random links."""
    scenarios = get_suite("bandwidth-steps").scenarios(6, seed=1)
    packed = pack_scenarios(scenarios, DEFAULT_PARAMETERS, None)
    paths = [bandwidth_path(packed, n, 7, scenarios[n].deadline_s) for n in range(len(scenarios))]
    return {f"path {n} {k}": part for n, path in enumerate(paths) for k, part in enumerate(path)}


def of_pooling() -> Found:
    """Means, maxima and gradients."""
    rows = torch.relu(torch.randn(20, 6, generator=torch.Generator().manual_seed(0))).requires_grad_()
    mean, maximum = pool(rows, torch.tensor([5, 0, 12, 3]))
    (mean.square().sum() + maximum.square().sum()).backward()
    assert rows.grad is not None
    return {"mean": mean.detach().numpy(), "maximum": maximum.detach().numpy(), "gradient": rows.grad.numpy()}


def small_guests() -> list[Scenario]:
    """For the page-exact reference: writers of all patterns, logs of both kinds."""
    phases = Phased(period_s=3.0, duty=0.5, low_rate_fraction=0.1, jitter=0.3)
    writers = (
        writer("sequential", 200, 400.0, schedule=phases),
        writer("uniform", 200, 400.0, demand="open"),
        writer("hot-cold", 300, 300.0, zipf_skew=0.9),
    )
    return [guest(*writers, log=kind) for kind in ("bitmap", "ring")]


def all_of_it() -> Found:
    """What all kernels compute, by name."""
    mixed = get_suite("mixed").scenarios(6, seed=3, max_vcpus=SLOTS)
    return {
        **of_vectors(),
        **of_single(),
        **of_backend("model", ModelBackend(vcpu_slots=SLOTS), mixed),
        **of_backend("reference", ReferenceBackend(), small_guests()),
        **of_throttles(),
        **of_links(),
        **of_pooling(),
    }


if __name__ == "__main__":
    np.savez(sys.argv[1], **all_of_it())
