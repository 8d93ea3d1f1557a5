"""Hindsight search: each migration is played again and again in the model, with its seed, under better schedules.

An evolution strategy with elites: the best schedules so far have children that differ from them in a block of slices.
What it finds is a cost that can be reached, so it bounds the true optimum from above: more rounds never find worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.backends.model import ModelBackend
from dqgym.oracle.schedule import (
    FREE_LOG,
    LEAST_LOG,
    MOST_SPARED,
    SLICE_PASS_TIMES,
    SLICES,
    Player,
    Schedules,
    concatenated,
    working_sets,
)
from dqgym.scenario import Scenario
from dqgym.telemetry.interval import POLICY_INTERVAL
from dqgym.telemetry.telemetry import VmField

ELITES = 6
CHILDREN = 36
ROUNDS = 20
TOGETHER = 64
"""Scenarios searched side by side."""
FIRST_FREE_PASS_TIMES = (0.0, 0.16, 0.32, 0.64, 1.0)
FIRST_FRACTIONS = (0.003, 0.03, 0.1, 0.2, 0.35, 0.55, 0.8, 10.0)
FIRST_SPARED = 0.05
"""The search begins with rules: free for so long, then that fraction; with this spared share, and with none."""
FIRST_STEP, LAST_STEP = 0.8, 0.1
"""Standard deviation of a change of log10 fraction, in the first and in the last round."""
PARENT_CHANCE = 0.35
"""The better a parent, the more children: each child takes the best with this chance, else the next, and so on."""
BLOCK_END_CHANCE = 0.25
"""A block of slices ends with this chance at each of its slices: it has four in the mean."""
MOVED_CHANCE, FREED_CHANCE, STOPPED_CHANCE = 0.7, 0.1, 0.1
"""Chances that a block is moved, freed or stopped; else it is taken from another elite."""
STOPPED_LOG = -2.0
"""log10 fraction of a block that is stopped."""
SPARED_CHANCE, SPARED_STEP = 0.2, 0.1
"""Chance that the spared share changes, too, and its deviation in units of the step."""


@dataclass(frozen=True)
class Found:
    """The best schedule of each migration, and its cost [N]."""

    schedules: Schedules
    cost: FloatArray


def search(
    scenarios: Sequence[Scenario], seeds: Sequence[int], preference: float, rounds: int = ROUNDS, seed: int = 0
) -> Found:
    """The best schedules found for N migrations of known future; the same ones for the same ``seed``."""
    parts = []
    for first in range(0, len(scenarios), TOGETHER):
        some = slice(first, first + TOGETHER)
        rng = np.random.default_rng((seed, first))
        parts.append(_search(scenarios[some], seeds[some], preference, rounds, rng))
    return Found(concatenated([part.schedules for part in parts]), np.concatenate([part.cost for part in parts]))


def _search(
    scenarios: Sequence[Scenario], seeds: Sequence[int], preference: float, rounds: int, rng: np.random.Generator
) -> Found:
    n = len(scenarios)
    start = _start()
    everywhere = np.tile(np.arange(len(start)), n)
    elite = start.take(everywhere)
    cost = _costs(scenarios, seeds, preference, elite, np.full(n, np.inf))
    elite, cost = _best(elite, cost, n)
    for step in np.geomspace(FIRST_STEP, LAST_STEP, rounds):
        children = _children(elite, n, float(step), rng)
        of_children = _costs(scenarios, seeds, preference, children, cost.reshape(n, -1)[:, 0])
        elite, cost = _best(*_joined(elite, cost, children, of_children, n), n)
    first = np.arange(n) * ELITES
    return Found(elite.take(first), cost[first])


def _start() -> Schedules:
    """Rules as schedules: free for a while, then one fraction; with and without sparing small working sets."""
    times = np.arange(SLICES) * SLICE_PASS_TIMES
    rules = product(FIRST_FREE_PASS_TIMES, np.log10(FIRST_FRACTIONS))
    rows = [np.where(times < free - 1e-9, FREE_LOG, log) for free, log in rules]
    plain = Schedules(np.array(rows), np.zeros(len(rows)))
    return concatenated([plain, Schedules(plain.log_fraction, np.full(len(rows), FIRST_SPARED))])


def _best(schedules: Schedules, cost: FloatArray, n: int) -> tuple[Schedules, FloatArray]:
    """The ``ELITES`` cheapest of each migration, cheapest first; the candidates lie migration by migration."""
    each = len(cost) // n
    order = np.argsort(cost.reshape(n, each), axis=1, kind="stable")[:, :ELITES]
    index = (order + np.arange(n)[:, None] * each).ravel()
    return schedules.take(index), cost[index]


def _joined(
    elite: Schedules, cost: FloatArray, children: Schedules, of_children: FloatArray, n: int
) -> tuple[Schedules, FloatArray]:
    """Parents and children of each migration side by side."""

    def join(ours: FloatArray, theirs: FloatArray) -> FloatArray:
        shape = ours.shape[1:]
        both = np.concatenate((ours.reshape(n, -1, *shape), theirs.reshape(n, -1, *shape)), axis=1)
        return both.reshape(-1, *shape)

    schedules = Schedules(join(elite.log_fraction, children.log_fraction), join(elite.spared, children.spared))
    return schedules, join(cost, of_children)


def _children(elite: Schedules, n: int, step: float, rng: np.random.Generator) -> Schedules:
    """``CHILDREN`` of each migration's elites: a block of slices is moved, freed or stopped, or taken from another."""
    count = n * CHILDREN
    base = np.repeat(np.arange(n) * ELITES, CHILDREN)
    parents = elite.take(base + np.minimum(rng.geometric(PARENT_CHANCE, count) - 1, ELITES - 1))
    others = elite.take(base + rng.integers(ELITES, size=count))
    first = rng.integers(SLICES, size=count)
    last = np.minimum(first + rng.geometric(BLOCK_END_CHANCE, size=count), SLICES)
    slices = np.arange(SLICES)
    block = (slices >= first[:, None]) & (slices < last[:, None])
    kind = np.searchsorted(np.cumsum((MOVED_CHANCE, FREED_CHANCE, STOPPED_CHANCE)), rng.random(count), side="right")
    moved = parents.log_fraction + step * rng.standard_normal(count)[:, None]
    is_kind = [kind[:, None] == each for each in range(3)]
    changed = np.select(is_kind, [moved, np.array(FREE_LOG), np.array(STOPPED_LOG)], others.log_fraction)
    log_fraction = np.where(block, changed, parents.log_fraction)
    spares = rng.random(count) < SPARED_CHANCE
    spared = parents.spared + spares * SPARED_STEP * step * rng.standard_normal(count)
    return Schedules(log_fraction.clip(LEAST_LOG, FREE_LOG), spared.clip(0.0, MOST_SPARED))


def _costs(
    scenarios: Sequence[Scenario], seeds: Sequence[int], preference: float, schedules: Schedules, best: FloatArray
) -> FloatArray:
    """[n * each] J of each migration's schedules; infinite as soon as it cannot be below ``best`` [n]."""
    each = len(schedules) // len(scenarios)
    again = [scenario for scenario in scenarios for _ in range(each)]
    backend = ModelBackend()
    telemetry = backend.start(again, [seed for seed in seeds for _ in range(each)])
    facts = backend.facts
    player = Player(schedules, facts, working_sets(scenarios, facts.present.shape[1]).repeat(each, axis=0))
    interval_s = POLICY_INTERVAL.seconds(facts)
    # J is at least T / T0.
    latest_s = np.repeat(best, each) * facts.pass_time_s
    while not (telemetry.done | (telemetry.per_vm(VmField.TIME_S) > latest_s)).all():
        telemetry = backend.step(player.command(telemetry), interval_s)
    return np.where(telemetry.done, backend.outcomes().cost(preference), np.inf)
