"""What the fault tests share: a migration whose source runs in this process, and which can be held at any moment.

The destination is a process of its own, as in real life, but forked from a server that has all modules loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

import numpy as np

from dqgym.backends.kvm.host.probe import kvm_problem
from dqgym.backends.kvm.machine.api import Kernel
from dqgym.backends.kvm.migration import destination as destination_module
from dqgym.backends.kvm.migration import source as source_module
from dqgym.backends.kvm.migration.destination import SWITCH_INTERVAL_S, Received, receive_migration
from dqgym.backends.kvm.migration.frames import Frame, FrameType, connect, listen
from dqgym.backends.kvm.migration.link_pacing import BandwidthPath
from dqgym.backends.kvm.migration.messages import Begin, Final
from dqgym.backends.kvm.migration.proof import Proof
from dqgym.backends.kvm.migration.sender import REPLY_TIMEOUT_S, Phase, Sender
from dqgym.backends.kvm.migration.source import Source
from dqgym.scenario import ConstantLink, Limits, Scenario, VcpuGroup, VirtualMachine
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.units import MIB

DEADLINE_S = 20.0
"""Nothing that a test waits for takes so long unless it hangs."""
ENDS_WITHIN_S = 5.0
"""What a process may take to end once it has no reason to live."""
RUNS_ON_STORES = 500
"""A guest that makes so many stores runs."""

CONTEXT = multiprocessing.get_context("forkserver")


def guest(bandwidth_mib_per_s: float = 60, downtime_s: float = 0.1, memory_mib: int = 64) -> Scenario:
    """A hot writer, whose set takes three or four rounds, and a light one."""

    def writer(set_mib: int, stores_per_s: float) -> VcpuGroup:
        return VcpuGroup(
            vcpus=1,
            pattern="uniform",
            working_set_bytes=set_mib * MIB,
            write_rate_bytes_per_s=stores_per_s * 4096.0,
        )

    return Scenario(
        name="faults",
        vm=VirtualMachine(memory_bytes=memory_mib * MIB),
        workload=(writer(16, 15_000), writer(4, 500)),
        link=ConstantLink(bandwidth_bytes_per_s=bandwidth_mib_per_s * MIB),
        limits=Limits(downtime_s=downtime_s, deadline_pass_times=20.0),
        dirty_log=DirtyLog(ring_entries=256),
    )


SLOW, FAST = guest(), guest(bandwidth_mib_per_s=100, downtime_s=0.05, memory_mib=32)
"""Rounds of a second; of a third of it for what comes after them."""


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Poll until something is so; fail with ``what`` where it never is."""
    ends_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < ends_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.01)


# --- the destination -------------------------------------------------------------------------------------------------


def held_by(pid: int | str = "self") -> tuple[str, ...]:
    """Descriptors and mappings of guests that a process has; none where it is gone."""
    found = []
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(os.readlink(descriptor))
        found += [line.split(maxsplit=5)[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return tuple(name for name in found if "guest-memory" in name or "kvm" in name.rpartition("/")[2])


class Destination:
    """A process that receives one migration.

    Args:
        before: runs in it first; to make it slow or faulty. A function of a module.
    """

    def __init__(self, before: Callable[[], None] | None = None) -> None:
        self._result, theirs = CONTEXT.Pipe(duplex=False)
        with listen("127.0.0.1", 0) as listener, theirs:
            self.address: tuple[str, int] = listener.getsockname()
            self.process = CONTEXT.Process(target=_receive, args=(listener, theirs, before), daemon=True)
            self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid
        self.descriptor = os.pidfd_open(self.pid)

    def stop(self) -> None:
        """Let it do nothing until ``go_on``."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.is_dead(DEADLINE_S)

    def is_dead(self, timeout_s: float = 0.0) -> bool:
        return bool(select.select([self.descriptor], [], [], timeout_s)[0])

    def ended_with(self) -> Received:
        """What it received; it must have left nothing behind, and end by itself."""
        assert self._result.poll(ENDS_WITHIN_S), "the destination has not come to an end"
        received, *left = self._result.recv()
        assert left == [(), []], f"the destination has left {left}"
        assert self.is_dead(ENDS_WITHIN_S)
        return received

    def close(self) -> None:
        if not self.is_dead():
            self.kill()
        self.process.join()
        os.close(self.descriptor)
        self._result.close()


def _receive(listener: socket.socket, result: Connection, before: Callable[[], None] | None) -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    destination_module.RUN_ON_S = 0.1
    if before is not None:
        before()
    with listener:
        listener.settimeout(DEADLINE_S)
        connection, _ = listener.accept()
    received = receive_migration(connection, Kernel())
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    result.send((received, held_by(), threads))


class Relay:
    """A process between a source and a destination; while it is stopped, so is the link."""

    def __init__(self) -> None:
        self._listener = listen("127.0.0.1", 0)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)  # a stopped link must not take much
        self._process: BaseProcess | None = None

    def toward(self, address: tuple[str, int]) -> tuple[str, int]:
        """Where to connect to instead."""
        self._process = CONTEXT.Process(target=_relay, args=(self._listener, address), daemon=True)
        self._process.start()
        host, port = self._listener.getsockname()
        return host, port

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self._listener.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


def _relay(listener: socket.socket, address: tuple[str, int]) -> None:
    near, _ = listener.accept()
    far = connect(*address, DEADLINE_S)
    for connection in (near, far):
        connection.settimeout(None)
    onward = {near: far, far: near}
    while True:
        for connection in select.select(list(onward), [], [])[0]:
            data = connection.recv(1 << 18)
            if not data:
                return
            onward[connection].sendall(data)


def start_fork_server() -> None:
    """Before signals are blocked: it must hear of its children's ends. Without KVM, no test needs it."""
    if kvm_problem() is not None:
        return
    CONTEXT.set_forkserver_preload(["pytest", __name__])
    process = CONTEXT.Process(target=_nothing)
    process.start()
    process.join()


def _nothing() -> None:
    pass


# --- the source ------------------------------------------------------------------------------------------------------


class Moment(StrEnum):
    """Where a sender can be held."""

    FIRST_ROUND = "in the first round"
    LATER_ROUND = "in a later round"
    LAST_STAGE = "in the last stage"
    STATE_SENT = "while the destination loads its state"
    BEFORE_RESUME = "before the destination is told to run it"
    AFTER_RESUME = "after the destination was told to run it"
    PROVING = "during the proof"


class HeldSender(Sender):
    """Stops once, at its moment, until it is released; the guest is as the moment finds it."""

    moment: Moment | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reached = threading.Event()
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def _hold(self, moment: Moment | None) -> None:
        if moment is not None and moment is self.moment and not self.reached.is_set():
            self.reached.set()
            assert self._released.wait(DEADLINE_S)

    def _send_pages(self, rate_bytes_per_s: float) -> None:
        super()._send_pages(rate_bytes_per_s)
        progress = self.progress
        if progress.phase is not Phase.FIRST_ROUND or progress.sent_bytes > self.machine.memory.nbytes // 3:
            self._hold(_MOMENTS_WITH_PAGES.get(progress.phase))

    def _require_wanted(self) -> None:
        if self.progress.phase is Phase.HANDING_OVER:
            self._hold(Moment.BEFORE_RESUME)
        super()._require_wanted()

    def _await(self, type: FrameType, timeout_s: float = REPLY_TIMEOUT_S) -> Frame:
        self._hold({FrameType.READY: Moment.STATE_SENT, FrameType.RESUMED: Moment.AFTER_RESUME}.get(type))
        return super()._await(type, timeout_s)

    def _prove(self) -> Proof:
        self._hold(Moment.PROVING)
        return super()._prove()


_MOMENTS_WITH_PAGES = {
    Phase.FIRST_ROUND: Moment.FIRST_ROUND,
    Phase.LATER_ROUNDS: Moment.LATER_ROUND,
    Phase.LAST_STAGE: Moment.LAST_STAGE,
}


class Migration:
    """A migration from this process to a destination."""

    def __init__(self, source: Source, sender: HeldSender, destination: Destination) -> None:
        self.source = source
        self.sender = sender
        self.machine = sender.machine
        self.destination = destination

    def await_moment(self) -> None:
        assert self.sender.reached.wait(DEADLINE_S), f"the sender never came to {self.sender.moment}"

    def await_end(self) -> None:
        """Until the guest's fate is settled."""
        assert select.select([self.source.ended], [], [], DEADLINE_S)[0], "the migration does not end"

    def finish(self) -> Final:
        """The end of it; proven, or every store exactly once."""
        self.await_end()
        return self.source.finish()

    def stores(self) -> int:
        """That the guest has made here."""
        return int(self.machine.counters.sum())

    def require_runs_on_here(self) -> None:
        """The guest makes stores at the source."""
        self.await_end()
        before = self.stores()
        wait_until(lambda: self.stores() > before + RUNS_ON_STORES, "the guest runs on at the source")

    def require_stopped_here(self) -> None:
        """The guest makes no stores at the source."""
        before, counts = self.stores(), [each.accesses for each in self.machine.counts()]
        time.sleep(0.2)
        assert self.stores() == before
        assert [each.accesses for each in self.machine.counts()] == counts


@contextmanager
def migration(
    scenario: Scenario,
    seed: int,
    moment: Moment | None = None,
    *,
    before: Callable[[], None] | None = None,
    on_this_host: bool = True,
    kernel: type[Kernel] = Kernel,
    path: BandwidthPath | None = None,
    survey_s: float = 0.0,
    via: Callable[[tuple[str, int]], tuple[str, int]] = lambda address: address,
) -> Iterator[Migration]:
    """Begin to migrate a guest.

    Args:
        scenario: its link is played unless there is a ``path``.
        seed: of the workload.
        moment: where the sender is held.
        before: runs in the destination's process first.
        on_this_host: whether the source can watch the destination's process.
        kernel: the source's.
        path: of the bandwidth.
        survey_s: length of the survey before it.
        via: given the destination's address, says where to connect to instead.
    """
    senders: list[HeldSender] = []

    def make_sender(*args: object) -> HeldSender:
        senders.append(HeldSender(*args))
        senders[-1].moment = moment
        return senders[-1]

    with ExitStack() as stack:
        destination = Destination(before)
        stack.callback(destination.close)
        path = path or BandwidthPath(np.zeros(1), np.array([scenario.bandwidth_bytes_per_s]))
        pidfd = destination.descriptor if on_this_host else None
        with (
            patch.object(source_module, "Sender", make_sender),
            patch.object(source_module, "Kernel", kernel),
        ):
            begin = Begin(scenario, seed, path, *via(destination.address), pidfd, warm_up_s=0.05, survey_s=survey_s)
            source = Source(begin)
        stack.callback(source.close)
        (sender,) = senders
        stack.callback(sender.release)
        yield Migration(source, sender, destination)
