"""The timeline of one migration, for plots and for ``dqgym migrate --trace``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import FloatArray
from dqgym.telemetry.command import Command
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField, downtime_limit_now


@dataclass(frozen=True)
class Timeline:
    """One migration over T control intervals; V counts only the vCPUs that exist.

    Attributes:
        facts: of this one migration, [1, V] and [1].
        time_s: [T] end of each interval, from the start of the migration.
        remaining_bytes: [T] still to send at that time.
        dirty_rate_bytes_per_s: [T] what all vCPUs dirtied in the interval, over its length.
        bandwidth_bytes_per_s: [T] measured in the interval.
        dirty_limit_bytes_per_s: [T, V] as commanded; infinite for no limit.
        run_share: [T, V] share of the interval in which the vCPU could run.
        run_share_cap: [T, V] as commanded.
        round: [T] at the end of the interval.
        downtime_limit_s: [T] in force at its end.
        paused: [T] 1 where the guest had been paused by then, at the deadline or after the last round.
    """

    facts: Facts
    time_s: FloatArray
    remaining_bytes: FloatArray
    dirty_rate_bytes_per_s: FloatArray
    bandwidth_bytes_per_s: FloatArray
    dirty_limit_bytes_per_s: FloatArray
    run_share: FloatArray
    run_share_cap: FloatArray
    round: NDArray[np.int64]
    downtime_limit_s: FloatArray
    paused: FloatArray

    def to_dict(self) -> dict[str, Any]:
        """As lists and numbers that JSON knows: no limit and not measured are ``None``."""
        facts = {
            "vcpus": int(self.facts.vcpus[0]),
            "memory_bytes": float(self.facts.memory_bytes[0]),
            "bandwidth_bytes_per_s": float(self.facts.bandwidth_bytes_per_s[0]),
            "downtime_limit_s": float(self.facts.downtime_limit_s[0]),
            "deadline_s": float(self.facts.deadline_s[0]),
        }
        series = {field.name: _jsonable(getattr(self, field.name)) for field in fields(self)[1:]}
        return {"facts": facts, **series}


class TimelineRecorder:
    """An observer of ``run_migrations`` that keeps the timeline of one of the migrations.

    Args:
        facts: of all migrations of the run, or a function that gives them after it: a backend has them only once the
            run has started (``TimelineRecorder(lambda: backend.facts)``).
        index: which migration to follow.
    """

    def __init__(self, facts: Facts | Callable[[], Facts], index: int = 0) -> None:
        self._facts = facts
        self._index = index
        self._steps: list[_Step] = []
        self._ended = False

    def __call__(self, interval_s: FloatArray, command: Command, telemetry: Telemetry) -> None:
        """Note one step; after the end of the migration there is nothing more to note."""
        if self._ended:
            return
        i = self._index
        self._steps.append(
            _Step(
                vm=telemetry.vm[i].copy(),
                vcpu=telemetry.vcpu[i].astype(np.float64),
                dirty_limit_bytes_per_s=command.dirty_limit_bytes_per_s[i].astype(np.float64),
                run_share_cap=command.run_share_cap[i].astype(np.float64),
            )
        )
        self._ended = bool(telemetry.done[i])

    def timeline(self) -> Timeline:
        """The timeline so far."""
        facts = _facts_of_one(self._facts if isinstance(self._facts, Facts) else self._facts(), self._index)
        present = np.flatnonzero(facts.present[0])
        vm = _stacked([step.vm for step in self._steps], len(VmField))
        vcpu = _stacked([step.vcpu for step in self._steps], len(VcpuField), facts.present.shape[1])[:, :, present]
        limit = _stacked([step.dirty_limit_bytes_per_s for step in self._steps], facts.present.shape[1])
        cap = _stacked([step.run_share_cap for step in self._steps], facts.present.shape[1])
        least_s = np.finfo(np.float64).tiny  # a migration may end at the very start of an interval
        interval_s = np.maximum(vm[:, VmField.INTERVAL_S], least_s)
        return Timeline(
            facts=_present_only(facts),
            time_s=vm[:, VmField.TIME_S],
            remaining_bytes=vm[:, VmField.REMAINING_BYTES],
            dirty_rate_bytes_per_s=vcpu[:, VcpuField.DIRTIED_BYTES].sum(axis=1) / interval_s,
            bandwidth_bytes_per_s=vm[:, VmField.BANDWIDTH_BYTES_PER_S],
            dirty_limit_bytes_per_s=limit[:, present],
            run_share=(vcpu[:, VcpuField.RUN_S] / interval_s[:, None]).clip(0.0, 1.0),
            run_share_cap=cap[:, present],
            round=vm[:, VmField.ROUND].astype(np.int64),
            downtime_limit_s=downtime_limit_now(facts, vm),
            paused=vm[:, VmField.PAUSED],
        )


@dataclass(frozen=True)
class _Step:
    vm: FloatArray
    vcpu: FloatArray
    dirty_limit_bytes_per_s: FloatArray
    run_share_cap: FloatArray


def _stacked(rows: list[FloatArray], *row_shape: int) -> FloatArray:
    """[T, ...], also where nothing was noted."""
    return np.array(rows, dtype=np.float64).reshape(len(rows), *row_shape)


def _facts_of_one(facts: Facts, index: int) -> Facts:
    arrays = {field.name: getattr(facts, field.name) for field in fields(facts) if field.name != "survey"}
    return Facts(**{name: array[index : index + 1] for name, array in arrays.items()})


def _present_only(facts: Facts) -> Facts:
    return replace(facts, present=facts.present[:, facts.present[0]], survey=None)


def _jsonable(values: NDArray[Any]) -> Any:
    """Nested lists; a number that JSON does not know becomes ``None``."""
    if values.ndim == 1:
        return [value if np.isfinite(value) else None for value in values.tolist()]
    return [_jsonable(row) for row in values]
