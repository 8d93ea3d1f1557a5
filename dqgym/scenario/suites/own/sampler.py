"""Scenarios drawn as a sampler's file says: a scenario file whose values may be distributions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from dqgym.errors import BadInputError
from dqgym.scenario.faults import telling
from dqgym.scenario.link import Link
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.suites.draw.distributions import pick
from dqgym.scenario.suites.own.values import Fields, Number, Value, resolved
from dqgym.scenario.vm import BASE_PAGE_BYTES, VirtualMachine
from dqgym.scenario.workload import MAX_VCPUS

PRESSURE, MEMORY_SHARE = "pressure", "memory_share"
RELATIVE = {PRESSURE: "write_rate", MEMORY_SHARE: "working_set"}
"""What writers and devices may say in place of a rate and a size: the same relative to the link and the memory."""
CORNERS = 128
"""Scenarios at the ends of all distributions, made when the file is read, to find those that cannot be."""
_CORNER = "corner"
"""What such a scenario is called."""
_LINK: TypeAdapter[Any] = TypeAdapter(Link)


@dataclass(frozen=True)
class Group:
    """Equal vCPUs of which number and fields are drawn."""

    vcpus: Number
    fields: Fields


Workload = tuple[Group, ...]


def fewest(workload: Workload) -> int:
    """vCPUs that it has at least."""
    return sum(int(group.vcpus.least) for group in workload)


@dataclass(frozen=True)
class Sampler:
    """The distribution over scenarios that a file describes.

    Attributes:
        vm: its fields.
        link: its fields, of one kind or several.
        workloads: one of them is picked, all equally likely.
        device: fields of the device writes; None where the file says nothing.
        others: all other fields of a scenario that the file gives.
    """

    vm: Value
    link: Value
    workloads: tuple[Workload, ...]
    device: Value | None
    others: Fields

    @property
    def fewest_vcpus(self) -> int:
        """No scenario has fewer."""
        return min(map(fewest, self.workloads))

    @property
    def most_vcpus(self) -> int:
        """No scenario has more."""
        return min(MAX_VCPUS, max(sum(int(group.vcpus.most) for group in workload) for workload in self.workloads))

    def __call__(self, rng: np.random.Generator, name: str, most_vcpus: int) -> Scenario:
        """One scenario; a BadInputError where what is drawn together cannot be."""
        if most_vcpus < self.fewest_vcpus:
            raise BadInputError(
                f"{name}: the sampler has no scenario with {most_vcpus} vCPUs or fewer, only from {self.fewest_vcpus}"
            )
        with telling(name):
            vm = VirtualMachine.model_validate(self.vm.draw(rng))
            link = _LINK.validate_python(self.link.draw(rng))
            bandwidth = link.nominal_bandwidth_bytes_per_s
            pass_time_s = vm.memory_bytes / bandwidth
            device = {} if self.device is None else _absolute(self.device.draw(rng), 1, vm, bandwidth)
            workload = [
                _absolute({"vcpus": vcpus, **fields}, vcpus, vm, bandwidth)
                for vcpus, fields in self._groups(rng, most_vcpus)
            ]
            parts = {"workload": workload, "device": device, **self.others.draw(rng)}
            return Scenario.model_validate({"name": name, "vm": vm, "link": link, **resolved(parts, pass_time_s)})

    def _groups(self, rng: np.random.Generator, most_vcpus: int) -> list[tuple[int, dict[str, Any]]]:
        """Number and fields of each group; every number leaves enough vCPUs for the groups after it."""
        workload = pick(rng, [one for one in self.workloads if fewest(one) <= most_vcpus])
        left, groups = most_vcpus, []
        for index, group in enumerate(workload):
            vcpus = group.vcpus.at_most(left - fewest(workload[index + 1 :])).draw(rng)
            left -= vcpus
            groups.append((vcpus, group.fields.draw(rng)))
        return groups


@lru_cache(maxsize=64)
def require_sound(sampler: Sampler) -> None:
    """Raise a BadInputError where a scenario at the ends of a sampler's ranges cannot be.

    Once for each sampler: a command reads the same file several times.
    """
    corners = _Corners()
    for index in range(CORNERS):
        most_vcpus = sampler.most_vcpus if index % 2 else max(sampler.fewest_vcpus, sampler.most_vcpus // 2)
        try:
            sampler(corners, _CORNER, most_vcpus)  # type: ignore[arg-type]
        except BadInputError as error:
            reason = str(error).removeprefix(f"{_CORNER}: ")
            raise BadInputError(f"not every scenario can be, at the ends of its ranges: {reason}") from error


def _absolute(fields: Any, vcpus: int, vm: VirtualMachine, bandwidth: float) -> dict[str, Any]:
    """The fields of writers with rate and working set of each of them, in place of what all have relative to others."""
    absolute = {key: value for key, value in fields.items() if key not in RELATIVE}
    if PRESSURE in fields:
        absolute["write_rate_bytes_per_s" if "pattern" in fields else "rate_bytes_per_s"] = (
            fields[PRESSURE] * bandwidth / vcpus
        )
    if MEMORY_SHARE in fields:
        pages = int(fields[MEMORY_SHARE] * vm.memory_bytes / vcpus) // BASE_PAGE_BYTES
        absolute["working_set_bytes"] = max(vm.dirty_granule_bytes, pages * BASE_PAGE_BYTES)
    return absolute


class _Corners:
    """As much of a generator as draws take, which draws an end of every distribution."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def random(self) -> float:
        """0, or nearly 1."""
        return 0.0 if self._rng.random() < 0.5 else 1.0 - 2.0**-53

    def integers(self, low: int, high: int | None = None, endpoint: bool = False) -> int:
        """Of a range either end; of options any."""
        return int(self._rng.integers(low)) if high is None else (low if self._rng.random() < 0.5 else high)
