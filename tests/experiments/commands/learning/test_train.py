import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stable_baselines3.common.save_util import load_from_zip_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from agents.algorithms import training
from experiments.cli.app import app
from experiments.runs.config import load_config
from experiments.runs.run_directory import RunDirectory

CONFIGS = sorted((Path(__file__).parents[4] / "configs").glob("*.yaml"))
RECIPE = CONFIGS[0].with_name("ppo-per-vcpu.yaml")
TINY = [
    "environment.n_envs=4",
    "environment.pool_size=8",
    "environment.max_vcpus=4",
    "evaluation.count=2",
    "evaluation.suites=[stationary]",
    "algorithm.policy.width=8",
]
SHORT_PPO = [*TINY, "algorithm.n_steps=8", "algorithm.batch_size=16", "training.checkpoint_every=64"]
SHORT_SAC = [*TINY, "algorithm.batch_size=16", "algorithm.learning_starts=16", "algorithm.buffer_size=64"]
SHORT = {"paired": TINY, "ppo": SHORT_PPO, "sac": SHORT_SAC}
SCHEDULE = ["training.frames=128", "training.evaluate_every=64"]


def dqgym(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def sets(overrides):
    return [argument for override in overrides for argument in ("--set", override)]


def train(config, run_dir, *overrides):
    result = dqgym("train", config, "--run-dir", run_dir, "--json", *sets(overrides))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def weights(path):
    return load_from_zip_file(path, device="cpu")[1]["policy"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished tiny run."""
    run = RunDirectory(tmp_path_factory.mktemp("train") / "run")
    train(RECIPE, run.path, *SHORT_PPO, *SCHEDULE)
    return run


pytestmark = pytest.mark.usefixtures("heeded_signals")


def interrupt_after(monkeypatch, frames):
    """Press Ctrl-C when the training has reached a number of frames."""
    original = training.ProgressCallback._on_step

    def step(self):
        if self.model.num_timesteps == frames:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    monkeypatch.setattr(training.ProgressCallback, "_on_step", step)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_trains(path, tmp_path):
    kind = load_config(path).algorithm.kind
    result = train(path, tmp_path / "run", *SHORT[kind], "training.frames=32", "training.evaluate_every=32")
    if kind == "paired":  # whole migrations, four at a time
        assert 32 <= result["frames"] < 32 + 4 * 500
    else:
        assert result["frames"] == 32
    assert result["best_cost"] >= 1.0  # no migration is faster than T0


def test_a_finished_run_holds_all_that_its_layout_promises(finished):
    assert sorted(os.listdir(finished.path)) == [
        "best_model.json",
        "best_model.zip",
        "checkpoints",
        "command.txt",
        "config.yaml",
        "evaluation.json",
        "final_model.zip",
        "meta.json",
        "tensorboard",
    ]
    meta = finished.read_meta()
    assert meta.frames == 128
    assert meta.ended_at is not None
    assert load_config(finished.config_path) == load_config(RECIPE, [*SHORT_PPO, *SCHEDULE])


def test_the_evaluation_file_tells_the_best_of_all_evaluations(finished):
    evaluation = json.loads(finished.evaluation_path.read_text())
    costs = {entry["frames"]: entry["cost"] for entry in evaluation["history"]}
    assert list(costs) == [64, 128]
    assert evaluation["cost"] == min(costs.values()) == costs[evaluation["frames"]]
    assert {summary["preference"] for summary in evaluation["summary"]} == {0.2, 0.6}
    mean = sum(summary["cost"] for summary in evaluation["summary"]) / len(evaluation["summary"])
    assert evaluation["cost"] == pytest.approx(mean)


def test_learning_curves_are_logged(finished):
    events = EventAccumulator(str(finished.tensorboard_path)).Reload()
    assert {"eval/cost", "eval/stationary/c=0.2/guest_runtime"} <= set(events.Tags()["scalars"])


@pytest.mark.slow
def test_the_same_seed_and_config_give_the_same_weights(finished, tmp_path):
    again, other = RunDirectory(tmp_path / "again"), RunDirectory(tmp_path / "other")
    train(RECIPE, again.path, *SHORT_PPO, *SCHEDULE)
    train(RECIPE, other.path, *SHORT_PPO, *SCHEDULE, "seed=2")

    expected = weights(finished.final_model_path)
    same, different = weights(again.final_model_path), weights(other.final_model_path)
    assert all(torch.equal(expected[name], same[name]) for name in expected)
    assert not all(torch.equal(expected[name], different[name]) for name in expected)


@pytest.mark.slow
def test_an_interrupted_run_tells_how_to_resume_it_and_is_resumed(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_after(patch, frames=80)
        result = dqgym("train", RECIPE, "--run-dir", run.path, "--json", *sets([*SHORT_PPO, *SCHEDULE]))
    assert result.exit_code == 130
    assert f"go on with: dqgym train --resume {run.path}" in result.stderr
    assert "80 of 128 frames" in result.stderr
    assert run.read_meta().ended_at is None
    assert not run.finished

    result = dqgym("train", "--resume", run.path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["frames"] == 80 + 2 * 32  # whole rollouts until 128 are reached
    assert run.finished
    assert run.read_meta().seed == 1


def test_a_finished_run_says_so_and_is_left_as_it_is(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    result = dqgym("train", "--resume", finished.path)
    assert result.exit_code == 0
    assert "was finished already: 128 frames" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


@pytest.mark.slow
def test_a_finished_run_is_told_of_without_loading_torch(finished):
    script = (
        "import sys; from typer.testing import CliRunner; from experiments.cli.app import app;"
        "result = CliRunner().invoke(app, ['train', '--resume', sys.argv[1]]);"
        "print('was finished already' in result.stdout, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script, finished.path], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False"]


@pytest.mark.slow
def test_reuse_keeps_a_finished_run_and_sets_aside_one_of_another_config(tmp_path):
    path = tmp_path / "run"
    arguments = ["train", RECIPE, "--run-dir", path, "--reuse", *sets([*SHORT_PPO, *SCHEDULE])]
    assert "finished: 128 frames" in dqgym(*arguments).stdout
    assert "was finished already" in dqgym(*arguments).stdout
    assert "finished: 128 frames" in dqgym(*arguments, *sets(["seed=2"])).stdout
    kept = {RunDirectory(folder).read_meta().seed for folder in tmp_path.iterdir()}
    assert kept == {1, 2}
    assert RunDirectory(path).read_meta().seed == 2


def test_show_config_prints_a_config_that_loads_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = dqgym("train", RECIPE, "--show-config", "--set", "seed=5")
    assert result.exit_code == 0
    copy = tmp_path / "copy.yaml"
    copy.write_text(result.stdout)
    assert load_config(copy) == load_config(RECIPE, ["seed=5"])
    assert os.listdir(tmp_path) == ["copy.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a config, or --resume RUN"),
        (["--resume", "run", "--set", "seed=1"], "takes no config, --set, --run-dir or --reuse"),
        (["--resume", "nowhere"], "nowhere is not a training run"),
        (["--resume", "run", "--set", "algorithm.devices=cpu"], "but for --set algorithm.device="),
        (["--resume", "nowhere", "--set", "algorithm.device=cpu"], "nowhere is not a training run"),
        ([RECIPE, "--reuse"], "--reuse needs --run-dir"),
        (["none.yaml"], "cannot read config none.yaml"),
        ([RECIPE, "--set", "sed=1"], "did you mean 'seed'?"),
        (
            [RECIPE, "--set", "evaluation.suites=[cover-letter]", "--set", "environment.max_vcpus=2"],
            "more than max_vcpus=2",
        ),
    ],
)
def test_bad_input_is_told_and_leaves_nothing_behind(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = dqgym("train", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert os.listdir(tmp_path) == []


def test_a_training_that_breaks_down_fails_with_a_message(tmp_path, monkeypatch):
    def break_down(*_):
        raise FloatingPointError("the loss is nan")

    monkeypatch.setattr(training.OutcomeLogger, "_on_rollout_end", break_down)
    result = dqgym("train", RECIPE, "--run-dir", tmp_path / "run", *sets([*SHORT_PPO, *SCHEDULE]))
    assert result.exit_code == 1
    assert "training broke down after 32 frames: the loss is nan" in result.stderr
    assert not RunDirectory(tmp_path / "run").finished


def test_a_device_that_torch_cannot_use_is_refused_before_a_run_directory_is_made(tmp_path):
    result = dqgym("train", RECIPE, "--run-dir", tmp_path / "run", *sets([*TINY, "algorithm.device=cuda:99"]))
    assert result.exit_code == 2
    assert "algorithm.device: 'cuda:99' cannot be used here" in result.output
    assert list(tmp_path.iterdir()) == []
