"""Objects with ``predict(observations)``: an algorithm of Stable-Baselines3, or an adapter of ten lines.

``predict`` takes observations [N, D] float32 and returns actions [N, V], or a pair of them and a state, as in
Stable-Baselines3. The object may say besides:

* ``environment``: the keyword arguments that the environment of its training was made with;
* ``observation_space``, as policies of most libraries have it, or ``vcpus``, a ``VcpuSpec``: the vCPU slots;
* ``network``: a torch module from observations to actions, or a method that gives it: what is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from dqgym.arrays import Float32Array
from dqgym.controller.manifest import VcpuSpec
from dqgym.errors import BadInputError
from dqgym.scenario import MAX_VCPUS
from dqgym.telemetry.encoder import observation_size
from experiments.foreign.policy import ForeignPolicy
from experiments.foreign.trained_in import TrainedIn, require_slots, slots_of_observations

if TYPE_CHECKING:
    from torch import nn

PROBED = 3
"""Observations of the first question, which shows whether the answer has the right form."""
PROBED_SLOTS = 4
"""Of a policy that takes any number."""


def predicting_policy(source: str, found: Any) -> ForeignPolicy:
    """The policy that an object with ``predict`` is.

    Raises:
        BadInputError: what it was trained in is not said or not right, or its answers have another form.
    """
    given = getattr(found, "environment", None) or {}
    if not isinstance(given, Mapping):
        raise BadInputError(
            f"{source}: its attribute environment must be a mapping, of the keyword arguments of gym.make"
        )
    trained_in = TrainedIn.of(source, given)
    vcpus = _vcpus(source, found, trained_in)
    act = _probed(source, found.predict, vcpus.slots or min(PROBED_SLOTS, vcpus.high))
    return ForeignPolicy(
        name=source,
        act=act,
        network=lambda: _network(source, found),
        vcpus=vcpus,
        trained_in=trained_in,
        library=f"{type(found).__module__}.{type(found).__qualname__}",
    )


def _vcpus(source: str, found: Any, trained_in: TrainedIn) -> VcpuSpec:
    said = getattr(found, "vcpus", None)
    if isinstance(said, VcpuSpec):
        if said.high > MAX_VCPUS:
            raise BadInputError(f"{source}: vcpus.high={said.high} must not be above {MAX_VCPUS}")
        return said
    space = getattr(found, "observation_space", None)
    shape = getattr(space, "shape", None)
    if shape is not None:
        if len(shape) != 1:
            raise BadInputError(f"{source}: its observations have the shape {tuple(shape)}, not one dimension")
        slots = slots_of_observations(source, int(shape[0]))
        require_slots(source, slots, None, trained_in)
    elif trained_in.slots is not None:
        slots = trained_in.slots
    else:
        raise BadInputError(
            f"{source}: how many vCPU slots it takes is not said: give it observation_space, or"
            " environment = {'vcpu_slots': ...}, or vcpus = VcpuSpec(...)"
        )
    return VcpuSpec(low=1, high=slots, slots=slots)


def _probed(source: str, predict: Callable[..., Any], slots: int) -> Callable[[Float32Array], Float32Array]:
    """``predict`` as a function of arrays, after a first question; asked one by one where it takes no batch.

    Raises:
        BadInputError: it fails, or answers with another shape.
    """
    ask = _deterministic(predict)
    observations = np.zeros((PROBED, observation_size(slots)), dtype=np.float32)
    observations[1:] = np.random.default_rng(0).uniform(0, 1, observations[1:].shape)

    def at_once(batch: Float32Array) -> Float32Array:
        return _actions(source, ask(batch))

    def one_by_one(batch: Float32Array) -> Float32Array:
        return np.stack([_actions(source, ask(observation)) for observation in batch])

    problems = []
    for act in (at_once, one_by_one):
        try:
            actions = act(observations)
        except Exception as error:  # whatever the code of others raises
            problems.append(str(error) if isinstance(error, BadInputError) else f"{type(error).__name__}: {error}")
            continue
        if actions.shape == (PROBED, slots):
            return act
        problems.append(f"the actions have the shape {actions.shape}, not {(PROBED, slots)}")
    raise BadInputError(f"{source}: predict, asked with observations {list(observations.shape)}: {problems[0]}")


def _deterministic(predict: Callable[..., Any]) -> Callable[[Float32Array], Any]:
    """Stable-Baselines3 draws actions at random unless told otherwise."""
    if "deterministic" in signature(predict).parameters:
        return lambda observations: predict(observations, deterministic=True)
    return predict


def _actions(source: str, answer: Any) -> Float32Array:
    """The actions in an answer, within -1 .. 1, as the environment takes them."""
    if isinstance(answer, tuple):
        answer, state = answer
        if state is not None:
            raise BadInputError(f"{source}: a policy that keeps a state between decisions cannot be run")
    if hasattr(answer, "detach"):  # a tensor
        answer = answer.detach().cpu().numpy()
    return np.clip(np.asarray(answer, dtype=np.float32), -1.0, 1.0)


def _network(source: str, found: Any) -> nn.Module:
    """Its torch module, which bounds its actions; BadInputError where it has none."""
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch import nn

    from agents.actor import deterministic_actor

    if isinstance(found, BaseAlgorithm):
        try:
            return deterministic_actor(found.policy).eval()
        except TypeError as error:
            raise BadInputError(f"{source} cannot be exported: {error}") from error
    network = getattr(found, "network", None)
    if callable(network) and not isinstance(network, nn.Module):
        network = network()
    if not isinstance(network, nn.Module):
        raise BadInputError(
            f"{source} cannot be exported: it names no torch module; give it an attribute or a method network,"
            " observations [N, D] to actions [N, V]"
        )
    return nn.Sequential(network, nn.Hardtanh()).eval()
