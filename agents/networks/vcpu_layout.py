"""Two ways to hold the vCPUs of a batch of migrations, with the same operations.

A network written against ``VcpuLayout`` runs in both. ``PackedVcpus`` holds only the vCPUs that exist, as rows [P, F]:
no time is spent on absent slots. ``PaddedVcpus`` holds all slots [N, V, F] under a mask: only operations whose shapes
follow from the input's, so it can be exported. Feature 0 of a vCPU says whether it exists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from agents.networks.pooling import LEAST_ACTIVATION, pool


class VcpuLayout(Protocol):
    """Per-vCPU rows of N migrations with V slots each; ``*R`` stands for the layout's row dimensions."""

    @property
    def rows(self) -> Tensor:
        """[*R, F] the features of the vCPUs."""
        ...

    @property
    def present(self) -> Tensor:
        """bool [N, V] which slots hold a vCPU."""
        ...

    def spread(self, per_migration: Tensor) -> Tensor:
        """[N, W] -> [*R, W]: hand each migration's values to its vCPUs."""
        ...

    def pool(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """[*R, W] -> [N, W] twice: mean and maximum over each migration's vCPUs; the rows are not negative."""
        ...

    def to_slots(self, rows: Tensor) -> Tensor:
        """[*R, K] -> [N, V, K], zero where no vCPU is."""
        ...


@dataclass(frozen=True)
class PackedVcpus:
    """Rows of the vCPUs that exist, migration by migration."""

    rows: Tensor
    present: Tensor
    _migration: Tensor
    _slot: Tensor
    _count: Tensor

    @classmethod
    def of(cls, features: Tensor) -> PackedVcpus:
        """Pack feature-major features [N, F, V]."""
        present = features[:, 0] > 0.5
        migration, slot = present.nonzero(as_tuple=True)
        return cls(features.transpose(1, 2)[migration, slot], present, migration, slot, present.sum(dim=1))

    def with_features(self, count: int) -> PackedVcpus:
        """The same vCPUs with the first ``count`` of their features only."""
        return self if count == self.rows.shape[1] else replace(self, rows=self.rows[:, :count])

    def spread(self, per_migration: Tensor) -> Tensor:
        """[N, W] -> [P, W]."""
        return per_migration.index_select(0, self._migration)

    def pool(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """[P, W] -> [N, W] twice: mean, maximum."""
        return pool(rows, self._count)

    def to_slots(self, rows: Tensor) -> Tensor:
        """[P, K] -> [N, V, K]."""
        return rows.new_zeros(*self.present.shape, rows.shape[1]).index_put((self._migration, self._slot), rows)


@dataclass(frozen=True)
class PaddedVcpus:
    """Rows of all slots, under a mask."""

    rows: Tensor
    present: Tensor

    @classmethod
    def of(cls, features: Tensor) -> PaddedVcpus:
        """Take feature-major features [N, F, V]."""
        return cls(features.transpose(1, 2), features[:, 0] > 0.5)

    def spread(self, per_migration: Tensor) -> Tensor:
        """[N, W] -> [N, 1, W], which broadcasts over the slots."""
        return per_migration.unsqueeze(1)

    def pool(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """[N, V, W] -> [N, W] twice: mean, maximum."""
        mean = self.to_slots(rows).sum(dim=1) / self.present.sum(dim=1, keepdim=True).clamp(min=1)
        return mean, rows.masked_fill(~self.present.unsqueeze(2), float(LEAST_ACTIVATION)).amax(dim=1)

    def to_slots(self, rows: Tensor) -> Tensor:
        """[N, V, K] -> [N, V, K], zero where no vCPU is."""
        return rows.masked_fill(~self.present.unsqueeze(2), 0.0)
