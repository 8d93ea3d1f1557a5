"""``contextual-rule``: the tuned rule with its numbers put out anew at each decision, by a small network of telemetry.

The second opponent of a learned policy: it has as little freedom as the rule (one quota for all large writers, which
others are spared), but sees what a policy sees of the migration, and serves every preference. The network moves the
numbers that were tuned for the preference: ``dqgym tune contextual-rule`` finds its weights by an evolution strategy
(``experiments.tuning.evolution``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import Float32Array, FloatArray
from dqgym.cost import FAST
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import POLICY_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry
from dqgym.throttles.rules.quota_rule import QuotaRule, RuleParameters
from dqgym.throttles.rules.rule_features import FEATURES, rule_features

INPUTS, HIDDEN = len(FEATURES), 16
OUTPUTS = ("free_rounds", "quota_fraction", "working_set_threshold", "floor")
WEIGHTS = HIDDEN * (INPUTS + 1) + len(OUTPUTS) * (HIDDEN + 1)
"""Number of weights of the network: two layers with biases."""
LARGEST_MOVE = 4.0
"""Of an output."""


@dataclass(frozen=True)
class ContextualNetwork:
    """Gives the rule its numbers: those tuned for the preference, moved by a network with one hidden layer.

    Attributes:
        log_preferences: [B] natural logarithms, rising, at which there are tuned numbers.
        tuned: [B, len(OUTPUTS)] these numbers; between preferences they are interpolated.
        weights: float32 [WEIGHTS], or [N, WEIGHTS] with a network for each migration.
    """

    log_preferences: FloatArray
    tuned: FloatArray
    weights: Float32Array

    def parameters(self, features: Float32Array, preference: FloatArray, running: NDArray[np.int64]) -> RuleParameters:
        """The rule's numbers [K] for features [K, INPUTS]; ``running`` [K]: which of the N migrations they are of.

        Each output moves one number: rounds by what it is, fraction and floor by its exponential, the threshold, which
        may well be 0, over its square root.
        """
        weights = self.weights if self.weights.ndim == 1 else self.weights[running]
        moves = np.clip(network_outputs(weights, features), -LARGEST_MOVE, LARGEST_MOVE).astype(np.float64)
        free, fraction, threshold, floor = (
            np.interp(np.log(preference), self.log_preferences, column) for column in self.tuned.T
        )
        return RuleParameters(
            free_rounds=np.maximum(free + moves[:, 0], 0.0),
            quota_fraction=fraction * np.exp(moves[:, 1]),
            working_set_threshold=np.clip(np.sqrt(threshold) + 0.25 * moves[:, 2], 0.0, 1.0) ** 2,
            floor=np.minimum(floor * np.exp(moves[:, 3]), 1.0),
        )


def network_outputs(weights: Float32Array, features: Float32Array) -> Float32Array:
    """[K, len(OUTPUTS)] of features [K, INPUTS], for weights [WEIGHTS] of one network or [K, WEIGHTS] of K."""
    shape = weights.shape[:-1]
    into, bias, out, out_bias = np.split(weights, _SPLITS, axis=-1)
    layers = into.reshape(*shape, INPUTS, HIDDEN), out.reshape(*shape, HIDDEN, len(OUTPUTS))
    hidden = np.tanh(np.matmul(features[:, None], layers[0])[:, 0] + bias)
    outputs: Float32Array = np.matmul(hidden[:, None], layers[1])[:, 0] + out_bias
    return outputs


_SPLITS = np.cumsum([INPUTS * HIDDEN, HIDDEN, HIDDEN * len(OUTPUTS)]).tolist()


class ContextualRule:
    """The rule for N migrations at a time.

    Args:
        network: what puts out its numbers.
        preference: what guest runtime is worth against time: one for all, or [N].
        survey: how long a survey before the migrations; None for none.
    """

    def __init__(
        self,
        network: ContextualNetwork,
        preference: float | FloatArray = FAST,
        survey: ControlInterval | None = None,
    ) -> None:
        self.name = "contextual-rule"
        self.control_interval = POLICY_INTERVAL
        self.survey = survey
        self._network = network
        self._preference = np.asarray(preference, dtype=np.float64)

    def reset(self, facts: Facts) -> None:
        """Start N new migrations."""
        self._rule = QuotaRule(facts)
        self._preferences = np.broadcast_to(self._preference, facts.memory_bytes.shape)

    def act(self, telemetry: Telemetry) -> Command:
        """The rule's limits, with the numbers that the network puts out."""
        running = self._rule.observe(telemetry)
        preference = self._preferences[running.rows]
        features = rule_features(self._rule, running, preference)
        return self._rule.command(running, self._network.parameters(features, preference, running.rows))
