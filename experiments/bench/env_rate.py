"""Environment steps per second, through the whole public ``step`` of each vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from dqgym.envs.vector import MigrationVectorEnv
from dqgym.errors import BadInputError
from experiments.bench.cartpoles import BATCHES, GYMNASIUM, cartpoles, missing_kinds
from experiments.bench.clock import clock_hz
from experiments.bench.hardware import hardware
from experiments.bench.stepper import Stepper

ENV_COUNTS = (16, 256, 1024, 4096, 16384)


@dataclass(frozen=True)
class Sampling:
    """How often each figure is measured, and for how long each time."""

    repeats: int
    sample_s: float


def measure_env_rates(
    suites: Sequence[str], n_envs: Sequence[int], vcpus: Sequence[int], sampling: Sampling
) -> dict[str, Any]:
    """Median rates of every suite and size, and of CartPole; samples of one size take turns, so all see the same load.

    The migrations are those with up to so many vCPUs: every slot costs the same, used or not.
    """
    results: list[dict[str, Any]] = []
    left_out: list[str] = []
    for slots in vcpus:
        fitting, reasons = _fitting(suites, slots)
        left_out += reasons
        for n in n_envs if fitting else ():
            results += _of_size(fitting, n, slots, sampling)
    if not results:
        raise BadInputError("; ".join(left_out))
    return {"results": results, "left_out": left_out, "not_installed": missing_kinds(), "hardware": hardware()}


def _fitting(suites: Sequence[str], slots: int) -> tuple[list[str], list[str]]:
    """The suites that have migrations of so few vCPUs, and why the others are left out."""
    fitting, reasons = [], []
    for suite in suites:
        try:
            MigrationVectorEnv(1, suite=suite, max_vcpus=slots, vcpu_slots=slots, pool_size=1)
        except BadInputError as error:
            reasons.append(f"{suite} with {slots} vCPU slots: {error}")
        else:
            fitting.append(suite)
    return fitting, reasons


def _of_size(suites: Sequence[str], n_envs: int, slots: int, sampling: Sampling) -> list[dict[str, Any]]:
    """A result for each suite."""
    actions = list(np.random.default_rng(0).uniform(-1.0, 1.0, (BATCHES, n_envs, slots)).astype(np.float32))
    envs = {suite: MigrationVectorEnv(n_envs, suite=suite, max_vcpus=slots, vcpu_slots=slots) for suite in suites}
    migrations = {suite: Stepper(env, actions) for suite, env in envs.items()}
    others = cartpoles(n_envs)
    clocks_hz = []
    for _ in range(sampling.repeats):
        clocks_hz.append(clock_hz())
        for stepper in (*others.values(), *migrations.values()):
            stepper.sample(sampling.sample_s)
    measured_hz = [hz for hz in clocks_hz if hz is not None]
    return [
        {
            "suite": suite,
            "n_envs": n_envs,
            "vcpus": slots,
            "env_steps_per_s": stepper.wall_rate,
            "env_steps_per_cpu_s": stepper.cpu_rate,
            "cycles_per_step": median(measured_hz) / stepper.cpu_rate if measured_hz else None,
            "pieces_per_step": envs[suite].pieces_per_step(),
            "mean_vcpus": float(np.mean([scenario.vcpus for scenario in envs[suite].options.scenarios])),
            "cartpole_steps_per_cpu_s": {kind: other.cpu_rate for kind, other in others.items()},
            "ratio_to_cartpole_vector_env": stepper.cpu_rate / others[GYMNASIUM].cpu_rate,
        }
        for suite, stepper in migrations.items()
    ]
