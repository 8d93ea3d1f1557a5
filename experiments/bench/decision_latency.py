"""The time that one decision of a policy takes, run by torch and by ONNX Runtime, for one migration at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from agents.actor import Act, as_function, deterministic_actor
from agents.algorithms.algorithms import make_algorithm
from agents.config import PpoConfig
from agents.vec_env import Sb3VecEnv
from dqgym.backends.model import ModelBackend
from dqgym.controller.network import load_network
from dqgym.controller.policy_throttle import PolicyThrottle
from dqgym.cost import FAST
from dqgym.envs.vector import MigrationVectorEnv
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.interval import ControlInterval
from experiments.bench.hardware import hardware
from experiments.bundles.onnx_export import actor_to_onnx

WARM_UP_DECISIONS = 100
SUITE = "mixed"


def measure_latencies(vcpus: Sequence[int], decisions: int) -> dict[str, Any]:
    """Percentiles of the latency of each form: of the network alone, and from telemetry to command."""
    results = [
        {"form": form, "vcpus": slots, "timed": timed, **_percentiles(call, decisions)}
        for slots in vcpus
        for form, act in _forms(slots).items()
        for timed, call in _calls(act, slots).items()
    ]
    return {"results": results, "hardware": hardware()}


def _forms(vcpu_slots: int) -> dict[str, Act]:
    """The same fresh per-vCPU network, run by torch and by ONNX Runtime."""
    env = MigrationVectorEnv(
        1, suite=SUITE, max_vcpus=vcpu_slots, vcpu_slots=vcpu_slots, pool_size=1, autoreset_mode=AutoresetMode.SAME_STEP
    )
    actor = deterministic_actor(make_algorithm(PpoConfig(batch_size=64), Sb3VecEnv(env), seed=0).policy)
    exported = load_network(actor_to_onnx(actor, vcpu_slots=None))
    return {"torch": as_function(actor), "ONNX Runtime": exported.act}


def _calls(act: Act, vcpu_slots: int) -> dict[str, Callable[[], object]]:
    """The decisions to time, on the telemetry of a migration that has just begun."""
    throttle = PolicyThrottle(
        "policy", act, Encoder, ActionSpec(), preference=FAST, control_interval=ControlInterval(least_s=0.1)
    )
    backend = ModelBackend(vcpu_slots=vcpu_slots)
    telemetry = backend.start(get_suite(SUITE).scenarios(1, seed=0, max_vcpus=vcpu_slots), [0])
    throttle.reset(backend.facts)
    telemetry = backend.step(throttle.act(telemetry), throttle.control_interval.seconds(backend.facts))
    encoder = Encoder(backend.facts.present.shape[1])
    encoder.reset(backend.facts, FAST)
    observation = encoder.encode(telemetry)
    return {"network": lambda: act(observation), "decision": lambda: throttle.act(telemetry)}


def _percentiles(call: Callable[[], object], decisions: int) -> dict[str, float]:
    for _ in range(WARM_UP_DECISIONS):
        call()
    times_ns = np.empty(decisions)
    for index in range(decisions):
        start_ns = time.perf_counter_ns()
        call()
        times_ns[index] = time.perf_counter_ns() - start_ns
    p50_us, p99_us = np.percentile(times_ns, (50, 99)) / 1e3
    return {"p50_us": float(p50_us), "p99_us": float(p99_us)}
