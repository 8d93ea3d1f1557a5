"""Reading the model zips of Stable-Baselines3 without unpickling: a file from a stranger executes nothing.

A zip holds the state dictionaries of networks and optimisers (``*.pth``) and, as JSON, the algorithm's attributes
(``data``). Those that JSON cannot express lie in there as pickles, which are never opened: whoever reads a model here
makes the algorithm or the policy from its configuration, and takes numbers and tensors alone from the file.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr
from torch import Tensor, nn

from dqgym.documents import parse_json
from dqgym.errors import BadInputError
from dqgym.files import read_bytes

MOST_BYTES = 2 * 2**30
"""Of a model: 20 times a network of the largest width and depth with its optimiser."""
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num")
"""The attributes of an algorithm that a resumed training goes on from; the others follow from its configuration."""
VARIABLES = "pytorch_variables"
"""Name of the tensors that are no module's (SAC's temperature)."""


@dataclass(frozen=True)
class SavedModel:
    """The parts that are taken from a model zip.

    Attributes:
        path: the zip.
        counters: by the names of ``COUNTERS``.
        states: by name (``policy``, ``policy.optimizer``, ...), on the CPU; nothing of them is checked but that torch
            could read them without executing anything.
        data: the algorithm's attributes; of those that are pickled, the texts that stand beside the pickles.
    """

    path: Path
    counters: Mapping[str, int]
    states: Mapping[str, Any]
    data: Mapping[str, Any]

    def load_module(self, module: nn.Module, name: str) -> None:
        """Put a network's weights in place.

        Raises:
            BadInputError: they are missing, of another network, or not finite.
        """
        weights = self.weights(name)
        try:
            module.load_state_dict(weights)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise BadInputError(
                f"{self.path} does not fit its config: it was trained in another environment,"
                f" or config.yaml was changed: {reason}"
            ) from error

    def weights(self, name: str) -> dict[str, Tensor]:
        """The weights of a network, by their names.

        Raises:
            BadInputError: they are missing, or not finite.
        """
        weights = self._mapping(name)
        for key, tensor in weights.items():
            if not isinstance(tensor, Tensor):
                raise BadInputError(f"{self.path} is damaged: {key} of {name}.pth is no tensor")
            if not torch.isfinite(tensor).all():
                raise BadInputError(
                    f"{self.path} cannot be used: its weights are not finite ({key}): training broke down"
                )
        return weights

    def load_optimizer(self, optimizer: torch.optim.Optimizer, name: str) -> None:
        """Put an optimiser's moments in place; its settings stay those that it was made with.

        Raises:
            BadInputError: they are missing or do not fit.
        """
        state = self._mapping(name).get("state")
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if not isinstance(state, dict) or not all(
            isinstance(index, int) and 0 <= index < len(parameters) and _fits(moments, parameters[index])
            for index, moments in state.items()
        ):
            raise BadInputError(f"{self.path} is damaged: {name}.pth does not fit the networks")
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

    def load_variable(self, variable: Tensor, name: str) -> None:
        """Put the value of a single tensor in place."""
        value = self._mapping(VARIABLES).get(name)
        if not isinstance(value, Tensor) or value.shape != variable.shape or not torch.isfinite(value).all():
            raise BadInputError(f"{self.path} is damaged: {name} of {VARIABLES}.pth is missing or no finite number")
        variable.data = value.data.to(variable.device, variable.dtype)

    def _mapping(self, name: str) -> dict[str, Any]:
        state = self.states.get(name)
        if not isinstance(state, dict):
            raise BadInputError(f"{self.path} is damaged: {name}.pth is missing or empty")
        return state


def read_model(path: Path) -> SavedModel:
    """Read a model zip, unpickling nothing.

    Raises:
        BadInputError: it is missing, damaged, or holds what only unpickling could read.
    """
    content = read_bytes(path, "model", MOST_BYTES)
    members = _members(path, content)
    data = parse_json(members.get("data", b"").decode("utf-8", "replace"), f"{path} is damaged: its member 'data'")
    if not isinstance(data, dict):
        raise BadInputError(f"{path} is damaged: its member 'data' is no mapping")
    states = {name.removesuffix(".pth"): _tensors(path, name, members[name]) for name in members if name != "data"}
    return SavedModel(path, {name: _counter(path, data, name) for name in COUNTERS}, states, data)


def load_state(algorithm: BaseAlgorithm, saved: SavedModel) -> None:
    """Make a fresh algorithm one that goes on where the model was saved.

    Raises:
        BadInputError: the model is damaged or of another algorithm.
    """
    state_names, variable_names = algorithm._get_torch_save_params()
    for name in state_names:
        target = recursive_getattr(algorithm, name)
        if isinstance(target, torch.optim.Optimizer):
            saved.load_optimizer(target, name)
        else:
            saved.load_module(target, name)
    for name in variable_names:
        saved.load_variable(recursive_getattr(algorithm, name), name)
    for name, count in saved.counters.items():
        setattr(algorithm, name, count)


def _members(path: Path, content: bytes) -> dict[str, bytes]:
    """The members that are read, each whole and under its checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            wanted = [info for info in archive.infolist() if info.filename == "data" or info.filename.endswith(".pth")]
            if sum(info.file_size for info in wanted) > MOST_BYTES:
                raise BadInputError(f"cannot read model {path}: more than {MOST_BYTES:,} bytes when unpacked")
            return {info.filename: archive.read(info) for info in wanted}
    except BadInputError:
        raise
    except Exception as error:  # zipfile, its decompressors and struct raise what they please on damaged bytes
        raise BadInputError(f"{path} is damaged: not a whole zip file: {error}") from error


def _tensors(path: Path, name: str, content: bytes) -> Any:
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds on damaged bytes, and its own where code would be executed
        raise BadInputError(
            f"{path} is damaged, or not from dqgym: {name} must hold tensors and numbers alone; nothing else is read"
        ) from error


def _counter(path: Path, data: dict[str, Any], name: str) -> int:
    value = data.get(name, 0 if name == "_episode_num" else None)
    if type(value) is not int or not 0 <= value < 2**63:
        raise BadInputError(f"{path} is damaged: {name} is {value!r}, not a count")
    return value


def _fits(moments: object, parameter: Tensor) -> bool:
    """True where one parameter's state of Adam is whole."""
    if not isinstance(moments, dict) or set(moments) != {"step", "exp_avg", "exp_avg_sq"}:
        return False
    if not all(isinstance(value, Tensor) and torch.isfinite(value).all() for value in moments.values()):
        return False
    return moments["step"].numel() == 1 and all(
        moments[name].shape == parameter.shape for name in ("exp_avg", "exp_avg_sq")
    )
