from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.networks.pooling import LEAST_ACTIVATION, pool, segment_pool


def rows_of(count: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(int(count.sum()), 5, generator=generator).abs().requires_grad_()


@pytest.mark.parametrize("pooling", [pool, segment_pool])
def test_equals_a_loop_over_migrations(pooling) -> None:
    count = torch.tensor([3, 1, 0, 64, 2])
    rows = rows_of(count)
    mean, maximum = pooling(rows, count)
    for index, of_migration in enumerate(rows.split(count.tolist())):
        if len(of_migration) == 0:
            assert torch.equal(mean[index], torch.zeros(5))
            assert torch.equal(maximum[index], torch.full((5,), float(LEAST_ACTIVATION)))
        else:
            torch.testing.assert_close(mean[index], of_migration.mean(0))
            assert torch.equal(maximum[index], of_migration.max(0).values)


def test_has_the_gradient_of_segment_reductions() -> None:
    count = torch.tensor([3, 1, 7, 0, 2])
    weights = torch.randn(5, 10, generator=torch.Generator().manual_seed(1))
    gradients = []
    for pooling in (pool, segment_pool):
        rows = rows_of(count)
        (torch.cat(pooling(rows, count), dim=1) * weights).sum().backward()
        gradients.append(rows.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-6, atol=1e-7)


def test_equal_rows_share_one_maximum() -> None:
    rows = torch.full((4, 2), 0.25, requires_grad=True)
    _, maximum = pool(rows, torch.tensor([4]))
    maximum.sum().backward()
    assert torch.equal(rows.grad.sum(0), torch.ones(2))
