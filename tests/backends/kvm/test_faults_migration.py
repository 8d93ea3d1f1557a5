"""Storms of kicks, migrations that are called off, destinations that die and links that fail: nothing is lost.

Every moment is held while the fault happens, so that it is met every time. How often each is tried: ``--kvm-repeats``.
"""

import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest

from dqgym.backends.kvm.machine import api
from dqgym.backends.kvm.machine.api import Kernel
from dqgym.backends.kvm.machine.machine import Machine, fill_memory
from dqgym.backends.kvm.machine.survey_log import Surveyed, survey
from dqgym.backends.kvm.machine.vm import new_memory
from dqgym.backends.kvm.migration import destination as destination_module
from dqgym.backends.kvm.migration import sender as sender_module
from dqgym.backends.kvm.migration import source as source_module
from dqgym.backends.kvm.migration.destination import SWITCH_INTERVAL_S
from dqgym.backends.kvm.migration.frames import Channel, ProtocolError, connect, listen, new_session
from dqgym.backends.kvm.migration.link_pacing import BandwidthPath
from dqgym.backends.kvm.migration.messages import Step
from dqgym.backends.kvm.migration.proof import require_exactly_once
from dqgym.backends.kvm.migration.sender import Ending, Phase, Sender
from dqgym.units import MIB
from tests.backends.kvm.faults import (
    DEADLINE_S,
    FAST,
    RUNS_ON_STORES,
    SLOW,
    Destination,
    Moment,
    Relay,
    migration,
    start_fork_server,
    wait_until,
)


@pytest.fixture(autouse=True, scope="module")
def fork_server() -> None:
    start_fork_server()


@pytest.fixture(autouse=True)
def as_in_a_source_process(
    fork_server: None, real_kvm: Kernel, blocked_signals: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    monkeypatch.setattr(source_module, "AFTER_S", 0.05)
    yield
    sys.setswitchinterval(interval_s)


# --- storms of kicks -------------------------------------------------------------------------------------------------


class CountingKernel(Kernel):
    """Counts how often KVM_RUN was interrupted, and how often it filled a ring."""

    interrupted = 0
    resets = 0

    def run(self, vcpu: int) -> int:
        number = super().run(vcpu)
        type(self).interrupted += number in api.INTERRUPTED
        return number

    def ioctl(self, descriptor: int, request: int, argument: object = 0) -> int:
        type(self).resets += request == api.RESET_DIRTY_RINGS
        return super().ioctl(descriptor, request, argument)


class Storm(threading.Thread):
    """Kicks all vCPUs of a machine, over and over."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self.kicks = 0
        self._machine = machine
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            for vcpu in self._machine.vcpus:
                vcpu.kick()
                self.kicks += 1
            time.sleep(1e-4)  # or the guests would never come to a store

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.slow
def test_a_storm_of_kicks_during_the_migration_loses_no_page_and_no_store(attempt: int) -> None:
    CountingKernel.interrupted = CountingKernel.resets = 0
    with migration(SLOW, attempt, kernel=CountingKernel) as under_way:
        storm = Storm(under_way.machine)
        storm.start()
        under_way.await_end()
        took_s = under_way.source.snapshot().time_s
        storm.end()
        final = under_way.source.finish()
    assert final.ending is Ending.CONVERGED
    assert final.proof is not None
    assert storm.kicks > 1000 * took_s
    assert CountingKernel.interrupted > 200 * took_s
    assert CountingKernel.resets > 20


@pytest.mark.slow
def test_a_storm_of_kicks_during_the_survey_loses_no_page_and_no_store(
    attempt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    storms: list[Storm] = []

    def stormy(machine: Machine, length_s: float, began_s: float) -> Surveyed:
        storms.append(Storm(machine))
        storms[0].start()
        try:
            return survey(machine, length_s, began_s)
        finally:
            storms[0].end()

    monkeypatch.setattr(sender_module, "survey", stormy)
    with migration(FAST, attempt, survey_s=0.4) as under_way:
        final = under_way.finish()
    assert final.ending is Ending.CONVERGED
    assert final.proof is not None
    assert storms[0].kicks > 200


# --- called off ------------------------------------------------------------------------------------------------------

BEFORE_IT_MOVED = (Moment.FIRST_ROUND, Moment.LATER_ROUND, Moment.LAST_STAGE, Moment.STATE_SENT, Moment.BEFORE_RESUME)


@contextmanager
def running_guest(seed: int) -> Iterator[Machine]:
    """A guest that runs while its migration has not begun."""
    descriptor, memory = new_memory(SLOW.vm.memory_bytes)
    os.close(descriptor)
    fill_memory(memory, seed)
    machine = Machine(Kernel(), SLOW, seed, memory)
    with closing(machine):
        machine.start()
        yield machine


def require_runs_on_exactly_once(machine: Machine) -> None:
    before = machine.counters.sum()
    wait_until(lambda: machine.counters.sum() > before + RUNS_ON_STORES, "the guest runs on")
    machine.pause(at_boundary=True)
    require_exactly_once(machine.counters, machine.issued)


class Connecting(threading.Thread):
    """A sender that waits for a destination to accept."""

    def __init__(self, machine: Machine, address: tuple[str, int], seed: int) -> None:
        super().__init__(daemon=True)
        path = BandwidthPath(np.zeros(1), np.full(1, SLOW.bandwidth_bytes_per_s))
        channel = Channel(connect(*address, DEADLINE_S), new_session())
        self.sender = Sender(machine, SLOW, seed, channel, path, lambda: False, lambda: None)
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.sender.connect()
        except Exception as error:
            self.error = error

    def ended_with(self) -> Exception | None:
        self.join(DEADLINE_S)
        assert not self.is_alive()
        self.sender.break_off()
        return self.error


@pytest.mark.slow
def test_a_guest_whose_migration_is_called_off_while_the_destination_is_slow_to_accept_runs_on(attempt: int) -> None:
    with running_guest(attempt) as machine, listen("127.0.0.1", 0) as silent:
        connecting = Connecting(machine, silent.getsockname(), attempt)
        connecting.start()
        connection, _ = silent.accept()
        with connection:
            assert select.select([connection], [], [], DEADLINE_S)[0]  # HELLO is here
            connecting.sender.cancel()
            connecting.sender.break_off()
            assert isinstance(connecting.ended_with(), ProtocolError)
        assert connecting.sender.progress.phase is Phase.CONNECTING
        require_runs_on_exactly_once(machine)


@pytest.mark.slow
@pytest.mark.parametrize("moment", BEFORE_IT_MOVED)
def test_a_guest_whose_migration_is_called_off_runs_on(moment: Moment, attempt: int) -> None:
    with migration(FAST, attempt, moment) as under_way:
        under_way.await_moment()
        under_way.sender.cancel()
        under_way.sender.release()
        under_way.source.cancel()
        under_way.require_runs_on_here()
        final = under_way.source.finish()
        received = under_way.destination.ended_with()
    assert final.ending is Ending.CANCELLED
    assert not received.resumed
    assert received.reason == "the source has called the migration off"


@pytest.mark.slow
@pytest.mark.parametrize("moment", [Moment.FIRST_ROUND, Moment.STATE_SENT])
def test_a_migration_whose_destination_does_nothing_can_be_called_off(moment: Moment) -> None:
    with migration(FAST, 0, moment) as under_way:
        under_way.await_moment()
        under_way.destination.stop()
        under_way.sender.release()
        under_way.source.cancel()
        under_way.require_runs_on_here()
        final = under_way.source.finish()
        under_way.destination.go_on()
        received = under_way.destination.ended_with()
    assert final.ending is Ending.CANCELLED
    assert not received.resumed


@pytest.mark.slow
@pytest.mark.parametrize("moment", [Moment.AFTER_RESUME, Moment.PROVING])
def test_calling_off_a_guest_that_was_handed_over_has_no_effect(
    moment: Moment, attempt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "BREAK_OFF_AFTER_S", 0.1)
    with migration(FAST, attempt, moment) as under_way:
        under_way.await_moment()
        calling_off = threading.Thread(target=under_way.source.cancel, daemon=True)
        calling_off.start()
        calling_off.join(0.2)  # the user is not the one who loses patience
        under_way.sender.release()
        calling_off.join(DEADLINE_S)
        assert not calling_off.is_alive()
        final = under_way.finish()
        under_way.require_stopped_here()
        under_way.sender.break_off()
        received = under_way.destination.ended_with()
    assert final.ending is Ending.CONVERGED
    assert final.proof is not None
    assert received.resumed


# --- the destination dies --------------------------------------------------------------------------------------------


def never_start_the_guest() -> None:
    """In the destination's process: being told to run the guest, it does not, and does not answer."""
    destination_module.Machine.start = lambda *_: time.sleep(DEADLINE_S)


def test_a_guest_whose_destination_is_killed_before_it_accepts_runs_on(attempt: int) -> None:
    with closing(Destination()) as destination, running_guest(attempt) as machine:
        destination.stop()
        connecting = Connecting(machine, destination.address, attempt)
        connecting.start()
        destination.kill()
        assert isinstance(connecting.ended_with(), ProtocolError)
        require_runs_on_exactly_once(machine)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [*BEFORE_IT_MOVED, Moment.AFTER_RESUME])
def test_a_guest_whose_destination_is_killed_runs_on(moment: Moment, attempt: int) -> None:
    before = never_start_the_guest if moment is Moment.AFTER_RESUME else None
    with migration(FAST, attempt, moment, before=before) as under_way:
        under_way.await_moment()
        under_way.destination.kill()
        under_way.sender.release()
        under_way.require_runs_on_here()
        final = under_way.source.finish()
    assert final.ending is Ending.FAILED
    assert "connection" in final.reason


@pytest.mark.slow
def test_a_guest_that_moved_stays_stopped_here_though_its_destination_is_killed(attempt: int) -> None:
    with migration(FAST, attempt, Moment.PROVING) as under_way:
        under_way.await_moment()
        under_way.destination.kill()
        under_way.sender.release()
        with pytest.raises(ProtocolError, match="the guest moved, but the destination has not proven it"):
            under_way.finish()
        under_way.require_stopped_here()


@pytest.mark.slow
def test_a_guest_that_may_run_on_another_host_stays_stopped_here(attempt: int) -> None:
    with migration(FAST, attempt, Moment.AFTER_RESUME, before=never_start_the_guest, on_this_host=False) as under_way:
        under_way.await_moment()
        under_way.destination.kill()  # which nobody here can know
        under_way.sender.release()
        final = under_way.finish()
        under_way.require_stopped_here()
    assert final.ending is Ending.UNKNOWN


@pytest.mark.slow
def test_a_guest_that_a_living_destination_may_run_stays_stopped_here() -> None:
    with migration(FAST, 0, Moment.AFTER_RESUME, before=never_start_the_guest) as under_way:
        under_way.await_moment()
        under_way.sender.break_off()
        under_way.sender.release()
        final = under_way.finish()
        under_way.require_stopped_here()
    assert final.ending is Ending.UNKNOWN


# --- the link fails --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_migration_survives_a_link_that_stands_still_for_two_seconds(attempt: int) -> None:
    moment = Moment.LAST_STAGE if attempt % 4 == 3 else Moment.FIRST_ROUND
    with closing(Relay()) as relay, migration(FAST, attempt, moment, via=relay.toward) as under_way:
        under_way.await_moment()
        relay.stop()
        under_way.sender.release()
        time.sleep(1.0)  # by now the buffers on the way are full
        sent_bytes = under_way.sender.progress.sent_bytes
        time.sleep(1.0)
        assert under_way.sender.progress.sent_bytes == sent_bytes
        relay.go_on()
        final = under_way.finish()
    assert final.ending is Ending.CONVERGED
    assert final.proof is not None
    assert (final.downtime_s > 2.0) == (moment is Moment.LAST_STAGE)


@pytest.mark.slow
def test_a_migration_survives_a_link_that_is_cut_to_a_tenth(attempt: int) -> None:
    cut_s, bandwidth = 0.25, FAST.bandwidth_bytes_per_s
    path = BandwidthPath(np.array([0.0, cut_s]), np.array([bandwidth, bandwidth / 10]))
    throttle = Step(0.0, [1.0 * MIB, 1.0 * MIB], False, [1.0, 1.0], [0.0, 0.0], False)
    with migration(FAST, attempt, path=path) as under_way:
        under_way.source.throttle(throttle)
        final = under_way.finish()
        took_s = under_way.source.snapshot().time_s
    assert final.ending is Ending.CONVERGED
    assert final.proof is not None
    assert took_s > cut_s + (FAST.vm.memory_bytes - cut_s * bandwidth) / (bandwidth / 10)
