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
from dqgym.cost import TERMS
from dqgym.cost.meter import CostMeter
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField, downtime_limit_now

TERM_KEYS = tuple(f"reward_{name}" for name in TERMS)
"""Keys of a step's terms in ``info``."""


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


def meter_of(facts: Facts, preference: float) -> CostMeter:
    """The meter of the one migration that ``facts`` are of."""
    return CostMeter(
        facts.present[0],
        pass_time_s=float(facts.pass_time_s[0]),
        downtime_limit_s=float(facts.downtime_limit_s[0]),
        preference=preference,
        survey_s=0.0 if facts.survey is None else float(facts.survey.duration_s[0]),
        deadline_s=float(facts.deadline_s[0]),
    )


def charge(meter: CostMeter, facts: Facts, telemetry: Telemetry, outcomes: Outcomes | None) -> None:
    """Book one interval of one migration; ``outcomes`` where it ended in it."""
    vm = telemetry.vm[0]
    converged = None if outcomes is None else bool(outcomes.converged[0])
    limit_s = float(downtime_limit_now(facts, telemetry.vm)[0])
    meter.add(telemetry.vcpu[0, VcpuField.RUN_S], vm[VmField.INTERVAL_S], vm[VmField.TIME_S], converged, limit_s)
