"""Results of an evaluation: one row per scenario, throttle and preference, their summary, and both as CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from dqgym.backends.base import Outcomes
from dqgym.cost import migration_cost
from dqgym.telemetry.telemetry import FloatArray

RESAMPLES = 2000
"""Of the bootstrap: the ends of its 95 % interval then rest on 50 resamples each."""


@dataclass(frozen=True)
class Row:
    """One migration, costed at one preference.

    A baseline that does not know the preference runs once, and has one row for each. ``downtime_s`` is NaN where the
    migration missed its deadline; ``total_time_s`` is then the deadline. ``training_seed`` is that of a learned policy.
    """

    suite: str
    scenario: str
    throttle: str
    seed: int
    preference: float
    total_time_s: float
    time_over_t0: float
    downtime_s: float
    guest_runtime: float
    worst_vcpu_runtime: float
    bytes_sent: float
    rounds: int
    converged: bool
    max_throttle_percent: float
    cost: float
    guest_runtime_per_vcpu: tuple[float, ...]
    training_seed: int | None = None


@dataclass(frozen=True)
class Takeover:
    """Migrations of one run that the guard's fallback took over from a policy, by reason."""

    suite: str
    throttle: str
    preference: float
    reason: str
    migrations: int


@dataclass(frozen=True)
class Summary:
    """The mean of a throttle's rows in one suite at one preference.

    ``cost_low`` and ``cost_high`` enclose the mean cost with 95 % confidence, by a bootstrap over the scenarios.
    """

    suite: str
    throttle: str
    preference: float
    cost: float
    cost_low: float
    cost_high: float
    time_over_t0: float
    guest_runtime: float
    worst_vcpu_runtime: float
    converged_share: float
    scenarios: int


@dataclass(frozen=True)
class PairedRatio:
    """Cost of one throttle over that of another, scenario by scenario; the mean hides the tail, so both are here."""

    suite: str
    throttle: str
    opponent: str
    preference: float
    mean: float
    mean_low: float
    mean_high: float
    median: float
    percentile_95: float


def rows_from_outcomes(
    outcomes: Outcomes,
    suite: str,
    scenarios: Sequence[str],
    throttle: str,
    seeds: Sequence[int],
    preferences: Iterable[float],
    training_seed: int | None = None,
) -> list[Row]:
    """One row for each migration and preference."""
    rows = []
    for preference in preferences:
        cost = migration_cost(
            outcomes.total_time_s, outcomes.stall_s, outcomes.pass_time_s, outcomes.converged, preference
        )
        rows += [
            Row(
                suite=suite,
                scenario=scenario,
                throttle=throttle,
                seed=int(seeds[i]),
                preference=float(preference),
                total_time_s=float(outcomes.total_time_s[i]),
                time_over_t0=float(outcomes.time_over_t0[i]),
                downtime_s=float(outcomes.downtime_s[i]),
                guest_runtime=float(outcomes.guest_runtime[i]),
                worst_vcpu_runtime=float(outcomes.worst_vcpu_runtime[i]),
                bytes_sent=float(outcomes.bytes_sent[i]),
                rounds=int(outcomes.rounds[i]),
                converged=bool(outcomes.converged[i]),
                max_throttle_percent=float(outcomes.max_throttle_percent[i]),
                cost=float(cost[i]),
                guest_runtime_per_vcpu=_present_only(outcomes.guest_runtime_per_vcpu[i]),
                training_seed=training_seed,
            )
            for i, scenario in enumerate(scenarios)
        ]
    return rows


def _present_only(per_vcpu: FloatArray) -> tuple[float, ...]:
    """The values of the vCPUs that exist: absent slots are NaN."""
    return tuple(per_vcpu[~np.isnan(per_vcpu)].tolist())


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """One summary for each suite, throttle and preference, in the order in which they first appear."""
    return [
        _summary(suite, throttle, preference, group)
        for (suite, throttle, preference), group in grouped(
            rows, lambda row: (row.suite, row.throttle, row.preference)
        ).items()
    ]


def _summary(suite: str, throttle: str, preference: float, rows: Sequence[Row]) -> Summary:
    costs = np.array([row.cost for row in rows])
    low, high = bootstrap_interval(costs)
    return Summary(
        suite=suite,
        throttle=throttle,
        preference=preference,
        cost=float(costs.mean()),
        cost_low=low,
        cost_high=high,
        time_over_t0=float(np.mean([row.time_over_t0 for row in rows])),
        guest_runtime=float(np.mean([row.guest_runtime for row in rows])),
        worst_vcpu_runtime=float(np.mean([row.worst_vcpu_runtime for row in rows])),
        converged_share=float(np.mean([row.converged for row in rows])),
        scenarios=len(rows),
    )


def paired_ratios(rows: Sequence[Row], throttles: Sequence[str], opponents: Sequence[str]) -> list[PairedRatio]:
    """Cost of each of ``throttles`` over that of each opponent on the same scenario and seed."""
    ratios = []
    for (suite, preference), group in grouped(rows, lambda row: (row.suite, row.preference)).items():
        costs = grouped(group, lambda row: row.throttle)
        for throttle in throttles:
            for opponent in opponents:
                ratio = _cost_ratio(costs[throttle], costs[opponent])
                low, high = bootstrap_interval(ratio)
                ratios.append(
                    PairedRatio(
                        suite=suite,
                        throttle=throttle,
                        opponent=opponent,
                        preference=preference,
                        mean=float(ratio.mean()),
                        mean_low=low,
                        mean_high=high,
                        median=float(np.median(ratio)),
                        percentile_95=float(np.percentile(ratio, 95)),
                    )
                )
    return ratios


def _cost_ratio(rows: Sequence[Row], opponent_rows: Sequence[Row]) -> FloatArray:
    opponent_cost = {(row.scenario, row.seed): row.cost for row in opponent_rows}
    return np.array([row.cost / opponent_cost[row.scenario, row.seed] for row in rows])


def typical_row(rows: Iterable[Row], suite: str, throttle: str) -> Row:
    """The row of median cost of a throttle in a suite, at its first preference (of two in the middle, the cheaper)."""
    own = [row for row in rows if row.suite == suite and row.throttle == throttle]
    ordered = sorted((row for row in own if row.preference == own[0].preference), key=lambda row: row.cost)
    return ordered[(len(ordered) - 1) // 2]


def bootstrap_interval(values: FloatArray, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean; the same numbers for the same values and seed."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Rows by key, in order of first appearance."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def json_safe(value: Any) -> Any:
    """The same value for JSON: no NaN, no Infinity (both become null), no NumPy types."""
    match value:
        case dict():
            return {key: json_safe(item) for key, item in value.items()}
        case list() | tuple():
            return [json_safe(item) for item in value]
        case np.generic() | np.ndarray():
            return json_safe(value.tolist())
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


MOST_ROWS_AS_JSON = 20_000
"""Beyond these, rows are written as CSV alone."""


def results_document(rows: Sequence[Row]) -> dict[str, Any]:
    """What ``evaluate --json`` prints: the summaries and, unless they are too many, the rows."""
    shown = rows if len(rows) <= MOST_ROWS_AS_JSON else ()
    document: dict[str, Any] = json_safe(
        {"summary": [asdict(summary) for summary in summarise(rows)], "rows": [asdict(row) for row in shown]}
    )
    return document


def rows_as_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a header; an absent number is an empty cell, several are separated by spaces."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in safe.items()}
        for safe in (json_safe(asdict(row)) for row in rows)
    )
    return text.getvalue()
