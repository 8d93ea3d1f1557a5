"""Real migrations behind the interface of all backends: one at a time, in real time, each proven right at its end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np

from dqgym.arrays import Float32Array, FloatArray
from dqgym.backends.base import Capabilities, Outcomes
from dqgym.backends.kvm.feasibility import require_feasible
from dqgym.backends.kvm.host.probe import require_kvm
from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.survey_log import LONGEST_S, Surveyed
from dqgym.backends.kvm.migration.frames import listen
from dqgym.backends.kvm.migration.link_pacing import BandwidthPath
from dqgym.backends.kvm.migration.messages import Begin, Begun, Cancel, Failed, Final, Finish, Request, Snapshot, Step
from dqgym.backends.kvm.migration.proof import ProofFailedError
from dqgym.backends.kvm.migration.sender import Ending
from dqgym.backends.outcome_recorder import OutcomeRecorder
from dqgym.errors import BadInputError, RunFailedError
from dqgym.model.bandwidth import bandwidth_path
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.model.pool import pack_scenarios
from dqgym.scenario import Scenario
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.survey import Survey
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField, first_telemetry

log = logging.getLogger(__name__)

WARM_UP_S = 0.3
"""The guest runs so long before its migration begins."""
STOPPING_SHARE = 0.005
"""Of a control interval: so long a vCPU may run on that has been stopped; it takes a moment to heed it."""
CLOSE_TIMEOUT_S = 5.0
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The processes are begun with these blocked; each takes those that it wants."""

Answer = TypeVar("Answer", Begun, Snapshot, Final)


class MigrationFailedError(RunFailedError):
    """A migration did not come to an end that says anything about its throttle; the message says why."""


class KvmBackend:
    """One migration at a time of a real virtual machine on this host, over TCP to another process.

    Args:
        vcpu_slots: number of vCPU slots V; None: as many as the scenario needs.
        destination: ``(host, port)`` of a ``dqgym receive``; None: a process of this host, over loopback.

    Attributes:
        final: what the last migration that ended was proven to have done.

    Raises:
        KvmUnavailableError: this host cannot run virtual machines; the message has the remedy.
    """

    name = "kvm"
    capabilities = Capabilities(
        dirty_limit=True, run_share_cap=True, ring_sleep=True, max_migrations=1, survey=True, sync=True
    )

    def __init__(self, vcpu_slots: int | None = None, destination: tuple[str, int] | None = None) -> None:
        require_kvm()
        self.vcpu_slots = vcpu_slots
        self.destination = destination
        self.facts: Facts
        self.final: Final | None = None
        self._processes: _Processes | None = None
        self._recorder: OutcomeRecorder
        self._telemetry: Telemetry
        self._snapshot: Snapshot

    def __getstate__(self) -> dict[str, Any]:
        """For pickling and deepcopy. BadInputError while a migration runs: there is one real guest."""
        if self._processes is not None:
            raise BadInputError(
                "backend 'kvm' cannot be copied or pickled while it migrates a real guest: do it before it starts,"
                " or on the model"
            )
        return self.__dict__.copy()

    def start(
        self, scenarios: Sequence[Scenario], seeds: Sequence[int], survey: ControlInterval | None = None
    ) -> Telemetry:
        """Boot the guest of the one scenario, let it run for a moment, survey it, and begin to migrate it.

        Raises:
            BadInputError: more than one scenario, one that KVM cannot play, or too long a survey.
            MigrationFailedError: the destination or KVM refused.
        """
        if len(scenarios) != 1 or len(seeds) != 1:
            raise BadInputError(
                f"backend 'kvm' runs one migration at a time, not {len(scenarios)} with {len(seeds)} seeds"
            )
        self.close()
        (scenario,), (seed,) = scenarios, seeds
        workload = tuple(group.in_shipped_patterns() for group in scenario.workload)
        scenario = scenario.model_copy(update={"workload": workload})  # the guest's processes know no other patterns
        require_feasible(scenario)
        pool = pack_scenarios(scenarios, DEFAULT_PARAMETERS, self.vcpu_slots)
        facts = pool.facts()
        survey_s = 0.0 if survey is None else float(survey.seconds(facts)[0])
        if survey_s > LONGEST_S:
            raise BadInputError(f"survey: {survey_s:g} s; backend 'kvm' surveys for at most {LONGEST_S:g} s")
        times_s, bandwidths = bandwidth_path(pool, 0, seed, scenario.latest_end_s)
        path = BandwidthPath(times_s, bandwidths, scenario.link.last_stage_bytes_per_s)
        self.final = None
        self._processes = processes = _Processes(self.destination)
        begin = Begin(scenario, seed, path, *processes.address, processes.destination_process, WARM_UP_S, survey_s)
        begun = self._ask(begin, Begun)
        log.info("%s: the guest runs, and is migrated to %s port %d", scenario.name, *processes.address)
        surveyed, slots = begun.surveyed, facts.present.shape[1]
        self.facts = replace(
            facts,
            ring_bytes=np.array([float(begun.snapshot.ring_bytes)]),
            survey=_survey(surveyed, slots) if surveyed is not None else None,
        )
        self._recorder = OutcomeRecorder(self.facts, STOPPING_SHARE)
        if surveyed is not None:
            self._recorder.add_survey(0, np.pad(surveyed.run_s, (0, slots - len(surveyed.run_s))))
        # The answer takes a few milliseconds, which belong to the first interval.
        began_s = surveyed.length_s if surveyed is not None else 0.0
        self._snapshot = replace(begun.snapshot, running_s=began_s, sent_bytes=0, sending_s=0.0)
        self._telemetry = first_telemetry(self.facts)
        return self._telemetry

    def step(self, command: Command, interval_s: FloatArray) -> Telemetry:
        """Carry out a command for ``interval_s`` [1] seconds of real time, or to the migration's end."""
        if self._telemetry.done[0]:
            return self._telemetry
        if command.kicks_wake[0]:
            raise BadInputError(
                "backend 'kvm' cannot cut the sleep at a full ring short, as dirty-limit of QEMU before 8.2 asks"
            )
        vcpus = int(self.facts.vcpus[0])
        request = Step(
            interval_s=float(interval_s[0]),
            limits_bytes_per_s=np.maximum(command.dirty_limit_bytes_per_s[0, :vcpus], 0.0).tolist(),
            shared=bool(command.share_unclaimed[0]),
            caps=np.clip(command.run_share_cap[0, :vcpus], 0.0, 1.0).tolist(),
            ring_sleeps_s=np.maximum(command.ring_sleep_s[0, :vcpus], 0.0).tolist(),
            sync=bool(command.sync[0]),
        )
        before, now = self._snapshot, self._ask(request, Snapshot)
        took_s = max(now.running_s - before.running_s, 0.0)
        vcpu = _vcpu_telemetry(before, now, took_s, request.ring_sleeps_s, self._telemetry.vcpu.shape[2])
        vm = _vm_telemetry(before, now, took_s, self._telemetry.vm[0])
        self._recorder.add(0, vcpu[VcpuField.RUN_S], took_s, command, now.ended, before.paused_s is not None)
        self._snapshot = now
        self._telemetry = Telemetry(vcpu[None], vm[None], np.array([now.ended]))
        return self._telemetry

    def cancel(self) -> None:
        """Call the running migration off: the guest runs on at the source, and the migration has not converged."""
        self._snapshot = self._ask(Cancel(), Snapshot)
        done = np.array([self._snapshot.ended])
        self._telemetry = Telemetry(self._telemetry.vcpu, self._telemetry.vm, done)

    def outcomes(self) -> Outcomes:
        """The outcome of the migration, once it is proven.

        Raises:
            ProofFailedError: memory or stores were lost; there is no result.
            MigrationFailedError: the destination or the link failed.
        """
        if self.final is None:
            self.final = self._ask(Finish(), Final)
            self._close_processes()
        final = self.final
        if final.ending in (Ending.FAILED, Ending.UNKNOWN):
            raise MigrationFailedError(f"the migration {final.ending}: {final.reason}")
        converged = final.ending is Ending.CONVERGED
        outcomes = self._recorder.outcomes(self._telemetry, np.array([converged]), np.array([final.last_stage_s]))
        # A pause begins in the midst of an interval, which the recorder takes for a running one.
        return replace(outcomes, downtime_s=np.array([final.downtime_s])) if outcomes.forced[0] else outcomes

    def close(self) -> None:
        """Call off what is under way, and end the processes."""
        self._close_processes()

    def _close_processes(self) -> None:
        if self._processes is not None:
            self._processes.close()
            self._processes = None

    def _ask(self, request: Request, expected: type[Answer]) -> Answer:
        if self._processes is None:
            raise RuntimeError("no migration is running: call start")
        try:
            self._processes.connection.send(request)
            answer = self._processes.connection.recv()
        except (EOFError, OSError) as error:
            self._close_processes()
            raise MigrationFailedError("the process that runs the guest is gone, and the guest with it") from error
        if isinstance(answer, Failed):
            self._close_processes()
            raise (ProofFailedError if answer.kind == "proof" else MigrationFailedError)(answer.message)
        assert isinstance(answer, expected)
        return answer


class _Processes:
    """The process that runs the guest, and the destination's where that is one of this host."""

    def __init__(self, destination: tuple[str, int] | None) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        self._open = ExitStack()
        self.destination_process: int | None = None
        try:
            self.address = destination or self._start_destination()
            ours, theirs = socket.socketpair()
            with theirs:
                inherited = [theirs.fileno()]
                inherited += [] if self.destination_process is None else [self.destination_process]
                self._start("dqgym.backends.kvm.migration.source", *inherited)
            self.connection = self._open.enter_context(Connection(ours.detach()))
        except BaseException:
            self.close()
            raise

    def _start_destination(self) -> tuple[str, int]:
        lifeline, self._our_lifeline = os.pipe()
        self._open.callback(os.close, self._our_lifeline)
        try:
            with listen("127.0.0.1", 0) as listener:
                child = self._start("dqgym.backends.kvm.migration.destination", listener.fileno(), lifeline)
                host, port = listener.getsockname()
        finally:
            os.close(lifeline)
        self.destination_process = os.pidfd_open(child.pid)
        self._open.callback(os.close, self.destination_process)
        return str(host), int(port)

    def _start(self, module: str, *descriptors: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *map(str, descriptors)]
        # Every thread of the child inherits the mask. It cannot set it itself: a library that it imports may have
        # begun threads by then, and a signal goes to whoever lets it in. It also keeps Ctrl-C, which goes to the whole
        # process group, away from a child that is still importing.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        try:
            child = subprocess.Popen(command, pass_fds=descriptors, stdin=subprocess.DEVNULL)
            self._children.append(child)
            log.debug("started process %d: python -m %s", child.pid, module)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return child

    def close(self) -> None:
        """Hang up, and wait until both are gone."""
        self._open.close()
        for child in self._children:
            try:
                child.wait(CLOSE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _survey(surveyed: Surveyed, slots: int) -> Survey:
    pages = np.array(surveyed.dirtied_pages)
    found = np.pad(pages * PAGE_BYTES, ((0, 0), (0, slots - pages.shape[1])))
    return Survey(np.array([surveyed.length_s]), found[None].astype(np.float32))


def _vcpu_telemetry(
    before: Snapshot, now: Snapshot, took_s: float, ring_sleeps_s: Sequence[float], slots: int
) -> Float32Array:
    """[len(VcpuField), V], 0 in absent slots."""
    fields = np.zeros((len(VcpuField), slots), dtype=np.float32)
    paused_s = max(now.running_s - max(now.paused_s, before.running_s), 0.0) if now.paused_s is not None else 0.0
    for i, (old, new) in enumerate(zip(before.counts, now.counts, strict=True)):
        # As in the model: a throttle that works through full rings sees all that enters them.
        pages = new.entries - old.entries if ring_sleeps_s[i] > 0.0 else new.first_writes - old.first_writes
        run_s = min(max(took_s - paused_s - (new.halted_s - old.halted_s), 0.0), took_s)
        fields[VcpuField.DIRTIED_BYTES, i] = pages * PAGE_BYTES
        fields[VcpuField.QUOTA_EXITS, i] = new.quota_exits - old.quota_exits
        fields[VcpuField.STALLED_S, i] = took_s - run_s
        fields[VcpuField.RUN_S, i] = run_s
    return fields


def _vm_telemetry(before: Snapshot, now: Snapshot, took_s: float, last: FloatArray) -> FloatArray:
    """[len(VmField)]. The bandwidth is what was sent over the time in which there was anything to send."""
    sending_s = now.sending_s - before.sending_s
    fields = np.zeros(len(VmField))
    fields[VmField.INTERVAL_S] = took_s
    fields[VmField.TIME_S] = now.time_s
    fields[VmField.SENT_BYTES] = now.sent_bytes
    fields[VmField.REMAINING_BYTES] = now.remaining_bytes
    fields[VmField.ROUND] = now.round
    fields[VmField.BANDWIDTH_BYTES_PER_S] = (
        (now.sent_bytes - before.sent_bytes) / sending_s if sending_s > 0.0 else last[VmField.BANDWIDTH_BYTES_PER_S]
    )
    fields[VmField.SYNCS] = now.syncs
    fields[VmField.SYNC_TIME_S] = now.sync_time_s
    fields[VmField.SYNCED_DIRTY_BYTES] = now.synced_dirty_bytes
    fields[VmField.SYNCED_SENT_BYTES] = now.synced_sent_bytes
    fields[VmField.DOWNTIME_LIMIT_S] = now.downtime_limit_s
    fields[VmField.PAUSED] = now.paused_s is not None
    return fields
