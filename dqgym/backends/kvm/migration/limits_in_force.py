"""The limits of a migration as it goes on: a downtime limit that grows, the deadline, the last round."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dqgym.scenario import Scenario
from dqgym.scenario.limits import PAUSED_DEADLINES, Rise, Span


@dataclass
class LimitsInForce:
    """The limits now.

    Args:
        scenario: where they stand.

    Attributes:
        downtime_s: the downtime limit in force.
        paused_s: since when the guest has been paused, in place of a cancellation; None: it is not.
        ends_s: when the migration has failed, or is to be paused.
    """

    scenario: Scenario
    downtime_s: float = field(init=False)
    paused_s: float | None = field(init=False, default=None)
    ends_s: float = field(init=False)

    def __post_init__(self) -> None:
        limits, growth = self.scenario.limits, self.scenario.limits.downtime_growth
        self.downtime_s, self.ends_s = limits.downtime_s, self.scenario.deadline_s
        self._grows_at_s = self._grows_in_round = math.inf
        self._rise = Rise(1.0, 0.0, limits.downtime_s)
        if growth is None:
            return
        self._rise, self._pace = growth.rise_from(limits.downtime_s), growth.pace
        self._await(growth.first or self._pace, 0.0, 1)

    def _await(self, span: Span, time_s: float, round: int, *, again: bool = False) -> None:
        """The next step comes after ``span``, or, the first, in the round that it names."""
        self._grows_at_s = self._grows_in_round = math.inf
        if span.unit != "rounds":
            self._grows_at_s = time_s + self.scenario.in_seconds(span)
        else:
            is_delay = again or span is self._pace
            self._grows_in_round = span.value + (round if is_delay else 0)

    def follow(self, time_s: float, round: int) -> None:
        """Let the downtime limit grow as it is due by now."""
        while time_s >= self._grows_at_s or round >= self._grows_in_round:
            began_s = min(self._grows_at_s, time_s)
            self.downtime_s = min(self._rise.factor * self.downtime_s + self._rise.add_s, self._rise.end_s)
            if self.downtime_s >= self._rise.end_s:
                self._grows_at_s = self._grows_in_round = math.inf
            else:
                self._await(self._pace, began_s, round, again=True)

    def after_last(self, round: int) -> bool:
        """True where no other round is allowed after this one, and the guest is not paused already."""
        most = self.scenario.limits.max_rounds
        return most is not None and round >= most and self.paused_s is None

    def pauses(self, *, at_deadline: bool) -> bool:
        """True where the guest is to be paused now, not the migration to be cancelled."""
        limits = self.scenario.limits
        return self.paused_s is None and (limits.pauses_at_deadline if at_deadline else limits.pauses_after_rounds)

    def pause(self, time_s: float) -> None:
        """The guest has been paused."""
        self.paused_s = time_s
        if self.scenario.limits.pauses_at_deadline:
            self.ends_s = PAUSED_DEADLINES * self.scenario.deadline_s
