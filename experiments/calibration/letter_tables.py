"""The model against the cover letter: migration times (Table A) and guest runtimes (Table B)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dqgym.cost import FAST
from dqgym.results.rows import Row
from dqgym.scenario.suites import get_suite
from dqgym.scenario.suites.cover_letter import LetterRow
from dqgym.scenario.suites.guest_runtime import recorded_runtimes
from experiments.calibration.settings import Settings
from experiments.reporting.letter_rows import LETTER_TIME_S, SUITE, LetterComparison, ModelDeviation, letter_comparison
from experiments.results.rows import rows_from_outcomes

RUNTIME_SUITE = "guest-runtime"
LETTER_RUNTIME = {"current": "current_percent", "dirty-quota": "dirty_quota_percent"}
"""The throttles of Table B, and where their numbers are."""


@dataclass(frozen=True)
class LetterTime:
    """One row of Table A under one throttle.

    Attributes:
        row: of the letter.
        measured_s: migration time, infinite where it never converged.
        model_s: the same in the model.
    """

    row: LetterRow
    measured_s: float
    model_s: float

    @property
    def error(self) -> float:
        """Model / measured - 1; NaN where one of them did not converge."""
        both = math.isfinite(self.measured_s) and math.isfinite(self.model_s)
        return self.model_s / self.measured_s - 1 if both else math.nan

    @property
    def counts(self) -> bool:
        """True where it is part of the summary: the misprinted row as printed is not."""
        return not self.row.likely_misprint


@dataclass(frozen=True)
class LetterTable:
    """Table A under one throttle."""

    times: tuple[LetterTime, ...]
    summary: ModelDeviation

    @property
    def structure_ok(self) -> bool:
        """The rows that converge are those of the letter."""
        return not self.summary.wrong_verdicts


@dataclass(frozen=True)
class RuntimePair:
    """Guest runtime of one mix of Table B under one throttle."""

    mix: str
    throttle: str
    measured_percent: float
    model_percent: float

    @property
    def error_points(self) -> float:
        """Model - measured."""
        return self.model_percent - self.measured_percent


@dataclass(frozen=True)
class RuntimeTable:
    """Table B."""

    pairs: tuple[RuntimePair, ...]

    @property
    def rmse_points(self) -> float:
        """Root of the mean squared error."""
        return float(np.sqrt(np.mean([pair.error_points**2 for pair in self.pairs])))

    @property
    def max_points(self) -> float:
        """The largest error."""
        return max(abs(pair.error_points) for pair in self.pairs)


def table_a(settings: Settings) -> dict[str, LetterTable]:
    """Table A by throttle."""
    scenarios = get_suite(SUITE).scenarios()
    names, seeds = [scenario.name for scenario in scenarios], [0] * len(scenarios)
    rows: list[Row] = []
    for throttle in LETTER_TIME_S:
        outcomes = settings.migrate(scenarios, settings.throttle(throttle))
        rows += rows_from_outcomes(outcomes, SUITE, names, throttle, seeds, [FAST])
    comparison = letter_comparison(rows, learned=())
    return {error.throttle: _letter_table(comparison, error) for error in comparison.errors}


def table_b(settings: Settings) -> RuntimeTable:
    """Table B."""
    scenarios = get_suite(RUNTIME_SUITE).scenarios()
    pairs = []
    for throttle, column in LETTER_RUNTIME.items():
        runtimes = settings.migrate(scenarios, settings.throttle(throttle)).guest_runtime
        pairs += [
            RuntimePair(
                mix=scenario.name,
                throttle=throttle,
                measured_percent=getattr(recorded_runtimes()[scenario.name], column),
                model_percent=100.0 * float(runtime),
            )
            for scenario, runtime in zip(scenarios, runtimes, strict=True)
        ]
    return RuntimeTable(tuple(pairs))


def _letter_table(comparison: LetterComparison, error: ModelDeviation) -> LetterTable:
    measured, model = (
        next(column for column in comparison.columns if column.throttle == error.throttle and column.measured is wanted)
        for wanted in (True, False)
    )
    times = tuple(
        LetterTime(row, letter.total_time_s, ours.total_time_s)
        for row, letter, ours in zip(comparison.rows, measured.cells, model.cells, strict=True)
    )
    return LetterTable(times, error)
