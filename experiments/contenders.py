"""What a command line may name as a throttle: a baseline, a training run or a policy bundle.

``evaluate``, ``simulate`` and ``control`` all make their throttles here, so that a policy is guarded in the same way
wherever it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dqgym.controller.guard import Guard
from dqgym.controller.manifest import MANIFEST_FILE, VcpuSpec
from dqgym.names import did_you_mean
from dqgym.scenario import Scenario
from dqgym.throttles.base import Throttle
from dqgym.throttles.registry import make_throttle, throttle_names
from experiments.errors import BadInputError

FALLBACK = "dirty-quota"
"""The throttle that takes over from a policy that fails."""


@dataclass(frozen=True)
class Contender:
    """A throttle that competes.

    Attributes:
        name: how reports call it.
        learned: it heeds the preference; a baseline does not.
        make: a fresh throttle for a preference; None takes its default.
        serves: how many vCPUs it can throttle; None: any number.
    """

    name: str
    learned: bool
    make: Callable[[float | None], Throttle]
    serves: VcpuSpec | None = None

    @property
    def vcpu_slots(self) -> int | None:
        """The number of vCPU slots that it needs of a backend; None: any."""
        return self.serves.slots if self.serves else None

    def require_serves(self, scenarios: Iterable[Scenario]) -> None:
        """Raise a BadInputError where a scenario has more vCPUs than it serves, or fewer."""
        if self.serves is None:
            return
        for scenario in scenarios:
            if not self.serves.low <= scenario.vcpus <= self.serves.high:
                raise BadInputError(
                    f"scenario {scenario.name!r} has {scenario.vcpus} vCPUs, policy {self.name!r} serves"
                    f" {self.serves.low} .. {self.serves.high}"
                )


def contender(source: str) -> Contender:
    """The contender that a name, a run directory or a bundle directory stands for.

    Raises:
        BadInputError: it is none of them; the message names the nearest baseline.
        ValueError: the run or the bundle cannot be used.
    """
    if source in throttle_names():
        return Contender(source, False, lambda _: make_throttle(source))
    path = Path(source)
    if (path / MANIFEST_FILE).is_file():
        return _bundle(path)
    if (path / "config.yaml").is_file():
        return _run(path)
    if path.is_dir():
        raise BadInputError(f"{source}: neither a training run (config.yaml) nor a policy bundle ({MANIFEST_FILE})")
    raise BadInputError(
        f"{source!r} is no throttle, training run or policy bundle{did_you_mean(source, throttle_names())};"
        f" throttles: {', '.join(throttle_names())}"
    )


def line_up(sources: Sequence[str], with_baselines: bool) -> list[Contender]:
    """The named contenders, each once, and beside them all baselines; a name that two of them have is told apart."""
    baselines = [name for name in throttle_names() if with_baselines and name not in sources]
    contenders = [contender(source) for source in dict.fromkeys([*sources, *baselines])]
    names: dict[str, int] = {}
    told_apart = []
    for one in contenders:
        names[one.name] = names.get(one.name, 0) + 1
        suffix = f" ({names[one.name]})" if names[one.name] > 1 else ""
        told_apart.append(replace(one, name=one.name + suffix))
    return told_apart


def guarded(throttle: Throttle) -> Guard:
    """A policy behind its guard."""
    return Guard(throttle, make_throttle(FALLBACK))


def _bundle(path: Path) -> Contender:
    from dqgym.controller.bundle import read_bundle

    bundle = read_bundle(path)
    return Contender(
        bundle.manifest.name, True, lambda preference: guarded(bundle.throttle(preference)), bundle.manifest.vcpus
    )


def _run(path: Path) -> Contender:
    """The best policy of a training run so far."""
    from experiments.run_directory import RunDirectory
    from experiments.trained_policy import load_trained_policy  # loads torch

    policy = load_trained_policy(RunDirectory.open(path))
    return Contender(policy.config.name, True, lambda preference: guarded(policy.throttle(preference)), policy.vcpus)
