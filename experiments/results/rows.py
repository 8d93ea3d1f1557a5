"""Rows of an evaluation (``dqgym.results.rows``): from outcomes, as arrays, and their means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.backends.base import Outcomes
from dqgym.errors import BadInputError
from dqgym.results.rows import Row, Summary
from experiments.results.statistics import Bootstrap, Sample, mean


class Key(NamedTuple):
    """The names that tell a stratum from others."""

    suite: str
    preference: float
    throttle: str


class Migration(NamedTuple):
    """One of those that all throttles of a suite are given."""

    scenario: str
    seed: int


@dataclass(frozen=True)
class Stratum:
    """One throttle on one suite at one preference, by training seed and migration.

    Attributes:
        migrations: N of them, in an order that is the same for all throttles.
        training_seeds: S of them, (None,) for a baseline.
        cost: [S, N].
        time_over_t0: [S, N].
        guest_runtime: [S, N].
        worst_vcpu_runtime: [S, N].
        converged: [S, N], 1 or 0.
        forced: [S, N], 1 or 0.
    """

    migrations: tuple[Migration, ...]
    training_seeds: tuple[int | None, ...]
    cost: FloatArray
    time_over_t0: FloatArray
    guest_runtime: FloatArray
    worst_vcpu_runtime: FloatArray
    converged: FloatArray
    forced: FloatArray


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
        cost = outcomes.cost(preference)
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
                forced=bool(outcomes.forced[i]),
            )
            for i, scenario in enumerate(scenarios)
        ]
    return rows


def _present_only(per_vcpu: FloatArray) -> tuple[float, ...]:
    """The values of the vCPUs that exist: absent slots are NaN."""
    return tuple(per_vcpu[~np.isnan(per_vcpu)].tolist())


def strata_of(rows: Iterable[Row]) -> dict[Key, Stratum]:
    """The rows as arrays, in the order in which the strata first appear.

    Raises:
        BadInputError: two training seeds of a throttle were not given the same migrations, or one of them was given
            a migration twice.
    """
    groups = grouped(rows, lambda row: Key(row.suite, row.preference, row.throttle))
    return {key: _stratum(key, grouped(group, lambda row: row.training_seed)) for key, group in groups.items()}


def _stratum(key: Key, by_seed: Mapping[int | None, list[Row]]) -> Stratum:
    for rows in by_seed.values():
        rows.sort(key=_migration)
    migrations = [tuple(map(_migration, rows)) for rows in by_seed.values()]
    if len(set(migrations)) > 1 or len(set(migrations[0])) < len(migrations[0]):
        raise BadInputError(
            f"throttle {key.throttle!r}, suite {key.suite!r}, c = {key.preference:g}: every training seed"
            f" ({', '.join(map(str, by_seed))}) must have each migration once"
        )

    def values(field: Callable[[Row], float]) -> FloatArray:
        return np.array([[field(row) for row in rows] for rows in by_seed.values()], dtype=np.float64)

    return Stratum(
        migrations=migrations[0],
        training_seeds=tuple(by_seed),
        cost=values(lambda row: row.cost),
        time_over_t0=values(lambda row: row.time_over_t0),
        guest_runtime=values(lambda row: row.guest_runtime),
        worst_vcpu_runtime=values(lambda row: row.worst_vcpu_runtime),
        converged=values(lambda row: row.converged),
        forced=values(lambda row: row.forced),
    )


def _migration(row: Row) -> Migration:
    return Migration(row.scenario, row.seed)


def cost_sample(key: Key, stratum: Stratum, bootstrap: Bootstrap) -> Sample:
    """The costs of a stratum with their resamples."""
    return Sample(
        stratum.cost,
        bootstrap.training_seeds(key.throttle, len(stratum.training_seeds)),
        bootstrap.migrations(key.suite, [migration.scenario for migration in stratum.migrations]),
    )


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """One summary for each suite, throttle and preference, in the order in which they first appear."""
    return summarise_strata(strata_of(rows), Bootstrap())


def summarise_strata(strata: Mapping[Key, Stratum], bootstrap: Bootstrap) -> list[Summary]:
    """One summary for each stratum."""
    return [_summary(key, stratum, bootstrap) for key, stratum in strata.items()]


def _summary(key: Key, stratum: Stratum, bootstrap: Bootstrap) -> Summary:
    cost = mean(cost_sample(key, stratum, bootstrap)).estimate
    return Summary(
        suite=key.suite,
        throttle=key.throttle,
        preference=key.preference,
        cost=cost.value,
        cost_low=cost.low,
        cost_high=cost.high,
        time_over_t0=float(stratum.time_over_t0.mean()),
        guest_runtime=float(stratum.guest_runtime.mean()),
        worst_vcpu_runtime=float(stratum.worst_vcpu_runtime.mean()),
        converged_share=float(stratum.converged.mean()),
        scenarios=len(stratum.migrations),
        training_seeds=len(stratum.training_seeds),
        forced_share=float(stratum.forced.mean()),
    )


def typical_row(rows: Iterable[Row], suite: str, throttle: str, training_seed: int | None = None) -> Row:
    """The row of median cost of a throttle in a suite, at its first preference (of two in the middle, the cheaper)."""
    wanted = (suite, throttle, training_seed)
    own = [row for row in rows if (row.suite, row.throttle, row.training_seed) == wanted]
    ordered = sorted((row for row in own if row.preference == own[0].preference), key=lambda row: row.cost)
    return ordered[(len(ordered) - 1) // 2]


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
