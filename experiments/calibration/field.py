"""The model against public reports of migrations: times, downtimes and verdicts. Nothing is fitted to them.

Where the link or the guest is random, a row is played under several seeds: the verdict is that of most of them, the
time the median of those that converge.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dqgym.errors import BadInputError
from dqgym.scenario import Bursty, MarkovLink, OrnsteinUhlenbeckLink, Phased, Scenario
from dqgym.scenario.recordings.field_reports import FieldReport
from dqgym.throttles.base import Throttle
from dqgym.throttles.option_texts import names_option
from dqgym.throttles.registry import make_throttle
from dqgym.throttles.table import row_of
from experiments.calibration.qemu import ACTS_WITHIN
from experiments.calibration.settings import Settings
from experiments.reporting.tables import Table
from experiments.results.rows import json_safe

SEEDS = range(5)
"""Of a row with something random in it; the others have the first alone."""
_OPTION = re.compile(r"\s*([A-Za-z][\w-]*)(?:\s*=\s*|\s+)(\S.*?)\s*")


@dataclass(frozen=True)
class FieldRow:
    """One report and the model's migration.

    Attributes:
        report: the report.
        converged: whether the model's converges, under most seeds.
        time_s: median time of those that converge; NaN where they do not.
        downtime_s: their median downtime.
    """

    report: FieldReport
    converged: bool
    time_s: float
    downtime_s: float

    @property
    def error(self) -> float:
        """Model / reported - 1 of the time; NaN where one of the two is not known."""
        reported_s = self.report.total_time_s
        return self.time_s / reported_s - 1 if self.converged and reported_s > 0 else math.nan

    @property
    def right(self) -> bool:
        """The verdict is the report's."""
        return self.converged == self.report.converged


def throttle_name(report: FieldReport) -> str:
    """The throttle of a report as dqgym spells it, with its options and without remarks.

    Raises:
        BadInputError: something with an ``=`` is no option of the throttle.
    """
    model = row_of(report.throttle).options
    options = []
    for part in re.split(r"[,;]", report.options):
        found = _OPTION.fullmatch(part)
        # names_option takes all that has an equals sign for an option, so that a misspelt one is an error, no remark.
        if found and ("=" in part or names_option(model, found[1])):
            options.append(f"{found[1]}={found[2]}")
    return f"{report.throttle}:{','.join(options)}" if options else report.throttle


def compare_reports(settings: Settings, reports: Sequence[FieldReport]) -> list[FieldRow]:
    """Every report in the model; rows under the same throttle migrate side by side."""
    throttles = [(throttle_name(report), _throttle(report)) for report in reports]
    found: dict[int, FieldRow] = {}
    for name, throttle in dict(throttles).items():
        indices = [index for index, (own, _) in enumerate(throttles) if own == name]
        found |= zip(indices, _compare(settings, throttle, [reports[index] for index in indices]), strict=True)
    return [found[index] for index in range(len(reports))]


def _throttle(report: FieldReport) -> Throttle:
    try:
        throttle = make_throttle(throttle_name(report))
    except BadInputError as error:
        raise BadInputError(f"{report.file}: {error}") from error
    throttle.control_interval = ACTS_WITHIN
    return throttle


def _compare(settings: Settings, throttle: Throttle, reports: Sequence[FieldReport]) -> list[FieldRow]:
    runs = [(report, seed) for report in reports for seed in _seeds(report.scenario)]
    outcomes = settings.migrate([report.scenario for report, _ in runs], throttle, [seed for _, seed in runs])
    owners = np.array([reports.index(report) for report, _ in runs])
    rows = []
    for index, report in enumerate(reports):
        own = owners == index
        converged = own & outcomes.converged
        most = bool(2 * converged.sum() > own.sum())
        time_s, downtime_s = (
            float(np.median(values[converged])) if most else math.nan
            for values in (outcomes.total_time_s, outcomes.downtime_s)
        )
        rows.append(FieldRow(report, most, time_s, downtime_s))
    return rows


def _seeds(scenario: Scenario) -> Sequence[int]:
    schedules = [group.schedule for group in scenario.workload]
    random = isinstance(scenario.link, MarkovLink | OrnsteinUhlenbeckLink) or any(
        isinstance(schedule, Bursty) or (isinstance(schedule, Phased) and schedule.jitter > 0) for schedule in schedules
    )
    return SEEDS if random else SEEDS[:1]


@dataclass(frozen=True)
class FieldComparison:
    """All rows of a folder."""

    rows: tuple[FieldRow, ...]

    def document(self) -> dict[str, Any]:
        """As JSON; times that are not known or of what does not converge are null."""
        stated = [abs(row.error) for row in self.rows if _counts(row)]
        document: dict[str, Any] = {
            "rows": [
                {
                    "file": row.report.file,
                    "throttle": row.report.throttle,
                    "options": row.report.options,
                    "reported_s": row.report.total_time_s,
                    "model_s": row.time_s,
                    "error": row.error,
                    "reported_downtime_s": row.report.downtime_s,
                    "model_downtime_s": row.downtime_s,
                    "converged_reported": row.report.converged,
                    "converged_model": row.converged,
                    "lacks_something": row.report.lacks_something,
                }
                for row in self.rows
            ],
            "right_verdicts": sum(row.right for row in self.rows),
            "median_error": float(np.median(stated)) if stated else math.nan,
            "max_error": max(stated, default=math.nan),
        }
        safe: dict[str, Any] = json_safe(document)
        return safe

    def tables(self) -> list[Table]:
        """The one table."""
        stated = [abs(row.error) for row in self.rows if _counts(row)]
        notes = [
            f"The verdict is right in {sum(row.right for row in self.rows)} of {len(self.rows)} rows.",
            "* The report does not state all that the model needs; the scenario assumes the rest.",
        ]
        if stated:
            notes.insert(
                1,
                f"Time, rows without a star: off by {np.median(stated):.1%} in the median and {max(stated):.1%} at"
                f" most, over {len(stated)} rows.",
            )
        return [
            Table.of(
                title="Public reports",
                header=(
                    "report", "throttle", "reported", "model", "error", "downtime:\nreported", "downtime:\nmodel",
                    "verdict", "source",
                ),
                rows=[_cells(row) for row in self.rows],
                notes=notes,
                text_columns=2,
                expendable=("source", "downtime:\nreported", "downtime:\nmodel"),
            )
        ]  # fmt: skip


def _counts(row: FieldRow) -> bool:
    return math.isfinite(row.error) and not row.report.lacks_something


def _cells(row: FieldRow) -> tuple[str, ...]:
    report = row.report
    return (
        report.file.removesuffix(".yaml") + (" *" if report.lacks_something else ""),
        throttle_name(report),
        _time(report.total_time_s, report.converged),
        _time(row.time_s, row.converged),
        "" if math.isnan(row.error) else f"{row.error:+.1%}",
        _milliseconds(report.downtime_s),
        _milliseconds(row.downtime_s),
        "right" if row.right else "wrong",
        report.source,
    )


def _time(seconds: float, converged: bool) -> str:
    if not converged:
        return "unconverged"
    return "not said" if math.isnan(seconds) else f"{seconds:.1f} s"


def _milliseconds(seconds: float) -> str:
    return "" if math.isnan(seconds) else f"{1000 * seconds:.0f} ms"
