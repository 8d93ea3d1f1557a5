"""The spaces that ``dqgym tune`` searches, by throttle, and the sets of options that it tries first."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from dqgym.throttles.options import TunedValue

Space = Mapping[str, BaseDistribution]

SPACES: dict[str, Space] = {
    # Its control interval stays that of the policies: a shorter one is costed over shorter windows. On a linear scale
    # few trials would fall where nothing runs free for longer than the first interval, a valley of its own.
    "tuned-rule": {
        "free_rounds": FloatDistribution(0.01, 3.0, log=True),
        "quota_fraction": FloatDistribution(0.005, 2.0, log=True),
        "working_set_threshold": FloatDistribution(1e-4, 0.4, log=True),
        "floor": FloatDistribution(1e-5, 0.2, log=True),
    },
    "dirty-limit": {"bandwidth_share": FloatDistribution(0.01, 10.0, log=True)},
    "dirty-quota": {"ratio": FloatDistribution(0.5, 50.0, log=True)},
    "auto-converge": {
        "initial_percent": IntDistribution(1, 99),
        "increment_percent": IntDistribution(1, 99),
        "hits_per_step": IntDistribution(1, 2),
        "tail_slow": CategoricalDistribution([False, True]),
    },
}
STARTS: dict[str, list[dict[str, TunedValue]]] = {
    "tuned-rule": [
        {"free_rounds": 0.022, "quota_fraction": 0.16, "working_set_threshold": 0.0006, "floor": 0.0003},
        {"free_rounds": 0.034, "quota_fraction": 0.32, "working_set_threshold": 0.0018, "floor": 0.0003},
        {"free_rounds": 0.08, "quota_fraction": 0.042, "working_set_threshold": 0.0001, "floor": 0.0001},
        {"free_rounds": 0.59, "quota_fraction": 0.21, "working_set_threshold": 0.06, "floor": 0.0006},
        {"free_rounds": 0.93, "quota_fraction": 0.33, "working_set_threshold": 0.075, "floor": 0.0004},
        {"free_rounds": 0.09, "quota_fraction": 0.065, "working_set_threshold": 0.08, "floor": 0.002},
        {"free_rounds": 0.97, "quota_fraction": 0.1, "working_set_threshold": 0.2, "floor": 0.008},
    ],
    "auto-converge": [
        {"initial_percent": 20, "increment_percent": 10, "hits_per_step": 2, "tail_slow": False},
        {"initial_percent": 30, "increment_percent": 35, "hits_per_step": 1, "tail_slow": True},
    ],
}
