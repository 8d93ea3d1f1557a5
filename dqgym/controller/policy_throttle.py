"""A learned policy as a throttle: telemetry, encoder, network, command."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dqgym.arrays import Float32Array, FloatArray
from dqgym.errors import BadInputError
from dqgym.telemetry.action import ActionSpec, action_to_command
from dqgym.telemetry.command import Command
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField

Act = Callable[[Float32Array], Float32Array]
"""[N, V] actions within -1 .. 1 for [N, D] observations."""
MakeEncoder = Callable[[int], Encoder]
"""A new encoder for a number of vCPU slots; ValueError where the policy does not serve that many."""


class PolicyThrottle:
    """Asks a policy for per-vCPU dirty-rate limits.

    Args:
        name: how reports call it.
        act: the policy.
        encoder: makes the encoder of each run.
        action_spec: what the policy's actions mean.
        preference: what guest runtime is worth against time, one for all migrations or [N].
        control_interval: the one that the policy was trained with.
        survey: what it is told of before each migration; None for nothing.
    """

    def __init__(
        self,
        name: str,
        act: Act,
        encoder: MakeEncoder,
        action_spec: ActionSpec,
        preference: float | FloatArray,
        control_interval: ControlInterval,
        survey: ControlInterval | None = None,
    ) -> None:
        self.name = name
        self.control_interval = control_interval
        self.survey = survey
        self._act = act
        self._make_encoder = encoder
        self._action_spec = action_spec
        self._preference = preference

    def reset(self, facts: Facts) -> None:
        """Start N new migrations.

        Raises:
            BadInputError: the policy does not serve as many vCPU slots as the run has.
        """
        self._encoder = self._make_encoder(facts.present.shape[1])
        self._encoder.reset(facts, self._preference)
        self._facts = facts

    def act(self, telemetry: Telemetry) -> Command:
        """The policy's command.

        Raises:
            BadInputError: the policy's actions have another shape than the run.
        """
        actions = self._act(self._encoder.encode(telemetry))
        if actions.shape != self._facts.present.shape:
            raise BadInputError(
                f"policy {self.name!r}: actions have shape {actions.shape}, the run {self._facts.present.shape}"
                " (migrations, vCPU slots)"
            )
        bandwidth = np.ascontiguousarray(telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S))
        return action_to_command(actions, bandwidth, self._encoder.writers, self._facts, self._action_spec)
