"""The comparisons of an evaluation's strata: who wins where, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from dqgym.errors import BadInputError
from dqgym.throttles.roles import ORACLE, RULE
from experiments.results.rows import Key, Migration, Stratum, cost_sample
from experiments.results.statistics import (
    Bootstrap,
    Estimate,
    Replicated,
    dominated,
    gap_closed,
    hypervolume,
    interquartile_mean,
    is_monotone,
    mean,
    mean_ratio,
    pareto_front,
    probability_of_improvement,
    ratios,
)

ALL = "all"
"""In place of a suite: each with the same weight, however many migrations it has."""
DOMINATION_MARGIN = 0.005
"""A migration must be worse by more than this share to count as worse."""
WORST_TIME, WORST_RUNTIME = 20.0, 0.0
"""Where hypervolumes are measured from: the usual deadline, in T0, and a guest that never runs."""


class Group(NamedTuple):
    """Strata that are pooled: those of a suite, or of ``all``, at a preference, or at each (None)."""

    suite: str
    preference: float | None


@dataclass(frozen=True)
class Standing:
    """A throttle against an opponent, over a group of strata; each stratum has the same weight.

    Attributes:
        suite: or ``all``.
        preference: None: all of them.
        training_seeds: how many; 1 for a baseline.
        migrations: over all strata and training seeds.
        iqm: interquartile mean of the throttle's own J (of several strata: the mean of theirs).
        mean_ratio: mean of J over the opponent's, migration by migration.
        ratio_of_means: mean J over the opponent's mean J.
        improvement: probability that J is below the opponent's on the same migration; ties (``TIE``) count half.
        median: of the ratios.
        percentile_95: of the ratios.
        dominated: migrations that take longer than the opponent's and let the guest run less, by
            ``DOMINATION_MARGIN`` each.
        closed_gap: (J of tuned-rule - J) / (J of tuned-rule - J of oracle), of means; None without these two, or
            where there is no gap.
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
    """The points that a throttle reaches over the preferences: means over a suite's migrations and the training seeds.

    Attributes:
        suite: or ``all``.
        preferences: K of them, ascending; the sequences below are in their order.
        time_over_t0: mean T / T0.
        guest_runtime: mean guest runtime.
        efficient: whether no other of the throttle's points is as good in both.
        hypervolume: the area that the points dominate, up to ``WORST_TIME`` and ``WORST_RUNTIME``.
        monotone: whether T / T0 and guest runtime both never fall as the preference grows.
    """

    suite: str
    throttle: str
    preferences: tuple[float, ...]
    time_over_t0: tuple[float, ...]
    guest_runtime: tuple[float, ...]
    efficient: tuple[bool, ...]
    hypervolume: float
    monotone: bool


class Comparisons:
    """Compares throttles on the same resamples; what two comparisons have in common is computed once.

    Args:
        strata: of throttles that were given the same migrations.
        bootstrap: the resamples.

    Raises:
        BadInputError: a throttle lacks a stratum that another one has, or was given other migrations.
    """

    def __init__(self, strata: Mapping[Key, Stratum], bootstrap: Bootstrap) -> None:
        _require_paired(strata)
        self.strata = strata
        self.bootstrap = bootstrap
        self._kept: dict[tuple[str, Key, Key], Replicated] = {}

    @cached_property
    def throttles(self) -> list[str]:
        """In the order in which they first appear."""
        return list(dict.fromkeys(key.throttle for key in self.strata))

    @cached_property
    def suites(self) -> list[str]:
        """In the order in which they first appear."""
        return list(dict.fromkeys(key.suite for key in self.strata))

    @cached_property
    def preferences(self) -> list[float]:
        """Ascending."""
        return sorted({key.preference for key in self.strata})

    @cached_property
    def groups(self) -> list[Group]:
        """Each suite at each preference, at all of them; then all suites likewise."""
        preferences = [*self.preferences, None] if len(self.preferences) > 1 else self.preferences
        suites = [*self.suites, ALL] if len(self.suites) > 1 else self.suites
        return [Group(suite, preference) for suite in suites for preference in preferences]

    def against(self, opponent: str, throttles: Sequence[str], groups: Sequence[Group]) -> list[Standing]:
        """Each throttle against the opponent, in each group."""
        return [self._standing(group, throttle, opponent) for group in groups for throttle in throttles]

    def policies_against_baselines(self, learned: Sequence[str]) -> list[Standing]:
        """Each policy against every other throttle, on each suite at each preference."""
        return [
            self._standing(Group(suite, preference), policy, baseline)
            for suite in self.suites
            for preference in self.preferences
            for policy in learned
            for baseline in self.throttles
            if baseline not in learned
        ]

    def fronts(self) -> list[Front]:
        """Of every throttle, on every suite and on all."""
        suites = [*self.suites, ALL] if len(self.suites) > 1 else self.suites
        return [self._front(suite, throttle) for suite in suites for throttle in self.throttles]

    def _standing(self, group: Group, throttle: str, opponent: str) -> Standing:
        own, other = self._keys(group, throttle), self._keys(group, opponent)
        strata = [(self.strata[one], self.strata[two]) for one, two in zip(own, other, strict=True)]
        all_ratios = np.concatenate([ratios(one.cost, two.cost).ravel() for one, two in strata])
        median, percentile_95 = np.percentile(all_ratios, (50, 95))
        return Standing(
            suite=group.suite,
            preference=group.preference,
            throttle=throttle,
            opponent=opponent,
            training_seeds=len(strata[0][0].training_seeds),
            migrations=len(all_ratios),
            iqm=self._pooled_iqm(own).estimate,
            mean_ratio=self._pooled("mean ratio", mean_ratio, own, other).estimate,
            ratio_of_means=(self._pooled_mean(own) / self._pooled_mean(other)).estimate,
            improvement=self._pooled("improvement", probability_of_improvement, own, other).estimate,
            median=float(median),
            percentile_95=float(percentile_95),
            dominated=sum(_dominated(one, two) for one, two in strata),
            closed_gap=self._closed_gap(group, throttle),
        )

    def _closed_gap(self, group: Group, throttle: str) -> Estimate | None:
        if not {RULE, ORACLE} <= set(self.throttles) or throttle in (RULE, ORACLE):
            return None
        rule, method, oracle = (self._pooled_mean(self._keys(group, name)) for name in (RULE, throttle, ORACLE))
        return gap_closed(rule, method, oracle)

    def _keys(self, group: Group, throttle: str) -> list[Key]:
        return [
            Key(suite, preference, throttle)
            for suite in (self.suites if group.suite == ALL else [group.suite])
            for preference in (self.preferences if group.preference is None else [group.preference])
        ]

    def _pooled_mean(self, keys: Sequence[Key]) -> Replicated:
        return self._pooled("mean", lambda own, _: mean(own), keys, keys)

    def _pooled_iqm(self, keys: Sequence[Key]) -> Replicated:
        return self._pooled("iqm", lambda own, _: interquartile_mean(own), keys, keys)

    def _pooled(
        self, name: str, statistic: Callable[..., Replicated], own: Sequence[Key], other: Sequence[Key]
    ) -> Replicated:
        """The mean of a statistic over strata; ``name`` is what it is kept under."""
        return Replicated.mean([self._once(name, statistic, *keys) for keys in zip(own, other, strict=True)])

    def _once(self, name: str, statistic: Callable[..., Replicated], own: Key, other: Key) -> Replicated:
        if (name, own, other) not in self._kept:
            samples = (cost_sample(key, self.strata[key], self.bootstrap) for key in (own, other))
            self._kept[name, own, other] = statistic(*samples)
        return self._kept[name, own, other]

    def _front(self, suite: str, throttle: str) -> Front:
        groups = [self._keys(Group(suite, preference), throttle) for preference in self.preferences]
        time = np.array([np.mean([self.strata[key].time_over_t0.mean() for key in keys]) for keys in groups])
        runtime = np.array([np.mean([self.strata[key].guest_runtime.mean() for key in keys]) for keys in groups])
        front = pareto_front(time, runtime)
        return Front(
            suite=suite,
            throttle=throttle,
            preferences=tuple(self.preferences),
            time_over_t0=tuple(time.tolist()),
            guest_runtime=tuple(runtime.tolist()),
            efficient=tuple(k in front for k in range(len(groups))),
            hypervolume=hypervolume(time, runtime, WORST_TIME, WORST_RUNTIME),
            monotone=is_monotone(time, runtime),
        )


def _dominated(own: Stratum, other: Stratum) -> int:
    worse = dominated(own.time_over_t0, own.guest_runtime, other.time_over_t0, other.guest_runtime, DOMINATION_MARGIN)
    return int(worse.sum())


def _require_paired(strata: Mapping[Key, Stratum]) -> None:
    migrations: dict[str, tuple[Migration, ...]] = {}
    for key, stratum in strata.items():
        migrations.setdefault(key.suite, stratum.migrations)
    throttles = list(dict.fromkeys(key.throttle for key in strata))
    for suite, preference in dict.fromkeys((key.suite, key.preference) for key in strata):
        for throttle in throttles:
            found = strata.get(Key(suite, preference, throttle))
            if found is None or found.migrations != migrations[suite]:
                raise BadInputError(
                    f"throttle {throttle!r}, suite {suite!r}, c = {preference:g}: must have the same migrations as"
                    " all others"
                )
