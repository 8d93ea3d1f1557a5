"""``oracle``: a throttle that knows the migrations' future. It runs on the model alone, for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from dqgym.errors import BadInputError
from dqgym.oracle.schedule import Player, Schedules, working_sets
from dqgym.oracle.search import ROUNDS, search
from dqgym.scenario import Scenario
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import POLICY_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry
from dqgym.throttles.options import PreferenceOptions


@runtime_checkable
class Clairvoyant(Protocol):
    """A throttle that is told the migrations before they begin."""

    def foresee(self, scenarios: Sequence[Scenario], seeds: Sequence[int]) -> None:
        """Take in the scenarios of the next run and the seeds that decide all that is random in them."""
        ...


class OracleThrottle:
    """Searches the best schedule of each migration, then plays it.

    Args:
        preference: what guest runtime is worth against time.
        rounds: of the search.
    """

    def __init__(self, preference: float, rounds: int = ROUNDS) -> None:
        self.name = "oracle"
        self.control_interval: ControlInterval = POLICY_INTERVAL
        self._preference = preference
        self._rounds = rounds
        self._scenarios: Sequence[Scenario] = ()
        self._schedules: Schedules
        self._player: Player

    def foresee(self, scenarios: Sequence[Scenario], seeds: Sequence[int]) -> None:
        """Search; the next run must be of these migrations, all at a time."""
        self._scenarios = scenarios
        self._schedules = search(scenarios, seeds, self._preference, self._rounds).schedules

    def reset(self, facts: Facts) -> None:
        """Start the migrations that were foreseen. BadInputError where they are others."""
        if len(facts.present) != len(self._scenarios):
            raise BadInputError(f"the oracle has foreseen {len(self._scenarios)} migrations, not {len(facts.present)}")
        self._player = Player(self._schedules, facts, working_sets(self._scenarios, facts.present.shape[1]))

    def act(self, telemetry: Telemetry) -> Command:
        """The limits of the schedules at this time."""
        return self._player.command(telemetry)


def oracle(options: PreferenceOptions) -> OracleThrottle:
    """The oracle that the table of throttles names."""
    return OracleThrottle(options.preference)
