"""Record and replay: what the vCPUs of a recorded migration demanded, and what its link carried, over time.

A replay becomes a scenario whose link is a ``trace`` and whose vCPUs have ``recorded`` schedules, or a CSV file that
scenario files name (``dqgym.scenario.yaml_files``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import FloatArray
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.scenario.faults import telling
from dqgym.scenario.limits import Limits
from dqgym.scenario.link import TraceLink
from dqgym.scenario.recordings.qemu_runs import RecordedRun, RecordingError
from dqgym.scenario.recordings.qemu_scenario import (
    LINE_SPEED_BYTES_PER_S,
    dirty_log,
    limits,
    payload_bytes_per_s,
    readers,
    recorded_scenario,
    writer_set_bytes,
)
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.vm import BASE_PAGE_BYTES, VirtualMachine
from dqgym.scenario.workload import Recorded, VcpuGroup

STEP_S = 1.0
"""Length of a step of a replay; a throttled vCPU of QEMU runs in slices of 10 ms that are up to a second apart."""
_LEAST_RUN_S = 0.005
"""A vCPU that ran for less than this in a step did not show what it demands, nor a link that sent for less."""

_LEAST_WAIT_S = 0.15
"""A step with this much time in which nothing was sent holds a wait: more than a row of the recording."""


@dataclass(frozen=True, eq=False)
class Replay:
    """K steps of W writing vCPUs; each value holds from its time to the next.

    Attributes:
        time_s: [K] starts at 0 and rises.
        bandwidth_bytes_per_s: [K] what the link carried, positive.
        demand_bytes_per_s: [K, W] 4 KiB times the page stores per second of run time: what the vCPU would have
            stored, had nothing stopped it.
    """

    time_s: FloatArray
    bandwidth_bytes_per_s: FloatArray
    demand_bytes_per_s: FloatArray

    def __post_init__(self) -> None:
        if not self.bandwidth_bytes_per_s.max() > 0:
            raise RecordingError("nothing was sent in the recording: there is nothing to replay")

    def csv(self) -> str:
        """As a CSV file that scenario files can name."""
        writers = self.demand_bytes_per_s.shape[1]
        header = ["time_s", "bandwidth_bytes_per_s", *(f"vcpu{i}_bytes_per_s" for i in range(writers))]
        columns = np.column_stack([self.time_s, self.bandwidth_bytes_per_s, self.demand_bytes_per_s])
        rows = [",".join([f"{row[0]:g}", *(f"{value:.0f}" for value in row[1:])]) for row in columns]
        return "\n".join([",".join(header), *rows]) + "\n"


def replay_of(run: RecordedRun) -> Replay:
    """The replay of a recorded QEMU run in steps of 1 s, without its last stage.

    The bandwidth is that of the time in which something was sent: while nothing leaves, the sender waits for vCPUs that
    a throttle keeps asleep, which says nothing about the link. What it makes up for after a wait is not the link's
    doing either: then the rate limit holds. A vCPU that hardly ran keeps its demand.

    Raises:
        RecordingError: the run never sent a page.
    """
    line = run.timeline
    rows = len(line.time_s) - (1 if run.converged else 0)
    time_s = np.concatenate([[0.0], line.time_s[:rows]])
    edge_s = np.append(np.arange(0.0, max(time_s[-1] - STEP_S / 2, STEP_S / 2), STEP_S), time_s[-1])
    sent_pages = np.concatenate([[0], line.sent_pages[:rows]])
    sending_s = np.concatenate([[0.0], np.cumsum(np.diff(time_s) * (np.diff(sent_pages) > 0))])
    sent_bytes, sent_s = (np.diff(np.interp(edge_s, time_s, one)) for one in (sent_pages * BASE_PAGE_BYTES, sending_s))
    bandwidth = sent_bytes / np.maximum(sent_s, _LEAST_RUN_S)
    waited = sent_s < np.diff(edge_s) - _LEAST_WAIT_S
    bandwidth[waited] = np.minimum(bandwidth[waited], payload_bytes_per_s(run.bandwidth_bytes_per_s))
    writers = [_demand(edge_s, line.time_s[:rows], line.written_pages[:rows, i], line.run_share[: rows - 1, i])
               for i in range(run.writers)]  # fmt: skip
    return Replay(edge_s[:-1], held(bandwidth, sent_s > _LEAST_RUN_S), np.column_stack(writers))


def replay_scenario(run: RecordedRun) -> Scenario:
    """A recorded QEMU run with the demand and the bandwidth that it showed, for any throttle.

    Demand is closed, that of an open-loop run too: what a vCPU makes up for is part of what it did while it ran.

    Raises:
        RecordingError: as ``replay_of``, and for an unknown accelerator.
    """
    replay, recorded = replay_of(run), recorded_scenario(run)
    with telling(f"the replay of run {run.id} makes no scenario", RecordingError):
        return scenario_of(
            replay,
            f"{run.id}-replay",
            recorded.vm,
            [writer_set_bytes(run)] * run.writers,
            others=readers(run.readers),
            limits=limits(
                run.downtime_limit_s, run.limit_s * mean_bandwidth_bytes_per_s(replay) / recorded.vm.memory_bytes
            ),
            dirty_log=dirty_log(run),
            line_speed_bytes_per_s=max(LINE_SPEED_BYTES_PER_S, float(replay.bandwidth_bytes_per_s.max())),
        )


def scenario_of(
    replay: Replay,
    name: str,
    vm: VirtualMachine,
    working_set_bytes: Sequence[int],
    others: Sequence[VcpuGroup],
    limits: Limits,
    dirty_log: DirtyLog,
    line_speed_bytes_per_s: float | None,
) -> Scenario:
    """A replay as a scenario: sequential writers with a working set each, then other vCPUs.

    A writer that never wrote is a reader.
    """
    times_s = tuple(replay.time_s.tolist())
    link = TraceLink(
        times_s=times_s,
        bandwidths_bytes_per_s=tuple(replay.bandwidth_bytes_per_s.tolist()),
        line_speed_bytes_per_s=line_speed_bytes_per_s,
    )
    writers = [
        _writer(times_s, demand, working_set)
        for demand, working_set in zip(replay.demand_bytes_per_s.T, working_set_bytes, strict=True)
    ]
    return Scenario(name=name, vm=vm, workload=(*writers, *others), link=link, limits=limits, dirty_log=dirty_log)


def held(values: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    """[K] the values where they are known; elsewhere the last known one, and before the first the first.

    All 0 where none is known.
    """
    where = np.flatnonzero(known)
    if len(where) == 0:
        return np.zeros_like(values)
    last = np.searchsorted(where, np.arange(len(values)), side="right") - 1
    return values[where[last.clip(min=0)]]


def _demand(edge_s: FloatArray, time_s: FloatArray, pages: NDArray[np.int64], run_share: FloatArray) -> FloatArray:
    """[K] stores of one vCPU over its run time in each step; ``time_s`` [T], ``run_share`` [T - 1]."""
    run_s = np.concatenate([[0.0], np.cumsum(run_share * np.diff(time_s))])
    ran_s = np.diff(np.interp(edge_s, time_s, run_s))
    stored_bytes = np.diff(np.interp(edge_s, time_s, pages)) * BASE_PAGE_BYTES
    return held(stored_bytes / np.maximum(ran_s, _LEAST_RUN_S), ran_s > _LEAST_RUN_S)


def _writer(times_s: tuple[float, ...], demand_bytes_per_s: FloatArray, working_set_bytes: int) -> VcpuGroup:
    highest = float(demand_bytes_per_s.max())
    if highest == 0:
        return VcpuGroup(vcpus=1, pattern="read-only")
    return VcpuGroup(
        vcpus=1,
        pattern="sequential",
        working_set_bytes=working_set_bytes,
        write_rate_bytes_per_s=highest,
        schedule=Recorded(times_s=times_s, rate_factors=tuple((demand_bytes_per_s / highest).tolist())),
    )


def mean_bandwidth_bytes_per_s(replay: Replay) -> float:
    """The nominal bandwidth of the link that a replay becomes."""
    if len(replay.time_s) == 1:
        return float(replay.bandwidth_bytes_per_s[0])
    spans_s = np.diff(replay.time_s)
    return float(replay.bandwidth_bytes_per_s[:-1] @ spans_s / spans_s.sum())
