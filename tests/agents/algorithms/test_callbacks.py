from __future__ import annotations

import os
import re
import signal
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger, configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.algorithms.callbacks import LOGGED_OUTCOMES, BestModelCallback, CheckpointCallback, OutcomeLogger
from agents.algorithms.training import train
from agents.storage.checkpoints import latest_checkpoint
from agents.storage.model_files import read_model
from dqgym.files import write_binary


class CallAt(BaseCallback):
    """Calls a function once, at a number of frames."""

    def __init__(self, frames: int, function) -> None:
        super().__init__()
        self.frames, self.function = frames, function

    def _on_step(self) -> bool:
        if self.num_timesteps == self.frames:
            self.function()
        return True


class OutcomeCollector(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.costs: list[float] = []

    def _on_step(self) -> bool:
        self.costs += [info["outcome"]["cost"] for info in self.locals["infos"] if info]
        return True


class LogRecorder(KVWriter):
    """A logger format that keeps what is written, by name."""

    def __init__(self) -> None:
        self.written: dict[str, list[float]] = {}

    def write(self, key_values, key_excluded, step=0) -> None:
        for name, value in key_values.items():
            self.written.setdefault(name, []).append(value)

    def close(self) -> None:
        pass


pytestmark = pytest.mark.usefixtures("heeded_signals")


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_logs_the_mean_outcome_of_ended_migrations(make_small, algorithm: str) -> None:
    model, recorder, collector = make_small(algorithm, "mlp", mean_steps=6), LogRecorder(), OutcomeCollector()
    model.set_logger(Logger(None, [recorder]))
    model.learn(256, callback=[OutcomeLogger(), collector], log_interval=1 if algorithm == "ppo" else 1000)
    model.logger.dump()
    assert set(LOGGED_OUTCOMES.values()) <= recorder.written.keys()
    if algorithm == "sac":
        assert recorder.written["migration/cost"] == [pytest.approx(np.mean(collector.costs))]
    assert model.ep_info_buffer[-1]["r"] == pytest.approx(-collector.costs[-1])


def test_keeps_the_last_checkpoints(make_small, tmp_path) -> None:
    model = make_small("ppo", "mlp")
    assert train(model, 640, [CheckpointCallback(tmp_path, every_frames=128, keep=2)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000000512.zip",
        "checkpoint-000000000640.zip",
    ]


def test_keeps_the_model_with_the_lowest_cost(make_small, tmp_path) -> None:
    costs = {128: 3.0, 256: 1.0, 384: 2.0, 512: float("nan")}
    callback = BestModelCallback(lambda model: costs[model.num_timesteps], tmp_path / "best.zip", every_frames=128)
    model = make_small("ppo", "mlp")
    train(model, 512, [callback])
    assert (tmp_path / "best.json").read_text() == '{"cost": 1.0, "frames": 256}'

    later = BestModelCallback(lambda model: 1.5, tmp_path / "best.zip", every_frames=128)
    train(model, 640, [later])
    assert later.best_cost == 1.0
    assert '"frames": 256' in (tmp_path / "best.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
@pytest.mark.parametrize("policy", ["mlp", "per-vcpu"])
def test_weights_that_turn_nan_end_the_training_and_are_not_saved(make_small, tmp_path, algorithm, policy) -> None:
    model = make_small(algorithm, policy)

    def break_down() -> None:
        with torch.no_grad():
            next(iter(model.policy.parameters())).fill_(float("nan"))

    best = BestModelCallback(lambda model: 1.0, tmp_path / "best.zip", every_frames=128)
    callbacks = [CheckpointCallback(tmp_path, every_frames=128), best, CallAt(384, break_down)]
    with pytest.raises((FloatingPointError, ValueError)):
        train(model, 1024, callbacks)
    assert latest_checkpoint(tmp_path).name == "checkpoint-000000000256.zip"
    for path in tmp_path.glob("*.zip"):
        assert all(torch.isfinite(tensor).all() for tensor in read_model(path).states["policy"].values())


def test_a_learning_rate_that_is_far_too_large_ends_the_training_with_the_reason(make_small) -> None:
    model = make_small("ppo", "mlp")
    model.lr_schedule = lambda _: float("inf")
    with pytest.raises(FloatingPointError, match="an update made the weights NaN or infinite"):
        train(model, 1024)


def test_evaluations_are_logged_at_their_frame_and_the_last_outcomes_at_the_end(make_small, tmp_path) -> None:
    model = make_small("ppo", "mlp", mean_steps=4)
    model.set_logger(configure(str(tmp_path / "events"), ["tensorboard"]))
    best = BestModelCallback(lambda model: float(model.num_timesteps), tmp_path / "best.zip", every_frames=256)
    assert train(model, 1000, [best, CallAt(712, partial(interrupt, signal.SIGINT))]) is False
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("eval/cost")] == [(256, 256.0), (512, 512.0)]
    assert events.Scalars("migration/cost")[-1].step == 712


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_checkpoint_and_the_handler_as_it_was(make_small, tmp_path, number) -> None:
    before = signal.getsignal(number)
    evaluations: list[int] = []
    best = BestModelCallback(lambda model: float(evaluations.append(1) or 1), tmp_path / "best.zip", 10_000)
    callbacks = [CheckpointCallback(tmp_path, 10_000), best, CallAt(200, partial(interrupt, number))]
    model = make_small("ppo", "per-vcpu")
    assert train(model, 100_000, callbacks) is False
    assert signal.getsignal(number) is before
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-000000000200.zip"
    assert zipfile.ZipFile(latest_checkpoint(tmp_path)).testzip() is None
    assert not evaluations
    assert train(model, 512) is True
    assert model.num_timesteps >= 512


def test_a_signal_that_is_ignored_stays_so(make_small) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert train(make_small("ppo", "mlp"), 256, [CallAt(64, interrupt)]) is True


def test_a_second_ctrl_c_ends_at_once(make_small) -> None:
    def twice() -> None:
        interrupt()
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        train(make_small("ppo", "mlp"), 10_000, [CallAt(64, twice)])


def test_the_progress_bar_counts_frames(make_small, capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, to rich
    train(make_small("ppo", "mlp"), 256, show_progress=True)
    assert "256 of 256 frames" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)


def test_nothing_is_shown_where_there_is_no_terminal(make_small, capsys) -> None:
    train(make_small("ppo", "mlp"), 256, show_progress=True)
    assert capsys.readouterr().err.strip() == ""  # old versions of rich break a line


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "model.zip"
    path.write_text("old")

    def fail(file) -> None:
        file.write(b"half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_binary(path, fail)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("model.zip", "old")]
