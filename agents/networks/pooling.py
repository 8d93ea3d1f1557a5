"""Mean and maximum over the packed vCPUs of each migration.

Rows [P, W] lie migration by migration, ``count`` [N] of them each. On the CPU one compiled pass takes the place of
torch's segment reductions, which would take a third of a policy's update.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dqgym.jit.compile import exact_kernel

LEAST_ACTIVATION = np.float32(0.0)
"""Lower bound of a rectifier, whose outputs are pooled: the maximum over no vCPU at all."""


def pool(rows: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """[P, W], [N] -> mean [N, W] and maximum [N, W]. Rows are not negative, float32."""
    return _CompiledPool.apply(rows, count) if rows.device.type == "cpu" else segment_pool(rows, count)


def segment_pool(rows: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """``pool`` in torch's own operations, for any device."""
    total = torch.segment_reduce(rows, "sum", lengths=count, axis=0)
    maximum = torch.segment_reduce(rows, "max", lengths=count, axis=0, initial=float(LEAST_ACTIVATION))
    return total / count.clamp(min=1).unsqueeze(1), maximum


class _CompiledPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        n, width = count.shape[0], rows.shape[1]
        mean, maximum = torch.empty(n, width), torch.empty(n, width)
        ctx.count, ctx.rows_shape = count.numpy(), rows.shape
        ctx.where_maximum = np.empty((n, width), np.int32)
        _pool(rows.detach().contiguous().numpy(), ctx.count, mean.numpy(), maximum.numpy(), ctx.where_maximum)
        return mean, maximum

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_maximum: Tensor) -> tuple[Tensor, None]:
        of_rows = torch.empty(ctx.rows_shape)
        gradients = of_mean.contiguous().numpy(), of_maximum.contiguous().numpy()
        _pool_gradient(*gradients, ctx.count, ctx.where_maximum, of_rows.numpy())
        return of_rows, None


# The inner loops are written so that the compiler vectorises them: whole arrays, no branches, float32 and int32 alike.


@exact_kernel
def _pool(rows, count, mean, maximum, where_maximum):  # type: ignore[no-untyped-def]
    """Fill mean, maximum and the row that holds the maximum (-1: none does), each [N, W]."""
    width = rows.shape[1]
    first = 0
    for n in range(len(count)):
        total, most, where = mean[n], maximum[n], where_maximum[n]
        total[:] = 0.0
        most[:] = LEAST_ACTIVATION
        where[:] = -1
        for r in range(first, first + count[n]):
            values, row = rows[r], np.int32(r)
            for w in range(width):
                value, most_before, where_before = values[w], most[w], where[w]
                total[w] += value
                where[w] = row if value > most_before else where_before
                most[w] = max(value, most_before)
        first += count[n]
        share = np.float32(1.0 / max(count[n], 1))
        for w in range(width):
            total[w] *= share


@exact_kernel
def _pool_gradient(of_mean, of_maximum, count, where_maximum, of_rows):  # type: ignore[no-untyped-def]
    """Fill of_rows [P, W]: a share of the mean's gradient, and the maximum's where the row holds the maximum."""
    width = of_rows.shape[1]
    first = 0
    for n in range(len(count)):
        of_total, of_most, where = of_mean[n], of_maximum[n], where_maximum[n]
        share = np.float32(1.0 / max(count[n], 1))
        for r in range(first, first + count[n]):
            values, row = of_rows[r], np.int32(r)
            for w in range(width):
                values[w] = of_total[w] * share + (of_most[w] if where[w] == row else np.float32(0.0))
        first += count[n]
