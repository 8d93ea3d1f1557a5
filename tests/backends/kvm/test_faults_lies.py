"""What a destination does with greetings that cannot be used, and with a peer that greets well and then lies.

``receive_migration`` returns with a reason and leaves nothing behind. Most of this runs on a simulated kernel, so that
it runs everywhere.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from dqgym.backends.kvm.machine import guest
from dqgym.backends.kvm.machine import machine as machine_module
from dqgym.backends.kvm.machine.api import PAGE_BYTES, Kernel
from dqgym.backends.kvm.machine.machine import Machine
from dqgym.backends.kvm.machine.vm import new_memory
from dqgym.backends.kvm.migration import destination as destination_module
from dqgym.backends.kvm.migration.destination import Received
from dqgym.backends.kvm.migration.frames import (
    Channel,
    FrameType,
    decode_json,
    encode_document,
    encode_json,
    encode_pages,
    new_session,
)
from dqgym.scenario import Bursty, DeviceWrites, Scenario, VcpuGroup
from dqgym.units import MIB
from tests.backends.kvm.receiving import (
    HELLO,
    SMALL,
    Outcome,
    Peer,
    frame,
    hello_of,
    nothing_outlives,
    quick_collections,
    received,
    require_refused,
    small,
)
from tests.backends.kvm.simulated_kernel import SimulatedKernel


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with quick_collections():
        yield


@pytest.fixture(autouse=True)
def nothing_is_left(quick: None) -> Iterator[None]:
    with nothing_outlives():
        yield


@pytest.fixture
def kernel() -> Iterator[SimulatedKernel]:
    made = SimulatedKernel()
    yield made
    assert made.open_descriptors == {}


# --- greetings -------------------------------------------------------------------------------------------------------


def _hello(changed: dict[str, Any] | None = None, **others: Any) -> bytes:
    document = hello_of()
    for path, value in (changed or {}).items():
        *parents, name = path.split(".")
        inner = document["scenario"]
        for parent in parents:
            inner = inner[parent]
        inner[name] = value
    return frame(FrameType.HELLO, encode_json(document | others))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (_hello({"vm.memory": "2 GiB"}), "vm.memory: 2 GiB must be whole pages of 4 KiB, at most 1 GiB"),
        (_hello({"vm.memory": "2050 KiB"}), "vm.memory: 2050 KiB must be whole pages"),
        (_hello({"vm.memory": "1000 GiB"}), "vm.memory: 1000 GiB must be"),
        (_hello({"vm.memory": 2**21}), "must be text with a unit"),
        (_hello({"vm.dirty_granule": "64 KiB"}), "vm.dirty_granule: 64 KiB must be 4 KiB"),
        (_hello({"vm.colour": "red"}), "unknown key 'colour'"),
        (_hello({"workload": []}), "at least 1 item"),
        (_hello({"workload": [{"vcpus": 17, "pattern": "idle"}]}), "17 vCPUs; allowed: 1 to 16"),
        (_hello({"workload": [{"vcpus": 10**9, "pattern": "idle"}]}), "less than or equal to 64"),
        (_hello({"workload": {"vcpus": 1}}), "valid tuple"),
        (_hello({"dirty_log.ring_entries": 300}), "300 must be a power of two"),
        (_hello({"name": "\x1b[2J"}), "should match pattern"),
        (_hello(scenario=None), "the scenario cannot be used"),
        (_hello(scenario=[1, 2]), "the scenario cannot be used"),
        (_hello(scenario="cover-letter"), "the scenario cannot be used"),
        *((_hello(seed=seed), "seed") for seed in (-1, 2**64, True, 1.5, "0", None, [])),
        (frame(FrameType.HELLO, b"{}"), "seed None"),
        (frame(FrameType.HELLO, b"[]"), "not an object"),
        (frame(FrameType.HELLO, b""), "JSON cannot be used"),
        (frame(FrameType.HELLO, b'{"seed": NaN}'), "not finite"),
        (frame(FrameType.HELLO, b'{"seed": ' + b"9" * 5000 + b"}"), "JSON cannot be used"),
        (frame(FrameType.HELLO, b"[" * 10**6), "JSON cannot be used"),
        (frame(FrameType.HELLO, b'{"a":' * 20 + b"1" + b"}" * 20), "more than 16 levels"),
        (frame(FrameType.HELLO, b'{"a": "\xff"}'), "JSON cannot be used"),
        (frame(FrameType.HELLO, b'{"a": "\\ud800"}'), "JSON cannot be used"),
    ],
)
def test_a_greeting_that_cannot_be_used_is_refused_with_a_reason(
    sent: bytes, reason: str, kernel: SimulatedKernel
) -> None:
    require_refused(received(kernel, sent), reason)
    assert kernel.asked_for == []


@pytest.mark.slow
def test_a_destination_without_kvm_says_so() -> None:
    require_refused(received(SimulatedKernel(open_errno=2), HELLO), "No such file or directory")


# --- a peer that greets well, and then lies --------------------------------------------------------------------------


class Liar:
    """A source that knows the nonce, and whose guest is what it says it is."""

    def __init__(self, kernel: Any, scenario: Scenario = SMALL) -> None:
        self._peer = Peer(kernel)
        self._channel = Channel(self._peer.connection, new_session())
        self._channel.send(FrameType.HELLO, encode_json(hello_of(scenario)))
        self._nonce = decode_json(self._channel.receive(5.0, (FrameType.ACCEPT,)).payload)["nonce"]

    def say(self, type: FrameType, *parts: Any, answer: FrameType | None = None) -> None:
        self._channel.send(type, *parts)
        if answer is not None:
            self._channel.receive(5.0, (answer,))

    def tell_state(self, state: dict[str, Any], platform: bytes, answer: FrameType | None = None) -> None:
        self.say(FrameType.STATE, *encode_document(state | {"nonce": self._nonce}, platform), answer=answer)

    def outcome(self, hang_up: bool = False) -> Outcome:
        return self._peer.outcome(hang_up)


def saved_state(scenario: Scenario, kernel: Any, run_s: float = 0.05) -> tuple[dict[str, Any], bytes]:
    """What a source would send of a guest that has run for a moment, or is about to begin."""
    descriptor, memory = new_memory(scenario.vm.memory_bytes)
    os.close(descriptor)
    with closing(Machine(kernel, scenario, 0, memory)) as machine:
        if run_s:
            machine.start()
            time.sleep(run_s)
        machine.pause()
        return machine.save()


def _with(state: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The state with one field changed; ``DELETED`` for none."""
    *parents, name = path.split(".")
    inner: Any = state
    for parent in parents:
        inner = inner[int(parent) if parent.isdecimal() else parent]
    inner[name] = value
    return state


ANOTHER = VcpuGroup(vcpus=2, pattern="idle")
BURSTY = small(
    VcpuGroup(
        vcpus=1,
        pattern="uniform",
        working_set_bytes=MIB,
        write_rate_bytes_per_s=2.0 * MIB,
        schedule=Bursty(period_s=0.02, duty=0.5),
    )
)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("vcpus", [], "vcpus: must be a list of 1 objects"),
        ("vcpus", [1], "vcpus: must be a list of 1 objects"),
        ("vcpus", None, "vcpus: must be a list of 1 objects"),
        ("vcpus.0.in_batch", 1, "vcpus[0].in_batch: 1 must be true or false"),
        ("vcpus.0.registers", "00", "vcpus[0].registers: must be 144 bytes"),
        ("vcpus.0.registers", "x" * 288, "vcpus[0].registers: must be 144 bytes"),
        ("vcpus.0.system_registers", None, "vcpus[0].system_registers: must be 312 bytes"),
        ("vcpus.0.trace", None, "trace state"),
        ("vcpus.0.trace.taken", -1, "trace state: taken"),
        ("vcpus.0.trace.due", 1e300, "trace state: due"),
        ("vcpus.0.trace.position", 10**6, "trace state: position"),
        ("vcpus.0.trace.pages_random", "x", "trace state: pages_random"),
        ("workload_time_s", None, "workload_time_s: None"),
        ("workload_time_s", "0", "workload_time_s: '0'"),
        ("workload_time_s", True, "workload_time_s: True"),
        ("workload_time_s", 10**400, "workload_time_s: 1000"),
        ("workload_time_s", 1e300, "workload_time_s: 1e+300"),
        ("workload_time_s", -1e300, "workload_time_s: -1e+300"),
        ("workload_time_s", 1e9, "workload_time_s: 1000000000.0"),
    ],
)
def test_a_state_that_is_not_one_of_this_machine_is_refused(
    path: str, value: object, reason: str, kernel: SimulatedKernel
) -> None:
    state, platform = saved_state(BURSTY, SimulatedKernel())
    liar = Liar(kernel, BURSTY)
    liar.tell_state(_with(state, path, value), platform)
    require_refused(liar.outcome(), reason)


def test_the_state_of_another_machine_is_refused(kernel: SimulatedKernel) -> None:
    liar = Liar(kernel)
    liar.tell_state(*saved_state(small(ANOTHER), SimulatedKernel()))
    require_refused(liar.outcome(), "platform: 40960 bytes, must be 32768")


def test_pages_after_the_state_are_refused(kernel: SimulatedKernel) -> None:
    liar = Liar(kernel)
    liar.tell_state(*saved_state(SMALL, SimulatedKernel()), answer=FrameType.READY)
    liar.say(FrameType.PAGES, *encode_pages(np.zeros(1, dtype=np.uint32), np.zeros((1, PAGE_BYTES), dtype=np.uint8)))
    require_refused(liar.outcome(), "has type 2; RESUME or CANCEL is allowed")


def test_a_schedule_that_turns_faster_than_a_vcpu_is_served_is_refused(kernel: SimulatedKernel) -> None:
    sent = _hello({"workload": [{"vcpus": 1, "pattern": "idle", "schedule": _schedule("1e-9 s")}]})
    require_refused(received(kernel, sent), "workload.schedule.period: 1e-09 s must be at least 0.01 s")


def _schedule(period: str) -> dict[str, Any]:
    return {"kind": "bursty", "period": period, "duty": 0.5}


def test_devices_that_want_to_write_everything_at_once_are_held_to_what_a_host_can_do(
    kernel: SimulatedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_module, "RUN_ON_S", 0.1)
    scenario = small().model_copy(
        update={"device": DeviceWrites(rate_bytes_per_s=1e15, working_set_bytes=256 * PAGE_BYTES)}
    )
    liar = Liar(kernel, scenario)
    liar.tell_state(*saved_state(scenario, SimulatedKernel()), answer=FrameType.READY)
    liar.say(FrameType.RESUME, answer=FrameType.RESUMED)
    liar.say(FrameType.VERIFY, b"{}", answer=FrameType.PROOF)
    got, _ = liar.outcome(hang_up=True)
    assert got == Received("small", resumed=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("eb fe", "vCPU 0 does not leave the guest"),  # jmp to itself
        ("0f 0b", "the guest failed: vCPU 0 left the guest with exit reason"),  # ud2, and nobody handles it
        ("e6 10 eb fe", "vCPU 0 does not leave the guest"),  # out, jmp
        ("48 8b 04 25 00 00 00 80", "the guest failed"),  # a load from where nothing is
    ],
)
def test_a_guest_that_runs_wild_is_ended(
    code: str, reason: str, real_kvm: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_module, "PARK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(destination_module, "RUN_ON_S", 0.05)
    state, platform = saved_state(SMALL, real_kvm, run_s=0.0)
    liar = Liar(real_kvm)
    liar.tell_state(
        state, platform.replace(guest.CODE, bytes.fromhex(code).ljust(len(guest.CODE), b"\xcc")), FrameType.READY
    )
    liar.say(FrameType.RESUME, answer=FrameType.RESUMED)
    liar.say(FrameType.VERIFY, b"{}")
    got, replies = liar.outcome()
    assert reason in got.reason
    assert replies[-1] == (FrameType.ERROR, {"reason": got.reason})
