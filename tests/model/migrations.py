"""Small migrations for tests: scenarios in few words, a constant throttle, a recorder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dqgym.backends.base import Outcomes
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.scenario import ConstantLink, DirtyLog, Limits, Scenario, VcpuGroup, VirtualMachine
from dqgym.telemetry.command import UNLIMITED, Command, free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField

MB = 10**6
SLOTS = 4
"""Of every migration here, unless a test needs more: kernels are compiled once for each number of slots."""
NO_COSTS = DEFAULT_PARAMETERS._replace(
    write_bytes_per_s=1e15,
    fault_s=0.0,
    exit_bytes_per_s=1e30,
    contention=0.0,
    overshoot_bytes=0.0,
    window_s=0.1,
    ring_exit_s=0.0,
    slice_overrun_s=0.0,
)
"""A host on which neither a write fault nor an exit takes time."""
DECISIONS = ControlInterval(least_s=0.0, pass_times=0.02)
PAGE_BY_PAGE = DirtyLog(clear_chunk_bytes=4096)
READERS = VcpuGroup(vcpus=1, pattern="read-only")


def writers(pattern: str = "uniform", vcpus: int = 1, set_mb: float = 10.0, rate_mb_per_s: float = 1.0, **others):
    """A group of equal vCPUs; set and rate are each vCPU's."""
    return VcpuGroup(
        vcpus=vcpus,
        pattern=pattern,
        working_set_bytes=int(set_mb * MB),
        write_rate_bytes_per_s=rate_mb_per_s * MB,
        **others,
    )


def scenario(
    *workload: VcpuGroup, memory_mb: float = 1000.0, bandwidth_mb_per_s: float = 1.0, link=None, limits=None, **others
) -> Scenario:
    """A scenario; T0 is 1000 s unless said otherwise, long compared with the shortest round. Logs clear by page."""
    return Scenario(
        name="test",
        vm=others.pop("vm", None) or VirtualMachine(memory_bytes=int(memory_mb * MB)),
        workload=workload or (READERS,),
        link=link or ConstantLink(bandwidth_bytes_per_s=bandwidth_mb_per_s * MB),
        limits=limits or Limits(downtime_s=0.3),
        **{"dirty_log": PAGE_BY_PAGE, **others},
    )


@dataclass
class Constant:
    """A throttle with one command throughout; scalars are for all, arrays [V] or [N, V] as they are."""

    dirty_limit_bytes_per_s: float | Sequence[float] | np.ndarray = float(UNLIMITED)
    run_share_cap: float | Sequence[float] | np.ndarray = 1.0
    ring_sleep_s: float | Sequence[float] | np.ndarray = 0.0
    share_unclaimed: bool | np.ndarray = False
    sync: bool = False
    kicks_wake: bool = False
    read_rings: bool = False
    control_interval: ControlInterval = DECISIONS
    name: str = "constant"

    def reset(self, facts: Facts) -> None:
        free = free_command(facts)
        shape = facts.present.shape
        self._command = replace(
            free,
            dirty_limit_bytes_per_s=_per_vcpu(self.dirty_limit_bytes_per_s, shape),
            run_share_cap=_per_vcpu(self.run_share_cap, shape),
            ring_sleep_s=_per_vcpu(self.ring_sleep_s, shape),
            share_unclaimed=np.array(np.broadcast_to(self.share_unclaimed, shape[0])),
            sync=np.full(shape[0], self.sync),
            kicks_wake=np.full(shape[0], self.kicks_wake),
            read_rings=np.full(shape[0], self.read_rings),
        )

    def act(self, telemetry: Telemetry) -> Command:
        return self._command


def _per_vcpu(values, shape: tuple[int, int]) -> np.ndarray:
    given = np.asarray(values, dtype=np.float32)
    given = np.atleast_1d(given)
    padded = (
        given
        if given.shape[-1] in (1, shape[1])
        else np.pad(given, [(0, 0)] * (given.ndim - 1) + [(0, shape[1] - given.shape[-1])])
    )
    return np.ascontiguousarray(np.broadcast_to(padded, shape))


@dataclass
class Recorder:
    """An observer that keeps every interval's command and telemetry."""

    commands: list[Command] = field(default_factory=list)
    telemetry: list[Telemetry] = field(default_factory=list)

    def __call__(self, interval_s, command: Command, telemetry: Telemetry) -> None:
        self.commands.append(command)
        self.telemetry.append(telemetry)

    def vm(self, which: VmField) -> np.ndarray:
        """[T, N]."""
        return np.array([each.per_vm(which) for each in self.telemetry])

    def vcpu(self, which: VcpuField) -> np.ndarray:
        """[T, N, V], 0 in intervals after the end."""
        ended = np.array([np.zeros_like(self.telemetry[0].done), *(each.done for each in self.telemetry[:-1])])
        values = np.array([each.per_vcpu(which) for each in self.telemetry], dtype=np.float64)
        return values * ~ended[:, :, None]


@dataclass(frozen=True)
class Run:
    """What a run came to; ``dirtied_bytes`` [N, V]."""

    outcomes: Outcomes
    dirtied_bytes: np.ndarray
    recorder: Recorder

    @property
    def t(self) -> float:
        """T/T0 of the first migration."""
        return float(self.outcomes.time_over_t0[0])


def migrate(
    *scenarios: Scenario,
    throttle=None,
    parameters: ModelParameters = NO_COSTS,
    slots: int = SLOTS,
    seed: int = 0,
    make_backend=ModelBackend,
) -> Run:
    """Migrate the scenarios side by side, without any throttle if none is given; ``seed`` is the first one's."""
    recorder = Recorder()
    backend = make_backend(parameters, vcpu_slots=slots)
    seeds = list(range(seed, seed + len(scenarios)))
    outcomes = run_migrations(backend, scenarios, throttle or Constant(), seeds, observer=recorder)
    return Run(outcomes, recorder.vcpu(VcpuField.DIRTIED_BYTES).sum(axis=0), recorder)
