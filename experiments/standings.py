"""Who wins where, and how sure that is: the statistics of an evaluation's rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dqgym.telemetry.telemetry import FloatArray
from experiments.results import Row
from experiments.statistics import (
    Estimate,
    Resamples,
    StratumComparison,
    compare_stratum,
    dominated,
    draw_weights,
    gap_closed,
    hypervolume,
    is_monotone,
    pooled,
)

ALL = "all"
"""In place of a suite: each with the same weight."""
DOMINATION_MARGIN = 0.005
ORACLE = "oracle"


@dataclass(frozen=True)
class Stratum:
    """One throttle on one suite at one preference: float64 [S, N] over training seeds and migrations."""

    cost: FloatArray
    time: FloatArray
    runtime: FloatArray


@dataclass(frozen=True)
class Standing:
    """A throttle against the opponent; pooled where ``suite`` is ``all`` or the preference None.

    Attributes:
        closed_gap: share of the opponent's distance from the oracle that the throttle closes; None without an oracle.
        dominated: migrations in which it is worse than the opponent in time and guest runtime, by 0.5 % each.
        migrations: over all training seeds.
    """

    suite: str
    preference: float | None
    throttle: str
    opponent: str
    training_seeds: int
    migrations: int
    iqm: Estimate
    mean_ratio: Estimate
    ratio_of_means: Estimate
    improvement: Estimate
    median: float
    percentile_95: float
    dominated: int
    closed_gap: Estimate | None


@dataclass(frozen=True)
class Front:
    """What a throttle reaches over the preferences: means over a suite's migrations and training seeds."""

    suite: str
    throttle: str
    preferences: tuple[float, ...]
    time_over_t0: tuple[float, ...]
    guest_runtime: tuple[float, ...]
    hypervolume: float
    monotone: bool


Strata = dict[tuple[str, float, str], Stratum]
"""By suite, preference, throttle."""


def strata_of(rows: Iterable[Row]) -> Strata:
    """The rows as arrays; migrations are in the same order for all throttles."""
    groups: dict[tuple[str, float, str], dict[int | None, list[Row]]] = {}
    for row in rows:
        key = (row.suite, row.preference, row.throttle)
        groups.setdefault(key, {}).setdefault(row.training_seed, []).append(row)
    return {key: _stratum(list(by_seed.values())) for key, by_seed in groups.items()}


def _stratum(seeds: Sequence[Sequence[Row]]) -> Stratum:
    ordered = [sorted(rows, key=lambda row: (row.seed, row.scenario)) for rows in seeds]
    return Stratum(
        *(
            np.array([[getattr(row, field) for row in rows] for rows in ordered])
            for field in ("cost", "time_over_t0", "guest_runtime")
        )
    )


def standings(strata: Strata, opponent: str, seed: int = 0) -> list[Standing]:
    """Every throttle against the opponent: by suite and preference, by suite, by preference, and over all."""
    suites = list(dict.fromkeys(suite for suite, _, _ in strata))
    preferences = sorted({preference for _, preference, _ in strata})
    found = []
    for throttle in dict.fromkeys(name for _, _, name in strata):
        if throttle == opponent:
            continue
        cells = {
            (suite, preference): (strata[suite, preference, throttle], strata[suite, preference, opponent])
            for suite in suites
            for preference in preferences
            if {(suite, preference, throttle), (suite, preference, opponent)} <= strata.keys()
        }
        oracles = {key: strata.get((*key, ORACLE)) for key in cells}
        compared = _Compared(throttle, opponent, cells, oracles, seed)
        groups = [(suite, preference) for suite, preference in cells]
        groups += [(suite, None) for suite in suites] if len(preferences) > 1 else []
        groups += [(ALL, preference) for preference in [*preferences, None]] if len(suites) > 1 else []
        found += [compared.standing(suite, preference) for suite, preference in groups]
    return found


class _Compared:
    """A throttle and the opponent on all strata, under the same resamples of seeds."""

    def __init__(
        self,
        throttle: str,
        opponent: str,
        cells: dict[tuple[str, float], tuple[Stratum, Stratum]],
        oracles: dict[tuple[str, float], Stratum | None],
        seed: int,
    ) -> None:
        self._throttle, self._opponent, self._cells = throttle, opponent, cells
        rng = np.random.default_rng(seed)
        training_seeds = max(len(own.cost) for own, _ in cells.values())
        seed_weights = draw_weights(rng, training_seeds)
        self._comparisons: dict[tuple[str, float], StratumComparison] = {}
        self._gaps: dict[tuple[str, float], Estimate] = {}
        for key, (own, other) in cells.items():
            resamples = Resamples(seed_weights, draw_weights(rng, own.cost.shape[1]))
            opponent_cost = other.cost.mean(axis=0)
            self._comparisons[key] = compare_stratum(own.cost, opponent_cost, resamples)
            oracle = oracles[key]
            if oracle is not None:
                self._gaps[key] = gap_closed(opponent_cost, own.cost, oracle.cost.mean(axis=0), resamples)

    def standing(self, suite: str, preference: float | None) -> Standing:
        """Over the strata of a suite and a preference, or of all of them."""
        keys = [key for key in self._cells if suite in (ALL, key[0]) and (preference is None or preference == key[1])]
        comparisons = [self._comparisons[key] for key in keys]
        ratios = np.concatenate(
            [(own.cost / other.cost.mean(axis=0)).ravel() for own, other in map(self._cells.get, keys)]
        )  # type: ignore[misc]
        return Standing(
            suite=suite,
            preference=preference,
            throttle=self._throttle,
            opponent=self._opponent,
            training_seeds=max(len(self._cells[key][0].cost) for key in keys),
            migrations=len(ratios),
            iqm=pooled(comparisons, "iqm"),
            mean_ratio=pooled(comparisons, "mean_ratio"),
            ratio_of_means=pooled(comparisons, "ratio_of_means"),
            improvement=pooled(comparisons, "improvement"),
            median=float(np.median(ratios)),
            percentile_95=float(np.percentile(ratios, 95)),
            dominated=sum(self._dominated(key) for key in keys),
            closed_gap=self._gaps.get(keys[0]) if len(keys) == 1 else None,
        )

    def _dominated(self, key: tuple[str, float]) -> int:
        own, other = self._cells[key]
        time, runtime = other.time.mean(axis=0), other.runtime.mean(axis=0)
        return dominated(own.time, own.runtime, time, runtime, DOMINATION_MARGIN)


def fronts(strata: Strata, worst_time: float = 20.0) -> list[Front]:
    """The front of every throttle on every suite; the hypervolume is against (``worst_time`` T0, runtime 0)."""
    found = []
    for suite, throttle in dict.fromkeys((suite, throttle) for suite, _, throttle in strata):
        preferences = sorted(c for of_suite, c, name in strata if (of_suite, name) == (suite, throttle))
        cells = [strata[suite, preference, throttle] for preference in preferences]
        time = np.array([cell.time.mean() for cell in cells])
        runtime = np.array([cell.runtime.mean() for cell in cells])
        found.append(
            Front(
                suite,
                throttle,
                tuple(preferences),
                tuple(time.tolist()),
                tuple(runtime.tolist()),
                hypervolume(time, runtime, worst_time),
                is_monotone(time, runtime),
            )
        )
    return found
