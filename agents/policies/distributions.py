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
    """Normal actions [N, V]: a deviation of each vCPU's own and one that all vCPUs of a migration share.

    The covariance of a migration with n vCPUs is own_sd^2 I + shared_sd^2 11^T. With own deviations alone, what the
    vCPUs do together would hardly vary where they are many, and so would hardly be learned.

    Attributes:
        mean: [N, V], zero in absent slots.
        log_sd: of each vCPU's own deviation; broadcasts to [N, V].
        present: bool [N, V].
        shared_sd: of the shared deviation; None for none.
    """

    mean: Tensor
    log_sd: Tensor
    present: Tensor
    shared_sd: Tensor | None = None

    def sample(self) -> Tensor:
        """[N, V] reparametrised; zero in absent slots."""
        deviation = self.log_sd.exp() * torch.randn_like(self.mean)
        if self.shared_sd is not None:
            deviation = deviation + self.shared_sd * torch.randn_like(self.mean[:, :1])
        return self.mean + deviation * self.present

    def log_prob(self, actions: Tensor) -> Tensor:
        """[N] of the actions of all vCPUs together."""
        standard = (actions - self.mean) * torch.exp(-self.log_sd)
        log_prob = ((-0.5 * standard.square() - self.log_sd - HALF_LOG_2_PI) * self.present).sum(dim=1)
        if self.shared_sd is None:
            return log_prob
        # Sherman-Morrison, and the matrix determinant lemma.
        ratio, growth = self._shared_part(self.shared_sd)
        together = (standard * self.present).sum(dim=1).square()
        return log_prob + 0.5 * (ratio / growth * together - growth.log())

    def entropy(self) -> Tensor:
        """[N] of the actions of all vCPUs together."""
        entropy = ((self.log_sd + 0.5 * log(2 * pi * e)) * self.present).sum(dim=1)
        if self.shared_sd is None:
            return entropy
        _, growth = self._shared_part(self.shared_sd)
        return entropy + 0.5 * growth.log()

    def _shared_part(self, shared_sd: Tensor) -> tuple[Tensor, Tensor]:
        """The shared variance over the own one, and the factor [N] by which it enlarges the determinant."""
        ratio = (shared_sd * torch.exp(-self.log_sd)).square()
        return ratio, 1.0 + ratio * self.present.sum(dim=1)


def tanh_squashed(gaussian: MaskedGaussian, raw_actions: Tensor) -> tuple[Tensor, Tensor]:
    """tanh of a Gaussian's sample: actions [N, V] in (-1, 1) and their log-probability [N].

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)) holds its precision where tanh saturates.
    """
    log_slope = 2 * (log(2) - raw_actions - softplus(-2 * raw_actions))
    return torch.tanh(raw_actions), gaussian.log_prob(raw_actions) - (log_slope * gaussian.present).sum(dim=1)
