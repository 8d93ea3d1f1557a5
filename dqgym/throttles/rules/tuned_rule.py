"""``tuned-rule``: the opponent that a learned policy has to beat, a rule of a few numbers tuned on the same migrations.

Where writers saturate their working sets, throttling them from the start saves nothing: they should run free at first
and be held down for the last rounds, and those with small working sets not at all: see ``quota_rule`` beside this.

``dqgym tune tuned-rule`` finds the numbers for a distribution of migrations, one set for each preference.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import POLICY_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry
from dqgym.throttles.options import Described, ThrottleOptions
from dqgym.throttles.rules.quota_rule import QuotaRule, RuleParameters


class TunedRuleOptions(ThrottleOptions):
    """The numbers that are tuned; ``RuleParameters`` says what they do."""

    free_rounds: Annotated[float, Field(ge=0, le=20), Described("rounds in which every vCPU runs free")] = 1.0
    quota_fraction: Annotated[
        float, Field(gt=0, le=10), Described("of the measured bandwidth, for the throttled vCPUs together")
    ] = 0.5
    working_set_threshold: Annotated[
        float, Field(ge=0, le=1), Described("of this round's bytes, for the vCPUs that are spared")
    ] = 0.05
    floor: Annotated[float, Field(ge=0, le=1), Described("least run share of a throttled vCPU")] = 0.0
    interval_pass_times: Annotated[
        float, Field(gt=0, le=1), Described("its control interval in units of T0; by default that of policies")
    ] = POLICY_INTERVAL.pass_times


class TunedRule:
    """The rule for N migrations at a time."""

    def __init__(self, options: TunedRuleOptions | None = None) -> None:
        self.name = "tuned-rule"
        self.options = options or TunedRuleOptions()
        self.control_interval = ControlInterval(least_s=0.0, pass_times=self.options.interval_pass_times)

    def reset(self, facts: Facts) -> None:
        """Start N new migrations."""
        self._rule = QuotaRule(facts)

    def act(self, telemetry: Telemetry) -> Command:
        """The rule's limits, with the same numbers throughout."""
        options = self.options
        parameters = RuleParameters(
            options.free_rounds, options.quota_fraction, options.working_set_threshold, options.floor
        )
        return self._rule.command(self._rule.observe(telemetry), parameters)
