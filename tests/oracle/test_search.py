"""The hindsight search against plain rules, brute force and the control loop."""

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.oracle.schedule import FREE_LOG, SLICES, Player, Schedules, working_sets
from dqgym.oracle.search import search
from dqgym.oracle.throttle import Clairvoyant, OracleThrottle
from dqgym.scenario.suites import get_suite
from dqgym.throttles.base import Throttle
from dqgym.throttles.registry import make_throttle

PHASES = get_suite("phases").scenarios(6, seed=3, max_vcpus=4)
SEEDS = range(6)
C = 0.2


class Fixed:
    """Plays the same schedule for all migrations."""

    def __init__(self, log_fraction: np.ndarray) -> None:
        oracle = OracleThrottle(C)
        self.name, self.control_interval, self._log_fraction = "fixed", oracle.control_interval, log_fraction

    def reset(self, facts) -> None:
        n = len(facts.present)
        schedules = Schedules(np.tile(self._log_fraction, (n, 1)), np.zeros(n))
        self._player = Player(schedules, facts, working_sets(PHASES, facts.present.shape[1]))

    def act(self, telemetry):
        return self._player.command(telemetry)


def costs(throttle: Throttle, preference: float = C) -> np.ndarray:
    if isinstance(throttle, Clairvoyant):
        throttle.foresee(PHASES, list(SEEDS))
    return run_migrations(ModelBackend(), PHASES, throttle, list(SEEDS)).cost(preference)


def test_the_cost_found_is_the_cost_of_playing_the_schedule_in_the_control_loop():
    found = search(PHASES, list(SEEDS), C, rounds=3)
    np.testing.assert_allclose(costs(OracleThrottle(C, rounds=3)), found.cost, rtol=1e-6)


@pytest.mark.parametrize("free", [0, 2, 8])
@pytest.mark.parametrize("fraction", [0.03, 0.2, 0.55])
def test_no_rule_of_its_family_is_cheaper(free, fraction):
    found = search(PHASES, list(SEEDS), C, rounds=0)
    schedule = np.where(np.arange(SLICES) < free, FREE_LOG, np.log10(fraction))
    assert (found.cost <= costs(Fixed(schedule)) * (1 + 1e-6)).all()


def test_more_rounds_never_find_worse_and_find_better_somewhere():
    few, many = (search(PHASES, list(SEEDS), C, rounds=rounds).cost for rounds in (0, 6))
    assert (many <= few).all()
    assert (many < 0.999 * few).any()


def test_the_same_seed_finds_the_same_schedules():
    one, two = (search(PHASES, list(SEEDS), C, rounds=2) for _ in range(2))
    np.testing.assert_array_equal(one.schedules.log_fraction, two.schedules.log_fraction)


@pytest.mark.slow
def test_an_oracle_is_cheaper_than_every_baseline_in_the_mean():
    best = costs(OracleThrottle(C)).mean()
    assert all(best < costs(make_throttle(name)).mean() for name in ("none", "dirty-quota", "stop-and-copy"))


def test_an_oracle_refuses_migrations_that_it_has_not_foreseen():
    oracle = OracleThrottle(C, rounds=0)
    oracle.foresee(PHASES[:2], [0, 1])
    with pytest.raises(ValueError, match="foreseen 2 migrations, not 6"):
        run_migrations(ModelBackend(), PHASES, oracle, list(SEEDS))
