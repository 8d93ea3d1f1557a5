"""The migrations that options are tuned on, and what a throttle costs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.backends.base import Outcomes
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.errors import BadInputError
from dqgym.scenario import Scenario
from dqgym.scenario.suites import FixedSuite, get_suite, name_of
from dqgym.throttles.base import Throttle
from dqgym.throttles.rules.tuned import TRAINING
from experiments.kept_suites import digest, require_told_apart
from experiments.named_files import TRAINING_CONFIGS
from experiments.runs.config import load_config

SHIPPED_RECIPE = "default"


@cache
def training_suites() -> Mapping[str, float]:
    """What the shipped policy is trained on, with weights."""
    return load_config(TRAINING_CONFIGS.path(SHIPPED_RECIPE)).environment.suites


@dataclass(frozen=True)
class Distribution:
    """Scenarios of some suites, with a seed for the migration of each.

    Attributes:
        name: as tuned options are filed under.
        suites: as they were named, with their weights.
        scenarios: [N] in the order of the suites.
        suite_of: [N] the name of the suite that each is from.
        seed: of the draw; scenario i migrates with seed + i.
    """

    name: str
    suites: Mapping[str, float]
    scenarios: tuple[Scenario, ...]
    suite_of: tuple[str, ...]
    seed: int

    def migrate(self, throttle: Throttle) -> Outcomes:
        """The outcomes of all migrations, on the model."""
        seeds = range(self.seed, self.seed + len(self.scenarios))
        return run_migrations(self._backend, self.scenarios, throttle, seeds)

    @cached_property
    def _backend(self) -> ModelBackend:
        """One for all runs: it packs the scenarios once."""
        return ModelBackend()

    def costs(self, throttle: Throttle, preference: float) -> FloatArray:
        """[N] J of every migration, on the model."""
        return self.migrate(throttle).cost(preference)

    def by_suite(self, values: FloatArray) -> dict[str, float]:
        """The mean of ``values`` [N] over the scenarios of each suite."""
        origin = np.array(self.suite_of)
        return {suite: float(values[origin == suite].mean()) for suite in self.weights}

    @property
    def weights(self) -> dict[str, float]:
        """Weights by the names of the suites: without paths of files."""
        return {name_of(suite): weight for suite, weight in self.suites.items()}

    @property
    def digest(self) -> str:
        """What tells the scenarios of one distribution from those of another."""
        return digest(self.scenarios)


def parse_suites(texts: Sequence[str] | None) -> dict[str, float]:
    """Weights by suite of texts like ``phases`` and ``mixed=2``; the training's where there are none.

    Raises:
        BadInputError: a weight is not a positive number.
    """
    if not texts:
        return dict(training_suites())
    weights = {}
    for text in texts:
        suite, equals, weight = text.rpartition("=") if "=" in text else (text, "", "")
        try:
            weights[suite] = float(weight) if equals else 1.0
        except ValueError:
            raise BadInputError(f"--suite {text!r}: must be SUITE or SUITE=WEIGHT, with a number") from None
        if not 0 < weights[suite] < np.inf:
            raise BadInputError(f"--suite {text!r}: the weight must be positive and finite")
    return weights


def draw_distribution(weights: Mapping[str, float], name: str | None, count: int, seed: int) -> Distribution:
    """``count`` scenarios of each suite, times its weight; all of a fixed one. BadInputError for an unknown suite."""
    scenarios: list[Scenario] = []
    suite_of: list[str] = []
    require_told_apart(map(get_suite, weights), once=True)
    for suite, weight in weights.items():
        source = get_suite(suite)
        wanted = None if isinstance(source, FixedSuite) else max(1, round(count * weight))
        drawn = source.scenarios(wanted, seed)
        scenarios += drawn
        suite_of += [source.name] * len(drawn)
    usual = TRAINING if weights == training_suites() else "+".join(map(name_of, weights))
    return Distribution(name or usual, weights, tuple(scenarios), tuple(suite_of), seed)
