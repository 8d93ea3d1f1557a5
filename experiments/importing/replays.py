"""Guests that are played on the model, under the throttle of a log, until one leaves the log's rounds behind.

What a log's rounds say in a formula (``dqgym.scenario.recordings.inference``) leaves out what a dirty log does: a page
that is written before it is sent counts once, a sync comes late, a throttle moves in the middle of a round. The model
has all of this. So guests around the inferred one are migrated side by side, each under the throttle that the log was
written under, and the one whose rounds, time and traffic miss the log's by least is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario.bounds import DEADLINE_PASS_TIMES
from dqgym.scenario.limits import pass_times
from dqgym.scenario.recordings.inference import PATTERNS, Demand
from dqgym.scenario.recordings.log_scenario import Imported, with_demand
from dqgym.scenario.recordings.migration_log import MigrationLog, Reading, Round, rounds_of
from dqgym.scenario.scenario import Scenario
from dqgym.telemetry.telemetry import VmField
from dqgym.throttles.registry import make_throttle


@dataclass(frozen=True)
class Grid:
    """Guests around one: what its working set and its rate are multiplied with."""

    sets: tuple[float, ...]
    rates: tuple[float, ...]


WIDE = Grid(sets=(0.7, 0.8, 0.88, 0.94, 1.0, 1.06, 1.15, 1.3, 1.5), rates=tuple(np.geomspace(0.3, 3.3, 17).tolist()))
FINE = Grid(sets=(0.94, 0.97, 1.0, 1.03, 1.06), rates=tuple(np.geomspace(0.9, 1.1, 9).tolist()))
MOST_WIDE = 4
"""Wide grids that are tried, each around the best of the one before, until its best is not on the edge."""
ANY_SET = Grid(sets=tuple(np.geomspace(0.6, 1.7, 81).tolist()), rates=(1.0,))
ANY_RATE = Grid(sets=ANY_SET.rates, rates=ANY_SET.sets)
BOUND = 2.0
NO_WORSE = 0.01
"""A rate or a set is only known from below where ``BOUND`` times as much misses the log by no more than this."""
SLOWER = 1.25
MOST_SLOWER = 14
"""A lower bound is searched for in steps of this factor, and so many of them."""
LONGER = 1.3
"""A guest that takes this many times the log's time is not played to its end."""
STEPS_AHEAD = 8
"""Rounds of the log that count, at most: later ones depend on those before."""


@dataclass(frozen=True)
class Played:
    """A guest, and what became of its migration.

    Attributes:
        demand: how it writes.
        scenario: that was migrated.
        converged: within ``LONGER`` times the time of the log.
        total_time_s: until it ended, or that time.
        miss: how far its rounds, time and traffic are from the log's: the mean of absolute logarithms of ratios.
    """

    demand: Demand
    scenario: Scenario
    converged: bool
    total_time_s: float
    miss: float


def refined(imported: Imported, throttle: str) -> Played | None:
    """The guest that fits a log best; None for one that never wrote.

    Args:
        imported: a log, and the guest that its rounds say.
        throttle: that was on when the log was written.
    """
    if imported.demand is None:
        return None
    best = _best(imported, throttle, [imported.demand])
    for _ in range(MOST_WIDE):
        centre = best.demand
        best = min(best, _best_around(imported, throttle, centre, WIDE), key=_miss_of)
        if not _far(best.demand, centre):
            break
    best = min(best, _best_around(imported, throttle, best.demand, FINE), key=_miss_of)
    return _with_bounds(imported, throttle, best)


def _with_bounds(imported: Imported, throttle: str, best: Played) -> Played:
    """The guest, and whether one that writes twice as fast, or to twice as much, could have left the same log."""
    demand = best.demand
    most_bytes = imported.scenario.vm.memory_bytes
    twice_as_fast = replace(demand, rate_bytes_per_s=BOUND * demand.rate_bytes_per_s)
    twice_as_large = replace(demand, working_set_bytes=BOUND * demand.working_set_bytes)
    others = [
        (twice_as_fast, ANY_SET),
        (twice_as_large, ANY_RATE),
    ]
    as_fast, as_large = (
        _best_around(imported, throttle, one, grid).miss <= best.miss + NO_WORSE for one, grid in others
    )
    sized = not demand.set_is_known and twice_as_large.working_set_bytes <= most_bytes
    if as_fast:
        best = _slowest(imported, throttle, best)
    return replace(best, demand=replace(best.demand, rate_is_least=as_fast, set_is_least=as_large and sized))


def _slowest(imported: Imported, throttle: str, best: Played) -> Played:
    """Of guests that fit as well, one that writes about as slowly as it can: a lower bound must be one."""
    most_miss = best.miss + NO_WORSE
    for _ in range(MOST_SLOWER):
        other = replace(best.demand, rate_bytes_per_s=best.demand.rate_bytes_per_s / SLOWER)
        slower = _best_around(imported, throttle, other, ANY_SET)
        if slower.miss > most_miss:
            break
        best = slower
    return best


def _miss_of(played: Played) -> float:
    return played.miss


def _around(demand: Demand, grid: Grid, in_a_loop: bool) -> list[Demand]:
    """Steady guests around one."""
    patterns = PATTERNS[:1] if in_a_loop else PATTERNS
    return [
        replace(
            demand,
            pattern=pattern,
            working_set_bytes=larger * demand.working_set_bytes,
            rate_bytes_per_s=faster * demand.rate_bytes_per_s,
            factors=(),
            times_s=(),
        )
        for pattern in patterns
        for larger in ((1.0,) if demand.set_is_known else grid.sets)
        for faster in grid.rates
    ]


def _far(demand: Demand, centre: Demand) -> bool:
    """Whether a guest lies on the edge of the wide grid around another, so that a better one may lie beyond."""
    faster = demand.rate_bytes_per_s / centre.rate_bytes_per_s
    larger = demand.working_set_bytes / centre.working_set_bytes
    return not (WIDE.rates[1] < faster < WIDE.rates[-2] and WIDE.sets[0] < larger < WIDE.sets[-1])


def _best_around(imported: Imported, throttle: str, demand: Demand, grid: Grid) -> Played:
    return _best(imported, throttle, _around(demand, grid, imported.log.in_a_loop))


def _best(imported: Imported, throttle: str, demands: Sequence[Demand]) -> Played:
    scenarios = [with_demand(imported.scenario, demand) for demand in demands]
    return min(_played(imported.log, demands, scenarios, throttle), key=_miss_of)


def _played(
    log: MigrationLog, demands: Sequence[Demand], scenarios: Sequence[Scenario], throttle: str
) -> Iterator[Played]:
    rounds = rounds_of(log)
    most_s = _horizon_s(log, rounds)
    looks: list[FloatArray] = []
    backend = ModelBackend()
    try:
        outcomes = run_migrations(
            backend,
            [_ending(scenario, most_s) for scenario in scenarios],
            make_throttle(throttle),
            [0] * len(scenarios),
            observer=lambda _interval, _command, telemetry: looks.append(telemetry.vm.copy()),
        )
    finally:
        backend.close()
    seen = np.stack(looks)
    for index, (demand, scenario) in enumerate(zip(demands, scenarios, strict=True)):
        converged, time_s = bool(outcomes.converged[index]), float(outcomes.total_time_s[index])
        miss = _miss(log, rounds, _log_of(seen[:, index], log, scenario), time_s, converged)
        yield Played(demand, scenario, converged, time_s, miss)


def _horizon_s(log: MigrationLog, rounds: Sequence[Round]) -> float:
    """For how long a guest is played: a little longer than the log, or than the rounds of it that count."""
    over_s = rounds[: STEPS_AHEAD + 1][-1].end_s if rounds and log.converged is False else log.total_time_s
    return LONGER * min(over_s, log.total_time_s)


def _ending(scenario: Scenario, most_s: float) -> Scenario:
    """The scenario with a deadline that is soon enough not to waste time."""
    deadline = pass_times(min(max(most_s / scenario.pass_time_s, 1.01), DEADLINE_PASS_TIMES.most))
    return scenario.model_copy(update={"limits": scenario.limits.model_copy(update={"deadline": deadline})})


def _log_of(seen: FloatArray, log: MigrationLog, scenario: Scenario) -> MigrationLog:
    """What the model showed, as a log of the same kind; ``seen`` [T, fields]."""
    readings = tuple(
        Reading(
            time_s=float(row[VmField.TIME_S]),
            sent_bytes=float(row[VmField.SENT_BYTES]),
            remaining_bytes=float(row[VmField.REMAINING_BYTES]),
            syncs=int(row[VmField.SYNCS]),
        )
        for row in seen
    )
    return replace(log, readings=readings, total_bytes=float(scenario.vm.memory_bytes), rounds_told=True)


def _miss(log: MigrationLog, rounds: Sequence[Round], played: MigrationLog, time_s: float, converged: bool) -> float:
    sent = log.readings[-1].sent_bytes, played.readings[-1].sent_bytes
    ratios = [time_s / log.total_time_s, sent[1] / max(sent[0], 1.0)]
    if not log.converged and not converged:
        ratios = [1.0]  # both go on: how long they were watched says nothing
    pairs = [(one, other) for one, other in zip(rounds, rounds_of(played), strict=False) if _alike(one, other)]
    ratios += [other.found_bytes / one.found_bytes for one, other in pairs[:STEPS_AHEAD]]
    return float(np.abs(np.log(np.maximum(ratios, 1e-6))).mean())


def _alike(one: Round, other: Round) -> bool:
    """Whether both are single rounds, so that what they found can be compared."""
    return one.count == 1 and other.count == 1
