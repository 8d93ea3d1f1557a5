"""The process that runs the guest and migrates it.

It is started as ``python -m dqgym.backends.kvm.migration.source CONNECTION [DESCRIPTORS...]``. The guest has a process
of its own, as under QEMU: what kills it takes guest and memory along, and a learner's threads do not keep its vCPUs
waiting. It takes ``dqgym.backends.kvm.migration.messages`` from the connection and ends when that is closed, when it is
told to finish, or on SIGTERM; a migration that is under way is then called off. Whatever it waits for, it has ended
``END_WITHIN_S`` after the connection was closed or SIGTERM came.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

from dqgym.backends.kvm.machine.api import PAGE_BYTES, Kernel
from dqgym.backends.kvm.machine.machine import Machine, fill_memory
from dqgym.backends.kvm.machine.quota_abi import find_abi
from dqgym.backends.kvm.machine.vcpu import SWITCH_INTERVAL_S
from dqgym.backends.kvm.machine.vm import new_memory
from dqgym.backends.kvm.migration.frames import Channel, ProtocolError, connect, new_session
from dqgym.backends.kvm.migration.messages import Begin, Begun, Cancel, Failed, Final, Finish, Request, Snapshot, Step
from dqgym.backends.kvm.migration.proof import ProofFailedError, require_exactly_once
from dqgym.backends.kvm.migration.sender import Ending, Report, Sender

CONNECT_TIMEOUT_S = 10.0
BREAK_OFF_AFTER_S = 1.0
"""A sender that has not noticed in this time that it is called off waits for a peer: its connection is cut."""
END_WITHIN_S = 2.0
AFTER_S = 0.2
"""A guest that stayed here runs on for this time before its stores are counted."""


class Source:
    """One guest and its migration, in this process."""

    def __init__(self, begin: Begin) -> None:
        self._ended = os.eventfd(0)
        descriptor, memory = new_memory(begin.scenario.vm.memory_bytes)
        os.close(descriptor)
        fill_memory(memory, begin.seed)
        kernel = Kernel()
        self._machine = Machine(kernel, begin.scenario, begin.seed, memory, find_abi(kernel))
        self._report: Report | BaseException | None = None
        self._thread: threading.Thread | None = None
        try:
            channel = Channel(connect(begin.host, begin.port, CONNECT_TIMEOUT_S), new_session())
            self._sender = Sender(
                self._machine,
                begin.scenario,
                begin.seed,
                channel,
                begin.path,
                _death_watch(begin.destination_process),
                lambda: os.eventfd_write(self._ended, 1),
            )
            self._sender.connect()
            self._machine.touch_all_pages()
            self._machine.start(workload_time_s=-begin.warm_up_s)
            time.sleep(begin.warm_up_s)
            self._surveyed = self._sender.begin(begin.survey_s)
            self._interval_ends_s = time.monotonic()
            self._before = self._machine.counts()
            self._thread = threading.Thread(target=self._migrate, name="sender", daemon=True)
            self._thread.start()
        except BaseException:
            self._machine.close()
            raise

    @property
    def ended(self) -> int:
        """A descriptor that can be read when the guest's fate is settled."""
        return self._ended

    def begun(self) -> Begun:
        """The answer to ``Begin``."""
        return Begun(self.snapshot(), self._surveyed)

    def throttle(self, step: Step) -> None:
        """Carry out a command from now on."""
        if self._sender.progress.ended_s is None:
            self._machine.command(step.limits_bytes_per_s, step.shared, step.caps, step.ring_sleeps_s)
            if step.sync:
                self._sender.request_sync()

    def until_end_of(self, interval_s: float) -> float:
        """The rest of a control interval: it began when the last one ended, however long a decision took."""
        now_s = time.monotonic()
        self._interval_ends_s = max(self._interval_ends_s + interval_s, now_s)
        return self._interval_ends_s - now_s

    def snapshot(self) -> Snapshot:
        """The migration's state; empties the rings, so that first writes are counted up to now."""
        log, sender = self._machine.log, self._sender
        if sender.progress.stopped_s is None and sender.progress.ended_s is None and sender.limits.paused_s is None:
            log.flush(*range(len(self._machine.vcpus)))
        progress = sender.progress
        return Snapshot(
            ring_bytes=self._machine.vm.ring_entries * PAGE_BYTES,
            time_s=sender.time_s,
            running_s=sender.running_s,
            paused_s=sender.limits.paused_s,
            downtime_limit_s=sender.limits.downtime_s,
            round=progress.round,
            sent_bytes=progress.sent_bytes,
            sending_s=progress.sending_s,
            remaining_bytes=log.pending_pages * PAGE_BYTES,
            syncs=log.syncs,
            sync_time_s=progress.sync_time_s,
            synced_dirty_bytes=log.synced_dirty_pages * PAGE_BYTES,
            synced_sent_bytes=progress.synced_sent_bytes,
            counts=self._machine.counts(),
            ended=progress.ended_s is not None,
            phase=progress.phase,
        )

    def cancel(self) -> None:
        """Call the migration off and wait until the guest's fate is settled."""
        self._sender.cancel()
        if not self._has_ended(BREAK_OFF_AFTER_S) and not self._sender.handed_over:
            self._sender.break_off()
        self._has_ended(None)

    def finish(self) -> Final:
        """Wait for the proof.

        Raises:
            ProofFailedError: something was lost.
            RuntimeError, OSError: the machine failed.
        """
        assert self._thread is not None
        self._thread.join()
        report = self._report
        if isinstance(report, BaseException):
            raise report
        assert report is not None
        if report.ending is not Ending.CONVERGED and report.ending is not Ending.UNKNOWN:
            time.sleep(AFTER_S)
            self._machine.pause(at_boundary=True)
            require_exactly_once(self._machine.counters, self._machine.issued)
        progress = [
            (now.accesses - before.accesses) / max(now.demanded - before.demanded, 1.0)
            for now, before in zip(self._machine.counts(), self._before, strict=True)
        ]
        return Final(
            report.ending,
            report.reason,
            report.downtime_s,
            report.last_stage_s,
            report.proof,
            int(self._machine.issued.sum()),
            tuple(1.0 if vcpu.trace.idle else share for vcpu, share in zip(self._machine.vcpus, progress, strict=True)),
        )

    def close(self) -> None:
        """Call off what is under way, and give everything back."""
        if self._thread is not None and self._sender.progress.ended_s is None:
            self._sender.cancel()
            self._has_ended(BREAK_OFF_AFTER_S)
        self._sender.break_off()
        if self._thread is not None:
            self._thread.join()
        self._machine.close()
        os.close(self._ended)

    def _has_ended(self, timeout_s: float | None) -> bool:
        return bool(select.select([self._ended], [], [], timeout_s)[0])

    def _migrate(self) -> None:
        try:
            self._report = self._sender.run()
        except BaseException as error:
            self._report = error
            if self._sender.progress.ended_s is None:
                self._sender.progress.ended_s = self._sender.time_s
            os.eventfd_write(self._ended, 1)


def _death_watch(process: int | None) -> Callable[[], bool]:
    """Tells that the process behind a pidfd has ended; of a destination on another host nobody can say that."""
    if process is None:
        return lambda: False
    return lambda: bool(select.select([process], [], [], 1.0)[0])


def serve(connection: Connection, terminated: int) -> None:
    """Answer requests until the connection is closed, ``Finish`` is answered, or ``terminated`` can be read."""
    source: Source | None = None
    try:
        while connection in wait([connection, terminated]):
            request: Request = connection.recv()
            try:
                answer: object
                match request:
                    case Begin():
                        source = Source(request)
                        answer = source.begun()
                    case _ if source is None:
                        raise RuntimeError(f"{request} before Begin")
                    case Step():
                        source.throttle(request)
                        waits_s = source.until_end_of(request.interval_s)
                        if terminated in wait([source.ended, connection, terminated], waits_s):
                            return
                        answer = source.snapshot()
                    case Cancel():
                        source.cancel()
                        answer = source.snapshot()
                    case Finish():
                        answer = source.finish()
            except ProofFailedError as error:
                answer = Failed("proof", str(error))
            except (ProtocolError, TimeoutError, ConnectionError) as error:
                answer = Failed("refused", str(error))
            except Exception as error:
                answer = Failed("fault", f"{type(error).__name__}: {error}")
            connection.send(answer)
            if isinstance(answer, Failed | Final):
                return
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # whoever wanted the migration is gone
    finally:
        if source is not None:
            source.close()


def main() -> None:
    """Serve one backend."""
    connection = Connection(int(sys.argv[1]))
    # All threads inherit the mask; those of libraries have what the backend began this process with.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    terminated = os.eventfd(0)

    def await_hang_up() -> None:
        poll = select.poll()
        poll.register(connection.fileno(), 0)  # a hang-up is always told
        poll.poll()

    def end_after(what: Callable[[], object]) -> None:
        what()
        os.eventfd_write(terminated, 1)
        time.sleep(END_WITHIN_S)
        os._exit(1)

    def await_signal() -> None:
        signal.sigwait({signal.SIGTERM, signal.SIGHUP})

    for what in (await_signal, await_hang_up):
        threading.Thread(target=end_after, args=(what,), name=what.__name__, daemon=True).start()
    serve(connection, terminated)


if __name__ == "__main__":
    main()
