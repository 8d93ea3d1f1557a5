"""The settings of the model in a run: its parameters, and options of throttles that were fitted along with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from dqgym.backends.base import Outcomes
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters, load_parameters, load_throttle_options
from dqgym.scenario import Scenario
from dqgym.throttles.base import Throttle
from dqgym.throttles.registry import make_throttle

VCPU_SLOTS = 32
"""Of every migration here, or more: as many as the letter's widest row needs, so that kernels are compiled once."""


@dataclass(frozen=True)
class Settings:
    """One set of parameters for all tables and recordings.

    Attributes:
        parameters: of the model.
        throttle_options: by throttle and option; what is left out is the throttle's default.
    """

    parameters: ModelParameters = DEFAULT_PARAMETERS
    throttle_options: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def throttle(self, name: str) -> Throttle:
        """A throttle with these options. BadInputError for an option that it does not have."""
        return make_throttle(name, **self.throttle_options.get(name, {}))

    def migrate(
        self, scenarios: Sequence[Scenario], throttle: Throttle, seeds: Sequence[int] | None = None
    ) -> Outcomes:
        """Migrate the scenarios side by side in the model, all under seed 0 unless others are given."""
        slots = max(VCPU_SLOTS, *(scenario.vcpus for scenario in scenarios))
        with closing(ModelBackend(self.parameters, slots)) as backend:
            return run_migrations(backend, scenarios, throttle, seeds or [0] * len(scenarios))


def load_settings(path: Path | None) -> Settings:
    """The settings in a file of parameters; the defaults where None.

    Raises:
        BadInputError: the file cannot be used, or has a throttle or an option that does not exist.
    """
    if path is None:
        return Settings()
    settings = Settings(load_parameters(path), load_throttle_options(path))
    for name in settings.throttle_options:
        settings.throttle(name)
    return settings
