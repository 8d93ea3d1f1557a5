"""A zip that Stable-Baselines3 saved, of a policy that was trained by hand in our environment."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from dqgym.controller.manifest import VcpuSpec, sha256
from dqgym.documents import read_yaml
from dqgym.errors import BadInputError
from dqgym.files import read_bytes
from experiments.foreign.policy import ForeignPolicy
from experiments.foreign.trained_in import TrainedIn, require_slots, slots_of_observations

log = logging.getLogger(__name__)


def read_zip(path: Path) -> ForeignPolicy:
    """The policy of a zip; nothing in it is executed.

    What its environment was made with stands in a YAML file of the same name beside it: ``my_ppo.yaml`` with the
    keyword arguments of ``gym.make``. Without it they are the environment's defaults.

    Raises:
        BadInputError: the zip is damaged or of another kind of policy, or it does not fit what is said of its training.
    """
    from agents.actor import as_function
    from agents.storage.mlp_actors import read_mlp_actor

    trained_in = TrainedIn.of(str(path), _sidecar(path.with_suffix(".yaml")))
    actor = read_mlp_actor(path)
    slots = slots_of_observations(str(path), actor.observation_size)
    require_slots(str(path), slots, actor.slots, trained_in)
    return ForeignPolicy(
        name=path.stem,
        act=as_function(actor.network),
        network=lambda: actor.network,
        vcpus=VcpuSpec(low=1, high=slots, slots=slots),
        trained_in=trained_in,
        library=f"stable-baselines3 ({actor.algorithms})",
        digest=sha256(read_bytes(path)),
    )


def _sidecar(path: Path) -> dict[str, Any]:
    """What the file says; nothing, and a line about that, where there is none."""
    if not path.is_file():
        log.warning("dqgym: there is no %s: its policy is taken for one that was trained at gym.make's defaults", path)
        return {}
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadInputError(f"{path}: must be a mapping, of the keyword arguments of gym.make")
    return content
