"""The deterministic actor of a Stable-Baselines3 zip that somebody else trained: an MlpPolicy, read without unpickling.

Stable-Baselines3's own ``load`` unpickles classes and spaces, which can execute anything. Of an MlpPolicy all is known
without: the layers from the shapes of its weights, the activation from the text beside the pickles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from agents.storage.model_files import SavedModel, read_model
from dqgym.errors import BadInputError

LIBRARIES = ("stable_baselines3.", "sb3_contrib.")
"""Modules of the policies that are known to be such networks."""
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class MlpActor:
    """An actor that was read.

    Attributes:
        network: observations [N, D] -> actions [N, V] within -1 .. 1.
        algorithms: of which algorithms' shape it is.
        observation_size: D.
        slots: V.
    """

    network: nn.Sequential
    algorithms: str
    observation_size: int
    slots: int


@dataclass(frozen=True)
class _Family:
    """How algorithms name the parts of their actors.

    Attributes:
        algorithms: their names.
        hidden: of the hidden layers.
        last: of the last layer; None: it is the last one of ``hidden``.
        beside: how the names of other parts begin, which the actor does not need.
        activation: the usual one.
        bounded: what takes actions into -1 .. 1.
    """

    algorithms: str
    hidden: str
    last: str | None
    beside: tuple[str, ...]
    activation: type[nn.Module]
    bounded: type[nn.Module]


_FAMILIES = (
    _Family(
        "PPO, A2C, TRPO",
        "mlp_extractor.policy_net",
        "action_net",
        ("log_std", "mlp_extractor.value_net.", "value_net."),
        nn.Tanh,
        nn.Hardtanh,
    ),
    _Family("SAC, TQC", "actor.latent_pi", "actor.mu", ("actor.log_std", "critic"), nn.ReLU, nn.Tanh),
    _Family("TD3, DDPG", "actor.mu", None, ("actor_target.", "critic"), nn.ReLU, nn.Tanh),
)


def read_mlp_actor(path: Path) -> MlpActor:
    """The actor of a zip; nothing in the file is executed.

    Raises:
        BadInputError: the file is damaged, or holds another kind of policy.
    """
    saved = read_model(path)
    weights = saved.weights("policy")
    module = _text(saved.data.get("policy_class"), "__module__")
    if module and not module.startswith(LIBRARIES):
        raise _unknown(path, f"its policy is a class of {module}")
    family = next((one for one in _FAMILIES if _is_of(one, weights)), None)
    if family is None:
        raise _unknown(path, f"its policy has the parts {', '.join(sorted({_part(key) for key in weights}))}")
    layers = _layers(path, family, weights)
    activation, bounded = _activations(path, family, saved)
    network = nn.Sequential()
    for layer in layers[:-1]:
        network.extend([layer, activation()])
    network.extend([layers[-1], bounded()])
    network.eval()
    _require_unit_actions(path, saved)
    return MlpActor(network, family.algorithms, layers[0].in_features, layers[-1].out_features)


def _is_of(family: _Family, weights: Mapping[str, Tensor]) -> bool:
    """Whether all parts are the family's."""
    own = tuple(f"{part}." for part in (family.hidden, family.last) if part)
    last = f"{family.last}.weight" in weights if family.last else f"{family.hidden}.0.weight" in weights
    return last and all(key.startswith((*own, *family.beside)) for key in weights)


def _layers(path: Path, family: _Family, weights: Mapping[str, Tensor]) -> list[nn.Linear]:
    """The linear layers, first to last."""
    numbered = re.compile(re.escape(family.hidden) + r"\.(\d+)\.weight")
    hidden = sorted(int(match[1]) for key in weights if (match := numbered.fullmatch(key)))
    if hidden != list(range(0, 2 * len(hidden), 2)):
        raise _unknown(path, f"the layers of {family.hidden} do not come in turn with activations")
    names = [f"{family.hidden}.{index}" for index in hidden] + ([family.last] if family.last else [])
    layers: list[nn.Linear] = []
    for name in names:
        weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
        if weight.ndim != 2 or (layers and layers[-1].out_features != weight.shape[1]):
            raise _unknown(path, f"{name} has the shape {list(weight.shape)}")
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
        layers.append(layer)
    return layers


def _activations(path: Path, family: _Family, saved: SavedModel) -> tuple[type[nn.Module], type[nn.Module]]:
    """The activation between the layers, and what bounds the actions."""
    given = saved.data.get("policy_kwargs")
    given = given if isinstance(given, dict) else {}
    extractor = _text(given, "features_extractor_class")
    if extractor and "stable_baselines3.common.torch_layers.FlattenExtractor" not in extractor:
        raise _unknown(path, f"features_extractor_class is {extractor}")
    activation = family.activation
    if named := _text(given, "activation_fn"):
        match = re.fullmatch(r"<class 'torch\.nn\.modules\.activation\.(\w+)'>", named)
        if match is None or not hasattr(nn, match[1]):
            raise _unknown(path, f"activation_fn is {named}")
        activation = getattr(nn, match[1])
    return activation, nn.Tanh if given.get("squash_output") is True else family.bounded


def _require_unit_actions(path: Path, saved: SavedModel) -> None:
    """BadInputError where the actions of the training were not within -1 .. 1."""
    space = saved.data.get("action_space")
    for key, bound in (("low", -1.0), ("high", 1.0)):
        found = {float(number) for number in _NUMBER.findall(_text(space, key))}
        if found - {bound}:
            raise BadInputError(f"{path}: its actions go to {sorted(found)}, those of dqgym/Migration-v0 from -1 to 1")


def _text(mapping: object, key: str) -> str:
    """A text of a mapping in the file; empty where there is none."""
    value = mapping.get(key) if isinstance(mapping, dict) else None
    return value if isinstance(value, str) else ""


def _part(key: str) -> str:
    return ".".join(key.split(".")[:2])


def _unknown(path: Path, why: str) -> BadInputError:
    return BadInputError(
        f"{path}: no MlpPolicy of {'; '.join(family.algorithms for family in _FAMILIES)}: {why}; a policy of another"
        " kind is named as module:function, whose ten lines load it (docs/plugins.md)"
    )
