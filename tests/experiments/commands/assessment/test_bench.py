import json

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

from dqgym.errors import BadInputError
from dqgym.jit.compile import COMPILES
from experiments.bench import cartpoles as cartpole_module
from experiments.bench import clock
from experiments.bench.cartpoles import missing_kinds
from experiments.bench.decision_latency import measure_latencies
from experiments.bench.env_rate import Sampling, measure_env_rates
from experiments.bench.output import marks_of
from experiments.bench.stepper import Stepper
from experiments.bench.tables import env_tables
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

    monkeypatch.setattr("experiments.bench.stepper.time.perf_counter", now)
    monkeypatch.setattr("experiments.bench.stepper.time.process_time", lambda: now() / 2)
    env.action_space.seed(0)
    stepper = Stepper(env, [env.action_space.sample() for _ in range(4)])
    before = len(env.actions)
    stepper.sample(2.0)
    assert len(env.actions) - before == 8
    assert stepper.wall_rates == [pytest.approx(3 * 4.0)]
    assert stepper.cpu_rates == [pytest.approx(3 * 8.0)]
    assert all(action in env.action_space for action in env.actions)


def bench(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


SMALL = ("--n-envs", 2, "--vcpus", 8, "--repeats", 1, "--sample-s", 0.001)


@pytest.mark.slow
def test_env_command_measures_every_suite_and_size_beside_cartpole(tmp_path):
    page = tmp_path / "page.md"
    begin, end = marks_of("env")
    page.write_text(f"above\n{begin}\nold\n{end}\nbelow\n")
    arguments = ("env", *SMALL, "--n-envs", 3, "--suite", "mixed", "--suite", "phases", "--update", page)
    document = json.loads(bench(*arguments, "--json").stdout)
    assert [(result["suite"], result["n_envs"], result["vcpus"]) for result in document["results"]] == [
        ("mixed", 2, 8), ("phases", 2, 8), ("mixed", 3, 8), ("phases", 3, 8)
    ]  # fmt: skip
    for result in document["results"]:
        cartpole = result["cartpole_steps_per_cpu_s"]["CartPoleVectorEnv"]
        assert result["ratio_to_cartpole_vector_env"] == pytest.approx(result["env_steps_per_cpu_s"] / cartpole)
        assert min(result["env_steps_per_s"], result["cycles_per_step"], result["mean_vcpus"]) > 0
    assert document["hardware"]["cores"] >= 1
    text = page.read_text()
    assert text.startswith(f"above\n{begin}\n\n**Environment steps per second")
    assert text.endswith(f"\n{end}\nbelow\n")
    assert "old" not in text
    assert "| CartPole: CartPoleVectorEnv |" in text


def test_a_page_without_the_marks_is_refused_before_anything_is_measured(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text")
    for what in ("env", "train", "policy"):
        result = bench(what, "--update", page)
        assert result.exit_code == 2
        assert f"bench {what}: begin" in result.stderr
    assert page.read_text() == "text"


@pytest.mark.slow
def test_suites_without_migrations_of_so_few_vcpus_are_left_out_and_named():
    sampling = Sampling(repeats=1, sample_s=0.001)
    document = measure_env_rates(["mixed", "no-such"], [2], [8], sampling)
    assert [result["suite"] for result in document["results"]] == ["mixed"]
    (reason,) = document["left_out"]
    assert reason.startswith("no-such with 8 vCPU slots: unknown suite 'no-such'")
    with pytest.raises(BadInputError, match="unknown suite 'no-such'"):
        measure_env_rates(["no-such"], [2], [8], sampling)


def result_of(suite, n_envs, **others):
    return {
        "suite": suite, "n_envs": n_envs, "vcpus": 8, "env_steps_per_cpu_s": 2e6, "cycles_per_step": 1300.0,
        "pieces_per_step": None, "cartpole_steps_per_cpu_s": {"CartPoleVectorEnv": 4e6, "envpool": 8e6},
        "ratio_to_cartpole_vector_env": 0.5, **others,
    }  # fmt: skip


def titles_of(**others):
    results = [result_of("mixed", n, **others) for n in (16, 1024)]
    tables = env_tables({"results": results, "left_out": [], "not_installed": ["gymnax"], "hardware": {"cores": 2}})
    return {table.title: table for table in tables}


def test_tables_have_a_column_for_each_size_and_say_what_is_not_installed():
    rates, shares, cycles = titles_of().values()
    assert rates.header == ("suite", "vCPU slots", "N = 16", "N = 1024")
    assert rates.rows == (
        ("mixed", "8", "2.000", "2.000"),
        ("CartPole: CartPoleVectorEnv", "", "4.000", "4.000"),
        ("CartPole: envpool", "", "8.000", "8.000"),
    )
    assert rates.notes == ("not installed: gymnax (pip install 'dqgym[bench]')",)
    assert shares.rows == (("mixed", "8", "0.50", "0.50"),)
    assert cycles.rows == (("mixed", "8", "1300", "1300"),)
    assert cycles.notes[-1] == "cores 2"


def test_tables_have_what_was_counted():
    assert "Cycles per environment step" not in titles_of(cycles_per_step=None)
    pieces = titles_of(pieces_per_step=1.8)["Pieces of constant rates per environment step"]
    assert pieces.rows == (("mixed", "8", "1.80", "1.80"),)


def test_kinds_of_cartpole_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setattr(cartpole_module, "is_installed", lambda module: module == "gymnasium")
    assert missing_kinds() == ["envpool", "gymnax"]
    assert list(cartpole_module.cartpoles(2)) == ["CartPoleVectorEnv"]


@pytest.mark.parametrize("kind", ["envpool", "gymnax"])
def test_cartpole_of_others_steps_as_many_environments(kind):
    pytest.importorskip(kind)
    assert cartpole_module.cartpoles(3)[kind].env.num_envs == 3


def test_the_clock_is_measured_by_a_chain_of_operations_that_is_not_shortened():
    state = 1
    for _ in range(5):
        state ^= state << 13 & 2**64 - 1
        state ^= state >> 7
        state ^= state << 17 & 2**64 - 1
    assert clock._chain(np.uint64(1), 5) == state
    hz = clock.clock_hz()
    assert hz is None if not COMPILES else hz > 0


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
