"""How far a training is, in lines of a log."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from experiments.reporting.progress_lines import ProgressLines


class FrameLines(BaseCallback):
    """Tells lines how many frames there have been, after every step of the environments."""

    def __init__(self, lines: ProgressLines) -> None:
        super().__init__()
        self._lines = lines

    def _on_training_start(self) -> None:
        self._lines.update(self.model.num_timesteps)

    def _on_step(self) -> bool:
        self._lines.update(self.model.num_timesteps)
        return True
