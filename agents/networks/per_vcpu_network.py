"""Networks that treat all vCPUs alike: shared weights, any number of vCPUs, any order of them.

An observation [N, G + F * V] holds G global features, then F features of V vCPU slots, feature-major. A trunk embeds
every vCPU, pools the embeddings (mean and maximum) and joins them with the global features into one context for each
migration, computed once. Permuting the vCPUs permutes the actions and leaves values as they are (Zaheer et al., "Deep
Sets", 2017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn

from agents.networks.vcpu_layout import PackedVcpus, PaddedVcpus, VcpuLayout
from dqgym.errors import BadInputError

OWN_SHARE = 0.5
"""Weight of a vCPU's own output beside the one output that all vCPUs of a migration share."""
HIDDEN_GAIN = sqrt(2)
HEAD_GAIN = 0.01
"""Orthogonal initialisation as in Stable-Baselines3: small policy outputs at the start."""


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of a per-vCPU network.

    Attributes:
        global_features: G.
        vcpu_features: F; the first one says whether the vCPU exists.
        width: of every hidden layer.
        layers: hidden layers that a vCPU's features pass, the last one after the pooling; at least 2.
        shared_output: an actor adds one output that all vCPUs of a migration share to each vCPU's own.
        unseen_globals: global features that count as 0.
        unseen_per_vcpu: features of the vCPUs that count as 0.
    """

    global_features: int
    vcpu_features: int
    width: int
    layers: int
    shared_output: bool = True
    unseen_globals: tuple[int, ...] = ()
    unseen_per_vcpu: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.layers < 2:
            raise BadInputError(f"layers={self.layers}: at least 2 (one before the pooling, one after it)")

    def split(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """[N, G + F * V] -> global features [N, G], features of the vCPU slots [N, F, V]."""
        g = self.global_features
        return obs[:, :g], obs[:, g:].reshape(obs.shape[0], self.vcpu_features, -1)

    def beside(self, hidden: NetworkShape) -> NetworkShape:
        """The shape of a network that sees another one's features, too: those of the hidden state."""
        return replace(
            self,
            global_features=self.global_features + hidden.global_features,
            vcpu_features=self.vcpu_features + hidden.vcpu_features,
        )


def linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    """A layer with orthogonal weights and no bias at the start."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class HiddenLayers(nn.ModuleList):
    """Fully connected layers of these widths, each followed by a rectifier: tanh would take a third of the training."""

    def __init__(self, *widths: int) -> None:
        super().__init__(linear(inputs, outputs, HIDDEN_GAIN) for inputs, outputs in pairwise(widths))

    def forward(self, values: Tensor) -> Tensor:
        """[..., widths[0]] -> [..., widths[-1]]."""
        for layer in self:
            values = layer(values).relu_()
        return values


class Trunk(nn.Module):
    """Embeds each vCPU and sums up each migration."""

    seen_globals: Tensor
    seen_per_vcpu: Tensor

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        width = shape.width
        self.embed = HiddenLayers(shape.vcpu_features, *[width] * (shape.layers - 1))
        self.context = HiddenLayers(shape.global_features + 2 * width, width, width)
        self.sees_all = not shape.unseen_globals and not shape.unseen_per_vcpu
        self.register_buffer("seen_globals", _seen(shape.global_features, shape.unseen_globals), persistent=False)
        self.register_buffer("seen_per_vcpu", _seen(shape.vcpu_features, shape.unseen_per_vcpu), persistent=False)

    def forward(self, global_features: Tensor, vcpus: VcpuLayout) -> tuple[Tensor, Tensor]:
        """Embeddings of the vCPUs [*R, W] and contexts of the migrations [N, W]."""
        rows = vcpus.rows
        if not self.sees_all:
            global_features, rows = global_features * self.seen_globals, rows * self.seen_per_vcpu
        embeddings = self.embed(rows)
        return embeddings, self.context(torch.cat((global_features, *vcpus.pool(embeddings)), dim=1))


def _seen(features: int, unseen: tuple[int, ...]) -> Tensor:
    """[features] 1 for a feature that is seen, 0 for one that is not."""
    seen = torch.ones(features)
    seen[list(unseen)] = 0.0
    return seen


class VcpuHead(nn.Module):
    """K outputs for each vCPU, ``OWN_SHARE`` * own + shared (where the shape has one), zero in absent slots."""

    def __init__(self, shape: NetworkShape, outputs: int) -> None:
        super().__init__()
        width = shape.width
        self.from_embedding = linear(width, width, HIDDEN_GAIN)
        self.from_context = linear(width, width, HIDDEN_GAIN)
        self.own = linear(width, outputs, HEAD_GAIN)
        self.shared = linear(width, outputs, HEAD_GAIN) if shape.shared_output else None

    def forward(self, embeddings: Tensor, context: Tensor, vcpus: VcpuLayout) -> Tensor:
        """Outputs [N, V, K] from the trunk's embeddings and context."""
        hidden = self.from_embedding(embeddings).add_(vcpus.spread(self.from_context(context))).relu_()
        own = self.own(hidden)
        if self.shared is None:
            return vcpus.to_slots(own)
        return vcpus.to_slots(OWN_SHARE * own + vcpus.spread(self.shared(context)))


class ActorNetwork(nn.Module):
    """Actions of all vCPUs from observations of any number of vCPU slots.

    ``forward`` is the padded form, made for export; ``deterministic_actions`` gives the same numbers from packed vCPUs.

    Args:
        shape: of the network.
        squashed: actions are the tanh of the mean and each vCPU has its own log sd (SAC), or they are the mean, clipped
            to [-1, 1], and the sd is no output of the network (PPO).
    """

    def __init__(self, shape: NetworkShape, squashed: bool) -> None:
        super().__init__()
        self.shape = shape
        self.squashed = squashed
        self.trunk = Trunk(shape)
        self.head = VcpuHead(shape, outputs=2 if squashed else 1)

    def outputs(self, global_features: Tensor, vcpus: VcpuLayout) -> Tensor:
        """[N, V, K] means (k = 0) and, where ``squashed``, log sds (k = 1) before squashing; zero in absent slots."""
        embeddings, context = self.trunk(global_features, vcpus)
        return self.head(embeddings, context, vcpus)

    def forward(self, obs: Tensor) -> Tensor:
        """Deterministic actions [N, V] in [-1, 1] for observations [N, G + F * V]."""
        global_features, features = self.shape.split(obs)
        return self._bounded(self.outputs(global_features, PaddedVcpus.of(features))[..., 0])

    def deterministic_actions(self, obs: Tensor) -> Tensor:
        """The actions of ``forward``, faster where slots are absent."""
        return self._bounded(self.means(obs))

    def means(self, obs: Tensor) -> Tensor:
        """[N, V] the same before it is bounded."""
        global_features, features = self.shape.split(obs)
        return self.outputs(global_features, PackedVcpus.of(features))[..., 0]

    def _bounded(self, mean: Tensor) -> Tensor:
        return torch.tanh(mean) if self.squashed else mean.clamp(-1.0, 1.0)


class ValueNetwork(nn.Module):
    """One value for each migration, from the context of a trunk of its own."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.trunk = Trunk(shape)
        self.value = linear(shape.width, 1, gain=1.0)

    def forward(self, global_features: Tensor, vcpus: VcpuLayout) -> Tensor:
        """Values [N, 1]."""
        _, context = self.trunk(global_features, vcpus)
        return self.value(context)


class ActionValueNetwork(nn.Module):
    """The value of observations [N, G + F * V] and actions [N, V]: an action is one more feature of its vCPU."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.value = ValueNetwork(replace(shape, vcpu_features=shape.vcpu_features + 1))

    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """Values [N, 1]."""
        global_features, features = self.shape.split(obs)
        vcpus = PackedVcpus.of(torch.cat((features, actions.unsqueeze(1)), dim=1))
        return self.value(global_features, vcpus)
