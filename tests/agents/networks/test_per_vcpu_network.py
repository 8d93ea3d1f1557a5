from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.export import Dim, export

from agents.networks.per_vcpu_network import ActionValueNetwork, ActorNetwork, NetworkShape, ValueNetwork
from agents.networks.vcpu_layout import PackedVcpus, PaddedVcpus

SHAPE = NetworkShape(global_features=5, vcpu_features=4, width=16, layers=3)
G, F = SHAPE.global_features, SHAPE.vcpu_features


def observations(n: int, slots: int, seed: int = 0) -> torch.Tensor:
    """[N, G + F * V] with 1 to V vCPUs in random slots; absent slots are zero."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, F, slots, generator=generator)
    order = torch.rand(n, slots, generator=generator).argsort(dim=1)
    present = order < torch.randint(1, slots + 1, (n, 1), generator=generator)
    features = features * present.unsqueeze(1)
    features[:, 0] = present
    return torch.cat((torch.randn(n, G, generator=generator), features.flatten(1)), dim=1)


def slots_of(obs: torch.Tensor) -> torch.Tensor:
    return SHAPE.split(obs)[1]


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """Weights that are not small, so that differences between observations show in the outputs."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.fixture(params=[False, True], ids=["clipped", "squashed"])
def actor(request) -> ActorNetwork:
    return lively(ActorNetwork(SHAPE, squashed=request.param))


@pytest.mark.parametrize("slots", [1, 3, 8, 64])
def test_packed_and_padded_forms_agree(actor: ActorNetwork, slots: int) -> None:
    obs = observations(32, slots)
    with torch.no_grad():
        packed, padded = actor.deterministic_actions(obs), actor(obs)
    assert packed.shape == (32, slots)
    torch.testing.assert_close(packed, padded, atol=1e-6, rtol=0)
    assert packed.abs().max() <= 1
    assert packed.std() > 0.05


def test_features_that_are_not_seen_change_nothing() -> None:
    blind = replace(SHAPE, unseen_globals=(1,), unseen_per_vcpu=(2,))
    actor, value = lively(ActorNetwork(blind, squashed=False)), lively(ValueNetwork(blind))
    obs = observations(16, 8)
    for index, seen in ((1, False), (2, True), (G + 2 * 8, False), (G + 3 * 8, True)):
        changed = obs.clone()
        changed[:, index] += 1.0
        with torch.no_grad():
            acts = torch.equal(actor(changed), actor(obs))
            values = [value(SHAPE.split(o)[0], PackedVcpus.of(slots_of(o))) for o in (changed, obs)]
        assert acts is not seen
        assert torch.equal(*values) is not seen


def test_permuting_vcpus_permutes_actions_and_keeps_values(actor: ActorNetwork) -> None:
    obs = observations(16, 8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    permuted = torch.cat((obs[:, :G], slots_of(obs)[:, :, order].flatten(1)), dim=1)
    value, action_value = lively(ValueNetwork(SHAPE)), lively(ActionValueNetwork(SHAPE))
    with torch.no_grad():
        actions = actor.deterministic_actions(obs)
        torch.testing.assert_close(actor.deterministic_actions(permuted), actions[:, order], atol=1e-6, rtol=0)
        torch.testing.assert_close(
            value(permuted[:, :G], PackedVcpus.of(slots_of(permuted))),
            value(obs[:, :G], PackedVcpus.of(slots_of(obs))),
            atol=1e-5,
            rtol=0,
        )
        torch.testing.assert_close(
            action_value(permuted, actions[:, order]), action_value(obs, actions), atol=1e-5, rtol=0
        )


def test_absent_slots_change_nothing_and_act_zero(actor: ActorNetwork) -> None:
    obs = observations(16, 8)
    wider = torch.cat((obs[:, :G], torch.nn.functional.pad(slots_of(obs), (0, 24)).flatten(1)), dim=1)
    with torch.no_grad():
        actions, wide = actor.deterministic_actions(obs), actor.deterministic_actions(wider)
    torch.testing.assert_close(wide[:, :8], actions, atol=1e-6, rtol=0)
    assert not wide[:, 8:].any()
    assert not actions[slots_of(obs)[:, 0] == 0].any()


def test_each_vcpu_depends_on_the_others(actor: ActorNetwork) -> None:
    obs = observations(4, 8)
    changed = obs.clone()
    features = slots_of(changed)
    slot = features[0, 0].argmax()
    features[0, 1:, slot] += 1.0
    with torch.no_grad():
        difference = (actor.deterministic_actions(changed) - actor.deterministic_actions(obs)).abs()
    assert (difference[0][features[0, 0] > 0] > 0).all()
    assert not difference[1:].any()


def test_packed_and_padded_gradients_agree(actor: ActorNetwork) -> None:
    obs = observations(32, 8)
    global_features, features = SHAPE.split(obs)
    gradients = []
    for layout in (PackedVcpus, PaddedVcpus):
        actor.zero_grad()
        actor.outputs(global_features, layout.of(features)).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in actor.parameters()])
    for packed, padded in zip(*gradients, strict=True):
        torch.testing.assert_close(packed, padded, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_exports_with_free_numbers_of_migrations_and_vcpus(actor: ActorNetwork) -> None:
    batch, slots = Dim("migrations", min=1), Dim("vcpus", min=1)
    program = export(actor, (observations(3, 5),), dynamic_shapes=({0: batch, 1: F * slots + G},)).module()
    for n, v in ((1, 2), (2, 64), (7, 8)):
        obs = observations(n, v)
        with torch.no_grad():
            torch.testing.assert_close(program(obs), actor(obs), atol=1e-6, rtol=0)


def test_needs_a_layer_on_each_side_of_the_pooling() -> None:
    with pytest.raises(ValueError, match="layers=1"):
        NetworkShape(global_features=5, vcpu_features=4, width=16, layers=1)
