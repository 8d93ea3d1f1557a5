"""The processes of a migration are killed, or told to go: there is an error, and no process and no memory is left.

How often each is tried: ``--kvm-repeats``.
"""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from dqgym.backends.kvm import backend as backend_module
from dqgym.backends.kvm.backend import KvmBackend, MigrationFailedError
from dqgym.backends.kvm.migration import destination as destination_module
from dqgym.backends.kvm.migration.frames import listen
from dqgym.scenario import save_scenario
from dqgym.telemetry.command import free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.units import MIB
from tests.backends.kvm.faults import (
    CONTEXT,
    DEADLINE_S,
    ENDS_WITHIN_S,
    FAST,
    Destination,
    guest,
    held_by,
    start_fork_server,
    wait_until,
)
from tests.interrupts import heed_interrupts

pytestmark = pytest.mark.usefixtures("real_kvm")

LONG = guest(memory_mib=128, bandwidth_mib_per_s=40)
"""Three seconds under way before its first round is over."""
MARK = "DQGYM_TEST"
GONE = "the process that runs the guest is gone, and the guest with it"


class Family:
    """The processes that a test began, and those that they began: all that have its mark in their environment."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        gc.collect()  # guests that earlier tests had in this process
        self._held_before = held_by()
        self._before_bytes = _shared_bytes(), _ownerless_bytes()

    def pids(self, module: str = "") -> list[int]:
        """Those that live and have the module's name in their command line."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_text()
            except OSError:  # it has just ended, or is not ours
                continue
            if self.mark.encode() in environment and module in command:
                found.append(int(process.name))
        return found

    def source(self) -> int:
        (pid,) = self.pids("dqgym.backends.kvm.migration.source")
        return pid

    def await_migrating(self) -> None:
        """Until the destination has received pages, and the source is in the midst of it."""

        def has_received() -> bool:
            return any(_shared_bytes_of(pid) > 8 * MIB for pid in self.pids("dqgym.backends.kvm.migration.destination"))

        wait_until(has_received, "the destination receives pages")

    def require_gone(self) -> None:
        """No process is left, and no memory."""
        wait_until(lambda: not self.pids(), "all processes have ended", ENDS_WITHIN_S)
        assert not Counter(held_by()) - Counter(self._held_before)
        shared_bytes, ownerless_bytes = (before + LONG.vm.memory_bytes // 4 for before in self._before_bytes)

        def is_back() -> bool:  # whatever other guests there are on this host, before or now
            return _shared_bytes() < shared_bytes or _ownerless_bytes() < ownerless_bytes

        wait_until(is_back, "the memory is back")


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Iterator[Family]:
    made = Family()
    monkeypatch.setenv(MARK, made.mark)
    yield made
    for pid in made.pids():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def fork_server() -> None:
    start_fork_server()


def _shared_bytes_of(pid: int | str) -> int:
    """Memory that a process has of files in memory, such as a guest's."""
    try:
        return _bytes_in(Path(f"/proc/{pid}/status"), "RssShmem")
    except OSError:  # it has ended
        return 0


def _shared_bytes() -> int:
    """Memory of the host in files in memory. What is available altogether depends on too much else."""
    return _bytes_in(Path("/proc/meminfo"), "Shmem")


def _ownerless_bytes() -> int:
    """What of it no process has mapped."""
    return _shared_bytes() - sum(_shared_bytes_of(process.name) for process in Path("/proc").glob("[0-9]*"))


def _bytes_in(table: Path, field: str) -> int:
    return 1024 * sum(int(line.split()[1]) for line in table.read_text().splitlines() if line.startswith(f"{field}:"))


def step_to_the_end(backend: KvmBackend) -> None:
    while not backend.step(free_command(backend.facts), np.full(1, DEADLINE_S)).done[0]:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_source_that_is_told_to_end_takes_everything_with_it(
    number: signal.Signals, family: Family, attempt: int
) -> None:
    with closing(KvmBackend()) as backend:
        backend.start([LONG], [attempt])
        family.await_migrating()
        pids = family.pids()
        assert len(pids) == 2
        killing = threading.Timer(0.2, os.kill, (family.source(), number))
        killing.start()
        with pytest.raises(MigrationFailedError, match=GONE):
            step_to_the_end(backend)
        killing.join()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "both are gone", ENDS_WITHIN_S)
    family.require_gone()


@pytest.mark.slow
def test_a_source_that_is_told_to_end_in_the_midst_of_a_survey_takes_everything_with_it(family: Family) -> None:
    """It has no time to answer: whatever it is doing, it is gone within two seconds."""

    def end_source() -> None:
        wait_until(lambda: bool(family.pids("dqgym.backends.kvm.migration.source")), "the source starts")
        time.sleep(2.0)  # by then it surveys
        os.kill(family.source(), signal.SIGTERM)

    killing = threading.Thread(target=end_source, daemon=True)
    with closing(KvmBackend()) as backend:
        killing.start()
        began_s = time.monotonic()
        with pytest.raises(MigrationFailedError, match=GONE):
            backend.start([LONG], [0], ControlInterval(30.0))
        assert time.monotonic() - began_s < 15.0
    killing.join()
    family.require_gone()


@pytest.mark.slow
def test_a_destination_that_is_told_to_end_leaves_the_guest_where_it_is(family: Family) -> None:
    with closing(KvmBackend()) as backend:
        backend.start([LONG], [0])
        family.await_migrating()
        (destination,) = family.pids("dqgym.backends.kvm.migration.destination")
        os.kill(destination, signal.SIGTERM)
        step_to_the_end(backend)
        with pytest.raises(MigrationFailedError, match=r"the migration failed: .*connection"):
            backend.outcomes()
        assert backend.final is not None
        assert backend.final.stores > 0
        assert family.pids() == []


def _migrate(mark: str, destination: tuple[str, int] | None) -> None:
    os.environ[MARK] = mark
    with closing(KvmBackend(destination=destination)) as backend:
        backend.start([LONG], [0])
        step_to_the_end(backend)


@contextmanager
def migrating_process(family: Family, destination: tuple[str, int] | None = None) -> Iterator[None]:
    """A process with a backend, which is killed."""
    process = CONTEXT.Process(target=_migrate, args=(family.mark, destination), daemon=False)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


@pytest.mark.slow
def test_nothing_outlives_a_backend_whose_process_is_killed(family: Family, fork_server: None, attempt: int) -> None:
    with migrating_process(family):
        family.await_migrating()
        assert len(family.pids()) == 2
    family.require_gone()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "line"), [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "terminated\n")]
)
def test_a_signal_ends_the_command_with_one_line_and_leaves_nothing_behind(
    number: signal.Signals, code: int, line: str, family: Family, tmp_path: Path, attempt: int
) -> None:
    save_scenario(LONG, tmp_path / "long.yaml")
    command = [
        sys.executable,
        "-m",
        "experiments.cli.entry",
        "migrate",
        str(tmp_path / "long.yaml"),
        "--throttle",
        "none",
    ]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    try:
        if attempt % 2:
            wait_until(lambda: bool(family.pids("dqgym.backends.kvm.migration.source")), "the source starts")
        else:
            family.await_migrating()
        os.killpg(running.pid, number)
        shown, said = running.communicate(timeout=DEADLINE_S)
    finally:
        running.kill()
        running.wait()
    assert (running.returncode, shown, said) == (code, "", line)
    family.require_gone()


# --- destinations that fail at the worst moments ---------------------------------------------------------------------


def die_when_told_to_run() -> None:
    destination_module.Machine.start = lambda *_: os.kill(os.getpid(), signal.SIGKILL)


def prove_late() -> None:
    destination_module.RUN_ON_S = DEADLINE_S


@pytest.fixture
def with_destination(fork_server: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Destination]]:
    """Gives the next backend a destination that something is done to first."""
    made: list[Destination] = []

    def make(before: Callable[[], None]) -> Destination:
        made.append(destination := Destination(before))

        def start(processes: backend_module._Processes) -> tuple[str, int]:
            processes.destination_process = destination.descriptor
            return destination.address

        monkeypatch.setattr(backend_module._Processes, "_start_destination", start)
        return destination

    yield make
    for destination in made:
        destination.close()


@pytest.mark.slow
def test_a_guest_that_moved_to_a_destination_that_dies_is_an_error(
    with_destination: Callable[..., Destination], family: Family
) -> None:
    destination = with_destination(prove_late)
    with closing(KvmBackend()) as backend:
        backend.start([FAST], [0])
        step_to_the_end(backend)
        destination.kill()
        with pytest.raises(MigrationFailedError, match="the guest moved, but the destination has not proven it"):
            backend.outcomes()
    wait_until(lambda: not family.pids(), "the source has ended", ENDS_WITHIN_S)


@pytest.mark.slow
def test_a_guest_whose_fate_is_unknown_is_an_error(
    with_destination: Callable[..., Destination], family: Family
) -> None:
    destination = with_destination(die_when_told_to_run)
    with closing(KvmBackend(destination=destination.address)) as backend:
        backend.start([FAST], [0])
        step_to_the_end(backend)
        with pytest.raises(MigrationFailedError, match="handed over, but the destination never answered"):
            backend.outcomes()
    assert family.pids() == []


@pytest.mark.slow
def test_a_source_that_waits_for_a_proof_ends_soon_when_told_to(
    with_destination: Callable[..., Destination], family: Family
) -> None:
    with_destination(prove_late)
    with closing(KvmBackend()) as backend:
        backend.start([FAST], [0])
        step_to_the_end(backend)
        told = threading.Timer(0.2, os.kill, (family.source(), signal.SIGTERM))
        began_s = time.monotonic()
        told.start()
        with pytest.raises(MigrationFailedError, match=GONE):
            backend.outcomes()
    assert time.monotonic() - began_s < ENDS_WITHIN_S
    assert family.pids() == []


@pytest.mark.slow
def test_a_source_that_waits_for_a_silent_destination_ends_soon_when_nobody_wants_it(
    family: Family, fork_server: None
) -> None:
    with listen("127.0.0.1", 0) as silent:
        silent.settimeout(DEADLINE_S)
        with migrating_process(family, silent.getsockname()):
            connection, _ = silent.accept()
        with connection:
            wait_until(lambda: not family.pids(), "the source has ended", ENDS_WITHIN_S)
