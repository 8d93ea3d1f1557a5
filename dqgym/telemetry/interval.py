"""The control interval: how often a throttle is asked for a new command."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dqgym.arrays import FloatArray
from dqgym.errors import BadInputError
from dqgym.telemetry.telemetry import Facts
from dqgym.units import parse_time

MOST_S, MOST_PASS_TIMES = 1e7, 1000.0
"""The longest deadline of a scenario (``dqgym.scenario.bounds``): no interval and no survey is longer."""
_PASS_TIME = re.compile(r"^\s*([0-9.]+(?:e-?\d+)?)\s*T0\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class ControlInterval:
    """``max(least_s, pass_times * T0)``: a fixed time, a share of the pass time T0 = memory / bandwidth, or both.

    A share of T0 lets one policy serve a migration of ten seconds and one of an hour with the same number of decisions.
    """

    least_s: float = 0.1
    pass_times: float = 0.0

    def __post_init__(self) -> None:
        if self.least_s < 0 or self.pass_times < 0 or self.least_s + self.pass_times == 0:
            raise BadInputError(
                f"control interval: least_s={self.least_s!r} and pass_times={self.pass_times!r}"
                " must not be negative, and one of them must be positive"
            )
        if not (self.least_s <= MOST_S and self.pass_times <= MOST_PASS_TIMES):
            raise BadInputError(
                f"control interval: least_s={self.least_s!r} and pass_times={self.pass_times!r} must be at most"
                f" {MOST_S:g} s and {MOST_PASS_TIMES:g} T0"
            )

    @classmethod
    def parse(cls, text: str) -> ControlInterval:
        """The interval that a text like ``"0.04 T0"`` or ``"100 ms"`` describes.

        Raises:
            BadInputError: it is neither; the message has the text and what is allowed.
        """
        in_pass_times = _PASS_TIME.match(text)
        try:
            if in_pass_times:
                return cls(least_s=0.0, pass_times=float(in_pass_times.group(1)))
            return cls(least_s=parse_time(text))
        except ValueError as error:
            raise BadInputError(
                f"control interval {text!r} must be a share of the pass time, like '0.04 T0', or a time, like '100 ms'"
            ) from error

    def seconds(self, facts: Facts) -> FloatArray:
        """[N] the interval of each migration in seconds."""
        return (self.pass_times * facts.pass_time_s).clip(min=self.least_s)


POLICY_INTERVAL_TEXT = "0.04 T0"
POLICY_INTERVAL = ControlInterval.parse(POLICY_INTERVAL_TEXT)
"""That of learned policies, unless a configuration says otherwise, and of what is compared with them: the cost averages
run shares over control intervals (``dqgym.cost.definition``), so that a longer one forgives more."""
BASELINE_INTERVAL = ControlInterval(least_s=0.1, pass_times=0.001)
"""Baselines act on dirty-log syncs and on measured bandwidth: 100 ms (QEMU's rate window), or T0 / 1000 for migrations
so long that this is finer than any of their rounds."""


def parse_survey(text: str) -> ControlInterval:
    """The length that a text like ``"0.01 T0"`` or ``"2 s"`` describes.

    Raises:
        BadInputError: it is neither; the message has the text and what is allowed.
    """
    try:
        return ControlInterval.parse(text)
    except ValueError as error:
        raise BadInputError(
            f"survey {text!r} must be a share of the pass time, like '0.01 T0', or a time, like '2 s'"
        ) from error
