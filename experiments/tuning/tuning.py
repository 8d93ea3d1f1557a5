"""What both kinds of tuning have in common: what is tuned, and the table of what it came to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dqgym.arrays import FloatArray
from dqgym.files import writing
from experiments.reporting.tables import Table
from experiments.tuning.distribution import Distribution


@dataclass(frozen=True)
class Tuning:
    """What is tuned, and where the outcome goes.

    Attributes:
        throttle: its name.
        distribution: the migrations.
        preferences: distinct, ascending.
        steps: sets of options tried for each preference; of the contextual rule: steps of the search.
        out: the file.
        resume: go on with an interrupted search.
    """

    throttle: str
    distribution: Distribution
    preferences: tuple[float, ...]
    steps: int
    out: Path
    resume: bool = False

    def require_writable(self) -> None:
        """Make the folder. BadInputError where that cannot be."""
        with writing(self.out):
            self.out.parent.mkdir(parents=True, exist_ok=True)

    def how_to_go_on(self) -> str:
        """What to do after an interruption."""
        return f"what is done is kept; go on with the same command and --out {shlex.quote(str(self.out))} --resume"


Costs = Mapping[float, Mapping[str, FloatArray]]
"""[N] J of every migration, by preference and by what was run."""


def cost_table(throttle: str, distribution: Distribution, costs: Costs) -> Table:
    """Mean J over all migrations and over those of each suite."""
    rows = []
    for value, of in costs.items():
        for label, cost in of.items():
            suites = distribution.by_suite(cost).values()
            rows.append((f"{value:g}", label, *(f"{mean:.4f}" for mean in (cost.mean(), *suites))))
    return Table.of(
        title=f"{throttle} on {distribution.name}: mean J of {len(distribution.scenarios)} migrations",
        header=("c", "", "J", *distribution.weights),
        rows=rows,
        text_columns=2,
    )
