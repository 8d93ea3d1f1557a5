import json

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.bench.decision_latency import measure_latencies
from experiments.bench.env_rate import Stepper
from experiments.bench.training_rate import UpdateShape, measure_training_rates
from experiments.cli.app import app


class CountingEnv(gym.vector.VectorEnv):
    """Three environments that note the actions they are given."""

    def __init__(self):
        self.num_envs = 3
        self.single_action_space = gym.spaces.Box(-1, 1, (2,))
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, 3)
        self.actions = []

    def reset(self, *, seed=None, options=None):
        return np.zeros((3, 1)), {}

    def step(self, actions):
        self.actions.append(actions)
        return np.zeros((3, 1)), np.zeros(3), np.zeros(3, bool), np.zeros(3, bool), {}


def test_rates_count_every_step_of_every_environment(monkeypatch):
    env = CountingEnv()
    clock_s = [0.0]

    def now():
        return clock_s[0] + 0.25 * len(env.actions)  # each step takes a quarter of a second

    monkeypatch.setattr("experiments.bench.env_rate.time.perf_counter", now)
    monkeypatch.setattr("experiments.bench.env_rate.time.process_time", lambda: now() / 2)
    stepper = Stepper(env)
    before = len(env.actions)
    stepper.sample(2.0)
    assert len(env.actions) - before == 8
    assert stepper.wall_rates == [pytest.approx(3 * 4.0)]
    assert stepper.cpu_rates == [pytest.approx(3 * 8.0)]
    assert all(action in env.action_space for action in env.actions)


@pytest.mark.slow
def test_env_command_prints_every_size_beside_cartpole():
    arguments = [
        "bench",
        "env",
        "--n-envs",
        "2",
        "--n-envs",
        "3",
        "--vcpus",
        "8",
        "--repeats",
        "1",
        "--sample-s",
        "0.001",
    ]
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert [(result["n_envs"], result["vcpus"]) for result in document["results"]] == [(2, 8), (3, 8)]
    assert set(document["cartpole_vector_env_steps_per_s"]) == {"2", "3"}
    assert all(result["env_steps_per_s"] > 0 for result in document["results"])
    assert document["hardware"]["cores"] >= 1
    table = CliRunner().invoke(app, arguments)
    assert table.exit_code == 0
    assert "CartPoleVectorEnv" in table.stdout


@pytest.mark.slow
def test_training_rates_cover_ppo_with_both_policies_and_paired_rollouts():
    document = measure_training_rates([2], vcpus=8, repeats=1, shape=UpdateShape(n_steps=8, epochs=1, minibatches=2))
    assert [(result["algorithm"], result["policy"], result["n_envs"]) for result in document["results"]] == [
        ("ppo", "mlp", 2),
        ("ppo", "per-vcpu", 2),
        ("paired", "per-vcpu", 2),
    ]
    assert all(result["frames_per_s"] > 0 for result in document["results"])


@pytest.mark.slow
def test_latencies_cover_torch_and_onnx_runtime():
    pytest.importorskip("onnx")
    document = measure_latencies([8], decisions=100)
    assert {(result["form"], result["timed"]) for result in document["results"]} == {
        ("torch", "network"), ("torch", "decision"), ("ONNX Runtime", "network"), ("ONNX Runtime", "decision"),
    }  # fmt: skip
    assert all(0 < result["p50_us"] <= result["p99_us"] for result in document["results"])
