"""The reward: minus the growth of the cost J (``dqgym.cost.definition``) in each step, in four named terms.

``time``      time spent, in units of T0
``stall``     preference * stall cost of the windows that ended, in units of T0
``downtime``  preference * 5.3 * downtime beyond its limit, in units of T0
``deadline``  the cost so far once more, where the migration missed its deadline

With all weights 1, the rewards of an episode add up to -J.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.backends.base import Outcomes
from dqgym.cost import definition
from dqgym.cost.window import FULL_WINDOW_S, window_stall
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField

TERMS = ("time", "stall", "downtime", "deadline")
TERM_KEYS = tuple(f"reward_{name}" for name in TERMS)
"""What ``info`` calls the terms of a step."""


def weights_of(given: Mapping[str, float] | None) -> FloatArray:
    """float64 [4]: the weight of each term, 1 where not given. BadInputError for an unknown term or a negative one."""
    weights = dict.fromkeys(TERMS, 1.0)
    for name, weight in (given or {}).items():
        if name not in weights:
            raise BadInputError(f"reward_weights: unknown term {name!r}{did_you_mean(name, TERMS)}; terms: {TERMS}")
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 <= weight < math.inf:
            raise BadInputError(f"reward_weights: {name}={weight!r} must not be negative: a number")
        weights[name] = float(weight)
    return np.array([weights[name] for name in TERMS])


class CostMeter:
    """The cost terms of one migration, from its telemetry; the kernel's ``charge_interval`` on any backend."""

    def __init__(self, facts: Facts, preference: float) -> None:
        self.terms = dict.fromkeys(TERMS, 0.0)
        self._preference = preference
        self._present = facts.present[0].astype(np.float32)
        self._pass_time_s = float(facts.pass_time_s[0])
        self._downtime_limit_s = float(facts.downtime_limit_s[0])
        self._window_run_s = np.zeros_like(self._present)
        self._window_s = 0.0
        # A survey is on the migration's clock, and the guest runs.
        self._running_s = 0.0 if facts.survey is None else float(facts.survey.duration_s[0])
        self._stall_s = 0.0

    def update(self, telemetry: Telemetry, outcomes: Outcomes | None) -> None:
        """Add one interval; ``outcomes`` where the migration ended in it."""
        vm = telemetry.vm[0]
        self._running_s += vm[VmField.INTERVAL_S]
        self._window_s += vm[VmField.INTERVAL_S]
        self._window_run_s += telemetry.vcpu[0, VcpuField.RUN_S]
        ended = outcomes is not None
        if self._window_s >= FULL_WINDOW_S or (ended and self._window_s > 0):
            vcpus = float(self._present.sum())
            self._stall_s += window_stall(self._present, self._window_run_s, self._window_s, vcpus)
            self._window_run_s[:] = 0.0
            self._window_s = 0.0
        per_pass = 1.0 / self._pass_time_s
        self.terms["time"] = vm[VmField.TIME_S] * per_pass
        self.terms["stall"] = self._preference * self._stall_s * per_pass
        if outcomes is None:
            return
        if outcomes.converged[0]:
            last_stage_s = float(outcomes.total_time_s[0]) - self._running_s
            beyond_s = max(last_stage_s - self._downtime_limit_s, 0.0)
            self.terms["downtime"] = self._preference * beyond_s * definition.MAX_STALL * per_pass
        else:
            self.terms["deadline"] = (definition.MISSED_DEADLINE_FACTOR - 1.0) * (
                self.terms["time"] + self.terms["stall"]
            )
