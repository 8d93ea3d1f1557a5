"""Suites: fixed lists of scenarios, or seeded samplers of them.

The k-th scenario of a sampler depends on the suite, the seed, k and ``max_vcpus`` only, not on how many are asked for.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from dqgym.errors import BadInputError
from dqgym.scenario.scenario import Scenario


@dataclass(frozen=True)
class Suite(ABC):
    """A named source of scenarios.

    Attributes:
        name: by which it is asked for.
        description: one or two sentences.
        source: the user's file or folder that it was read from; None: it comes with dqgym.
        files: what was read there, as YAML by relative path. Written to a folder, the first part of these paths names
            the same suite there.
        kind: ``fixed`` or ``sampler``.
    """

    name: str
    description: str
    source: str | None = field(default=None, kw_only=True)
    files: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)
    kind: ClassVar[Literal["fixed", "sampler"]]

    @abstractmethod
    def scenarios(self, count: int | None = None, seed: int = 0, max_vcpus: int | None = None) -> list[Scenario]:
        """The first ``count`` scenarios.

        Args:
            count: how many; None for all of a fixed suite. A sampler has no "all".
            seed: not negative; a fixed suite does not use it.
            max_vcpus: most vCPUs that a scenario may have. A sampler draws from a smaller range (other scenarios come
                out than without); a fixed suite with a larger scenario raises.

        Raises:
            BadInputError: an argument does not fit the suite.
        """

    def some(self, of_sampler: int, seed: int = 0, max_vcpus: int | None = None) -> list[Scenario]:
        """All of a fixed suite, ``of_sampler`` of a sampler; else as ``scenarios``."""
        return self.scenarios(of_sampler if self.kind == "sampler" else None, seed, max_vcpus)


@dataclass(frozen=True)
class FixedSuite(Suite):
    """A list of scenarios.

    Attributes:
        build: makes the list; called once, when it is first asked for.
    """

    build: Callable[[], tuple[Scenario, ...]]
    kind: ClassVar[Literal["fixed", "sampler"]] = "fixed"

    @cached_property
    def members(self) -> tuple[Scenario, ...]:
        """All scenarios."""
        return self.build()

    def scenarios(self, count: int | None = None, seed: int = 0, max_vcpus: int | None = None) -> list[Scenario]:
        """The first ``count`` scenarios, or all; see ``Suite.scenarios``."""
        if count is not None and not 0 <= count <= len(self.members):
            raise BadInputError(
                f"suite {self.name!r} has {len(self.members)} scenarios, count={count!r} is too many or negative"
            )
        chosen = list(self.members[:count])
        for scenario in chosen:
            if max_vcpus is not None and scenario.vcpus > max_vcpus:
                raise BadInputError(
                    f"suite {self.name!r} is fixed, and its scenario {scenario.name!r} has {scenario.vcpus} vCPUs:"
                    f" more than max_vcpus={max_vcpus!r}"
                )
        return chosen


@dataclass(frozen=True)
class SampledSuite(Suite):
    """A distribution over scenarios.

    Attributes:
        sample: one scenario from (generator, scenario name, most vCPUs).
        most_vcpus: the upper end of its range of vCPUs.
    """

    sample: Callable[[np.random.Generator, str, int], Scenario]
    most_vcpus: int
    kind: ClassVar[Literal["fixed", "sampler"]] = "sampler"

    def scenarios(self, count: int | None = None, seed: int = 0, max_vcpus: int | None = None) -> list[Scenario]:
        """The first ``count`` scenarios of this seed; see ``Suite.scenarios``."""
        if count is None or count < 0:
            raise BadInputError(f"suite {self.name!r} is a sampler: count must be a number of scenarios, not {count!r}")
        if seed < 0:
            raise BadInputError(f"seed must be a whole number from 0, not {seed!r}")
        if max_vcpus is not None and max_vcpus < 1:
            raise BadInputError(f"max_vcpus must be at least 1, not {max_vcpus!r}")
        most_vcpus = self.most_vcpus if max_vcpus is None else min(max_vcpus, self.most_vcpus)
        return [self._nth(index, seed, most_vcpus) for index in range(count)]

    def _nth(self, index: int, seed: int, most_vcpus: int) -> Scenario:
        # The name separates the streams of suites; crc32 because hash() differs from process to process.
        rng = np.random.default_rng((zlib.crc32(self.name.encode()), seed, index))
        return self.sample(rng, f"{self.name}-{seed}-{index}", most_vcpus)
