from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, TanhTransform, TransformedDistribution

from agents.policies.distributions import MaskedGaussian, tanh_squashed

PRESENT = torch.tensor([[True, False, True], [True, True, True]])
MEAN = torch.tensor([[0.3, 0.0, -1.2], [0.0, 2.0, 0.5]])
SD = 0.4


def gaussian() -> MaskedGaussian:
    return MaskedGaussian(MEAN, torch.tensor(SD).log(), PRESENT)


def reference(index: int) -> Normal:
    return Normal(MEAN[index][PRESENT[index]], SD)


def test_counts_only_vcpus_that_exist() -> None:
    actions = torch.tensor([[0.1, 5.0, -1.0], [0.2, 1.5, 0.0]])
    for index in range(2):
        expected = Independent(reference(index), 1)
        torch.testing.assert_close(
            gaussian().log_prob(actions)[index], expected.log_prob(actions[index][PRESENT[index]])
        )
        torch.testing.assert_close(gaussian().entropy()[index], expected.entropy())


def test_absent_slots_act_zero_and_the_others_vary_by_the_sd() -> None:
    torch.manual_seed(0)
    samples = torch.stack([gaussian().sample() for _ in range(4000)])
    assert torch.equal(samples[:, ~PRESENT], torch.zeros(4000, 1))
    torch.testing.assert_close(samples.mean(0)[PRESENT], MEAN[PRESENT], atol=0.04, rtol=0)
    torch.testing.assert_close(samples.std(0)[PRESENT], torch.full((5,), SD), atol=0.03, rtol=0)


def test_squashing_changes_the_density_as_tanh_does() -> None:
    raw = torch.tensor([[0.1, 0.0, -1.0], [0.2, 1.5, 0.0]])
    actions, log_prob = tanh_squashed(gaussian(), raw)
    assert torch.equal(actions, raw.tanh())
    for index in range(2):
        expected = TransformedDistribution(reference(index), TanhTransform())
        torch.testing.assert_close(log_prob[index], expected.log_prob(actions[index][PRESENT[index]]).sum())


def test_squashing_stays_finite_where_tanh_saturates() -> None:
    _, log_prob = tanh_squashed(gaussian(), torch.tensor([[40.0, 0.0, -40.0], [0.0, 0.0, 30.0]]))
    assert log_prob.isfinite().all()


SHARED_SD = 0.7


def sharing() -> MaskedGaussian:
    return MaskedGaussian(MEAN, torch.tensor(SD).log(), PRESENT, torch.tensor(SHARED_SD))


def test_a_shared_deviation_is_the_normal_distribution_of_that_covariance() -> None:
    actions = torch.tensor([[0.1, 5.0, -1.0], [0.2, 1.5, 0.0]])
    for index, present in enumerate(PRESENT):
        n = int(present.sum())
        covariance = SD**2 * torch.eye(n) + SHARED_SD**2 * torch.ones(n, n)
        expected = MultivariateNormal(MEAN[index][present], covariance)
        torch.testing.assert_close(sharing().log_prob(actions)[index], expected.log_prob(actions[index][present]))
        torch.testing.assert_close(sharing().entropy()[index], expected.entropy())


@pytest.mark.slow
def test_vcpus_vary_together_by_the_shared_sd() -> None:
    torch.manual_seed(0)
    samples = torch.stack([sharing().sample() for _ in range(8000)])[:, 1]
    covariance = torch.cov(samples.T)
    torch.testing.assert_close(covariance, SD**2 * torch.eye(3) + SHARED_SD**2, atol=0.04, rtol=0)
    assert torch.equal(torch.stack([sharing().sample() for _ in range(9)])[:, ~PRESENT], torch.zeros(9, 1))
