"""The letter's fifteen configurations: what was measured there beside what the model makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dqgym.results.rows import Row
from dqgym.scenario.suites.cover_letter import LetterRow, letter_rows
from experiments.results.rows import grouped

SUITE = "cover-letter"
LETTER_TIME_S: dict[str, Callable[[LetterRow], float]] = {
    "current": lambda row: row.current_time_s,
    "dirty-quota": lambda row: row.dirty_quota_time_s,
}
"""The throttles that the letter gives times of."""
COMPARED = ("current", "dirty-quota", "auto-converge")
"""The baselines of the table, beside every learned policy."""


@dataclass(frozen=True)
class Cell:
    """One migration: infinite where it did not converge; guest runtime NaN where the letter does not give it."""

    total_time_s: float
    guest_runtime: float


@dataclass(frozen=True)
class Column:
    """One throttle in all rows.

    Attributes:
        title: of the column.
        throttle: its name.
        measured: the times are the letter's, otherwise the model's.
        cells: one for each row.
        preference_rank: 0 for the first preference at which a policy ran, 1 for the next one.
    """

    title: str
    throttle: str
    measured: bool
    cells: tuple[Cell, ...]
    preference_rank: int = 0


@dataclass(frozen=True)
class ModelDeviation:
    """The deviation of the model's times from the letter's.

    Attributes:
        throttle: which of the letter's two.
        median: of \\|model / letter - 1\\| over the rows that converge in both; the likely misprint is left out, for
            its other reading.
        largest: of the same.
        rows: how many rows these are.
        wrong_verdicts: scenarios that converge in the model and not in the letter, or the other way round.
        row_9: model / letter - 1 in either reading of the misprinted row, by scenario.
    """

    throttle: str
    median: float
    largest: float
    rows: int
    wrong_verdicts: tuple[str, ...]
    row_9: Mapping[str, float]


@dataclass(frozen=True)
class LetterComparison:
    """The table: its rows, its columns, the model's errors, and which of the throttles are policies."""

    rows: tuple[LetterRow, ...]
    columns: tuple[Column, ...]
    errors: tuple[ModelDeviation, ...]
    learned: tuple[str, ...] = ()


def letter_comparison(rows: Sequence[Row], learned: Sequence[str]) -> LetterComparison:
    """The comparison of an evaluation's rows with the letter.

    Args:
        rows: of any suites; those of the letter's suite are used, all of it or its first scenarios.
        learned: names of the learned policies; each has a column for each preference.
    """
    by_throttle = grouped((row for row in rows if row.suite == SUITE), lambda row: row.throttle)
    scenarios = {row.scenario for group in by_throttle.values() for row in group}
    letter = [row for name, row in letter_rows().items() if name in scenarios]
    measured = [
        Column(f"letter:\n{name}", name, True, tuple(Cell(time_s(row), math.nan) for row in letter))
        for name, time_s in LETTER_TIME_S.items()
    ]
    modelled = [
        Column(f"model:\n{name}", name, False, _cells(by_throttle[name], letter))
        for name in COMPARED
        if name in by_throttle
    ]
    policies = [
        Column(f"{name},\nc = {preference:g}", name, False, _cells(group, letter), rank)
        for name in learned
        for rank, (preference, group) in enumerate(grouped(by_throttle[name], lambda row: row.preference).items())
    ]
    errors = [_error(column, letter) for column in modelled if column.throttle in LETTER_TIME_S]
    return LetterComparison(tuple(letter), (*measured, *modelled, *policies), tuple(errors), tuple(learned))


def row_label(row: LetterRow) -> str:
    """The row's number, marked where it is the misprinted one: * as printed, ** as it was probably meant."""
    return f"{row.row} *" if row.likely_misprint else f"{row.row} **" if row.assumed_correction else str(row.row)


def configuration(row: LetterRow) -> tuple[str, str, str, str]:
    """The row's configuration, in the letter's units: memory, writers, what they dirty together, bandwidth."""
    return (
        f"{row.memory_gb} GB",
        f"{row.threads} vCPUs",
        f"{row.dirty_rate_gb_per_s:g} GB/s",
        f"{row.bandwidth_mib_per_s} MiB/s",
    )


def _cells(rows: Sequence[Row], letter: Sequence[LetterRow]) -> tuple[Cell, ...]:
    by_scenario = {row.scenario: row for row in rows}
    chosen = [by_scenario[row.scenario] for row in letter]
    return tuple(Cell(row.total_time_s if row.converged else math.inf, row.guest_runtime) for row in chosen)


def _error(column: Column, letter: Sequence[LetterRow]) -> ModelDeviation:
    pairs = [
        (row, cell.total_time_s, LETTER_TIME_S[column.throttle](row))
        for row, cell in zip(letter, column.cells, strict=True)
    ]
    deviation = {
        row.scenario: model_s / letter_s - 1
        for row, model_s, letter_s in pairs
        if math.isfinite(model_s) and math.isfinite(letter_s)
    }
    counted = [
        abs(deviation[row.scenario]) for row, _, _ in pairs if row.scenario in deviation and not row.likely_misprint
    ]
    return ModelDeviation(
        throttle=column.throttle,
        median=float(np.median(counted)) if counted else math.nan,
        largest=max(counted, default=math.nan),
        rows=len(counted),
        wrong_verdicts=tuple(
            row.scenario for row, model_s, letter_s in pairs if math.isfinite(model_s) != math.isfinite(letter_s)
        ),
        row_9={
            row.scenario: deviation.get(row.scenario, math.nan)
            for row, _, _ in pairs
            if row.likely_misprint or row.assumed_correction
        },
    )
