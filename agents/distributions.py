"""Gaussian actions of the vCPUs that exist: absent slots act 0 and count for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import e, log, pi

import torch
from torch import Tensor
from torch.nn.functional import softplus

HALF_LOG_2_PI = 0.5 * log(2 * pi)


@dataclass(frozen=True)
class MaskedGaussian:
    """Independent normal actions [N, V].

    Attributes:
        mean: [N, V], zero in absent slots.
        log_sd: broadcasts to [N, V].
        present: bool [N, V].
    """

    mean: Tensor
    log_sd: Tensor
    present: Tensor

    def sample(self) -> Tensor:
        """[N, V] reparametrised; zero in absent slots."""
        return self.mean + self.log_sd.exp() * torch.randn_like(self.mean) * self.present

    def log_prob(self, actions: Tensor) -> Tensor:
        """[N] summed over the vCPUs that exist."""
        standard = (actions - self.mean) * torch.exp(-self.log_sd)
        return ((-0.5 * standard.square() - self.log_sd - HALF_LOG_2_PI) * self.present).sum(dim=1)

    def entropy(self) -> Tensor:
        """[N] summed over the vCPUs that exist."""
        return ((self.log_sd + 0.5 * log(2 * pi * e)) * self.present).sum(dim=1)


def squash(gaussian: MaskedGaussian, raw_actions: Tensor) -> tuple[Tensor, Tensor]:
    """tanh of a Gaussian's sample: actions [N, V] in (-1, 1) and their log-probability [N].

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)) holds its precision where tanh saturates.
    """
    log_slope = 2 * (log(2) - raw_actions - softplus(-2 * raw_actions))
    return torch.tanh(raw_actions), gaussian.log_prob(raw_actions) - (log_slope * gaussian.present).sum(dim=1)
