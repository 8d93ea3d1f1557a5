"""Callbacks beside the learning: logs, checkpoints, the best model so far, progress, a stop on Ctrl-C."""

from __future__ import annotations

import json
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agents.storage.checkpoints import save_algorithm, save_checkpoint
from dqgym.documents import read_json
from dqgym.errors import BadInputError
from dqgym.files import write_text
from dqgym.stopping import replace_handlers, restore_handlers, uninterrupted

LOGGED_OUTCOMES = {
    "term_time": "reward/time",
    "term_stall": "reward/stall",
    "term_downtime": "reward/downtime",
    "term_deadline": "reward/deadline",
    "time_over_t0": "migration/time_over_t0",
    "guest_runtime": "migration/guest_runtime",
    "worst_vcpu_runtime": "migration/worst_vcpu_runtime",
    "converged": "migration/converged",
    "cost": "migration/cost",
}
"""Field of an ended environment's outcome -> name in TensorBoard."""
RATE_WINDOW_S = 1.0


def log_at_once(algorithm: BaseAlgorithm, values: Mapping[str, float]) -> None:
    """Write values to the algorithm's logs at the frame that it has reached, not with its next own ones."""
    for log in algorithm.logger.output_formats:
        log.write(dict(values), dict.fromkeys(values, ()), algorithm.num_timesteps)


class FiniteWeights(BaseCallback):
    """Ends a training whose weights are no finite numbers any more, before they are evaluated or saved.

    Raises:
        FloatingPointError: between an update and the next rollout, and at the end.
    """

    def _on_rollout_start(self) -> None:
        self._check()

    def _on_training_end(self) -> None:
        self._check()

    def _on_step(self) -> bool:
        return True

    def _check(self) -> None:
        temperature = getattr(self.model, "log_ent_coef", None)
        if temperature is not None and not torch.isfinite(temperature).all():
            raise FloatingPointError("an update made the entropy's weight (SAC) NaN or infinite")
        for name, parameter in self.model.policy.named_parameters():
            if not torch.isfinite(parameter).all():
                raise FloatingPointError(f"an update made the weights NaN or infinite ({name})")


class OutcomeLogger(BaseCallback):
    """Logs the mean outcome of the migrations that ended since the last log, and the frames per second.

    At the end of the training, however it ended, it writes what has not been written yet.
    """

    def _on_training_start(self) -> None:
        self._since_s, self._since_frames = time.monotonic(), self.model.num_timesteps

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        for index in np.flatnonzero(self.locals["dones"]):
            outcome = infos[index]["outcome"]
            for field, name in LOGGED_OUTCOMES.items():
                self.logger.record_mean(name, outcome[field])
        return True

    def _on_rollout_end(self) -> None:
        now_s, frames = time.monotonic(), self.model.num_timesteps
        if now_s - self._since_s >= RATE_WINDOW_S:
            self.logger.record("time/frames_per_s", (frames - self._since_frames) / (now_s - self._since_s))
            self._since_s, self._since_frames = now_s, frames

    def _on_training_end(self) -> None:
        self.logger.dump(self.model.num_timesteps)


class PeriodicCallback(BaseCallback):
    """Acts between an update and the next rollout, each time another ``every_frames`` have passed."""

    def __init__(self, every_frames: int) -> None:
        super().__init__()
        self.every_frames = every_frames

    @abstractmethod
    def act(self) -> None:
        """Act; called periodically."""

    def _on_training_start(self) -> None:
        self._periods = self._periods_so_far()

    def _on_rollout_start(self) -> None:
        periods = self._periods_so_far()
        if periods > self._periods:
            self._periods = periods
            self.act()

    def _on_step(self) -> bool:
        return True

    def _periods_so_far(self) -> int:
        return self.model.num_timesteps // self.every_frames


class CheckpointCallback(PeriodicCallback):
    """Writes checkpoints, the last one at the end of the training, however it ended; keeps the ``keep`` last ones."""

    def __init__(self, folder: Path, every_frames: int, keep: int = 3) -> None:
        super().__init__(every_frames)
        self.folder = folder
        self.keep = keep

    def act(self) -> None:
        """Write a checkpoint."""
        save_checkpoint(self.model, self.folder, self.keep)

    def _on_training_end(self) -> None:
        self.act()


class BestModelCallback(PeriodicCallback):
    """Keeps the model with the lowest cost; evaluates at the end, too, unless the training was stopped before.

    Args:
        evaluate: the cost of the algorithm's policy as it is now.
        path: of the model; cost and frames lie beside it as JSON, so that a resumed training goes on from them.
        every_frames: between evaluations.
    """

    def __init__(self, evaluate: Callable[[BaseAlgorithm], float], path: Path, every_frames: int) -> None:
        super().__init__(every_frames)
        self.evaluate = evaluate
        self.path = path
        self.best_cost = math.inf

    def act(self) -> None:
        """Evaluate, and keep the model if it is the best one, or the first."""
        cost = float(self.evaluate(self.model))
        if cost < self.best_cost or not self.path.exists():
            self.best_cost = math.inf if math.isnan(cost) else cost
            record = json.dumps({"cost": self.best_cost, "frames": self.model.num_timesteps})
            with uninterrupted():  # the two belong together
                save_algorithm(self.model, self.path)
                write_text(self._record_path, record)
        log_at_once(self.model, {"eval/cost": cost, "eval/best_cost": self.best_cost})

    def _on_training_start(self) -> None:
        super()._on_training_start()
        if self.path.exists() and self._record_path.exists():
            self.best_cost = _cost_of(self._record_path)

    def _on_training_end(self) -> None:
        if self.model.num_timesteps >= self.model._total_timesteps:
            self.act()

    @property
    def _record_path(self) -> Path:
        return self.path.with_suffix(".json")


def _cost_of(path: Path) -> float:
    """The cost that lies beside a best model."""
    record = read_json(path, "record of the best model")
    cost = record.get("cost") if isinstance(record, dict) else None
    if not isinstance(cost, int | float) or isinstance(cost, bool) or math.isnan(cost):
        raise BadInputError(
            f"{path} is damaged: it has no cost; without it and its .zip, the next evaluation is the best"
        )
    return float(cost)


class ProgressCallback(BaseCallback):
    """Moves a progress bar made by ``training_progress``."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def _on_training_start(self) -> None:
        model = self.model
        self._task = self.progress.add_task("training", total=model._total_timesteps, completed=model.num_timesteps)

    def _on_step(self) -> bool:
        self.progress.update(self._task, completed=self.model.num_timesteps)
        return True


class InterruptCallback(BaseCallback):
    """Ctrl-C, SIGTERM or SIGHUP stops the training after the current step, so that it can go on later.

    A second one has the effect that it has elsewhere. Use it as a context around the training, and as one of its
    callbacks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requested = False

    def __enter__(self) -> InterruptCallback:
        self._previous = replace_handlers(self._request)
        return self

    def __exit__(self, *_: object) -> None:
        restore_handlers(self._previous)

    def _request(self, signal_number: int, frame: FrameType | None) -> None:
        self.requested = True
        restore_handlers(self._previous)

    def _on_step(self) -> bool:
        return not self.requested


class FrameRateColumn(ProgressColumn):
    """Frames per second over the last half minute."""

    def render(self, task: Task) -> Text:
        """The rate, as soon as there is one."""
        return Text("" if task.speed is None else f"{task.speed:,.0f} frames/s", style="progress.data.speed")


def training_progress(visible: bool) -> Progress:
    """A progress bar with frames, frames/s and the time that is left; on a terminal alone."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} frames"),
        FrameRateColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(),
        console=console,
        disable=not visible or not console.is_terminal,
    )
