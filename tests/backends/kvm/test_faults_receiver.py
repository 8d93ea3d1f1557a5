"""What a destination does with garbage, with truncated, flipped and replayed frames, and with those out of place.

``receive_migration`` returns with a reason and leaves nothing behind. Most of this runs on a simulated kernel, so that
it runs everywhere. How often what is random is tried: ``--kvm-repeats``.
"""

import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.migration import destination as destination_module
from dqgym.backends.kvm.migration import frames
from dqgym.backends.kvm.migration.frames import (
    LIMIT_BYTES,
    FrameType,
    encode_document,
    encode_pages,
)
from dqgym.backends.kvm.migration.proof import require_exactly_once
from dqgym.backends.kvm.migration.sender import Ending, Report
from tests.backends.kvm.receiving import (
    HELLO,
    PAGES,
    SMALL,
    Wire,
    frame,
    frames_of,
    joined,
    migrate_over,
    nothing_outlives,
    quick_collections,
    received,
    require_refused,
)
from tests.backends.kvm.simulated_kernel import SimulatedKernel

TRIES = 30
"""Random cases in one attempt."""


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with quick_collections():
        yield


@pytest.fixture(autouse=True)
def nothing_is_left(session: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(frames, "LEAST_STALL_S", 0.2)
    with nothing_outlives():
        yield


@pytest.fixture
def kernel() -> Iterator[SimulatedKernel]:
    made = SimulatedKernel()
    yield made
    assert made.open_descriptors == {}


@pytest.fixture(scope="module")
def session(quick: None) -> bytes:
    """What a source sent in a migration that was proven right."""
    wire = Wire()
    report, got, machine = migrate_over(wire, SimulatedKernel(), 0)
    machine.close()
    assert isinstance(report, Report)
    assert report.ending is Ending.CONVERGED
    assert report.proof is not None
    assert got.resumed
    return bytes(wire.recorded)


# --- bytes that no source would send ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_garbage_is_refused(kernel: SimulatedKernel, attempt: int) -> None:
    rng = random.Random(attempt)
    for _ in range(TRIES):
        garbage = rng.randbytes(rng.randrange(5000))
        got, replies = received(kernel, rng.choice((b"", frames.MAGIC)) + garbage, hang_up=True)
        assert got.reason
        assert not got.scenario
        assert replies == []  # it does not even know the session


@pytest.mark.slow
def test_garbage_after_a_greeting_is_refused(kernel: SimulatedKernel, attempt: int) -> None:
    rng = random.Random(attempt)
    for _ in range(TRIES):
        require_refused(received(kernel, HELLO + rng.randbytes(rng.randrange(32, 5000))), "a frame begins with")


@pytest.mark.slow
def test_a_session_that_ends_anywhere_is_given_up(kernel: SimulatedKernel, session: bytes, attempt: int) -> None:
    rng = random.Random(attempt)
    ends = [end + shift for _, _, end in frames_of(session)[:3] for shift in (-1, 0, 1, 16, 31, 32)]
    ends += [rng.randrange(len(session)) for _ in range(TRIES)]
    for end in ends:
        got, _ = received(kernel, session[:end], hang_up=True)
        assert not got.resumed
        assert "closed the connection" in got.reason or "nonce" in got.reason


@pytest.mark.parametrize("beyond", [-7, 0, 7])
def test_a_session_that_falls_silent_is_given_up(
    beyond: int, kernel: SimulatedKernel, session: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_module, "PAGES_TIMEOUT_S", 0.2)
    _, _, end = frames_of(session)[2]
    require_refused(received(kernel, session[: end + beyond]), "nothing for" if beyond == 0 else "stalled")


@pytest.mark.slow
def test_one_flipped_bit_anywhere_is_found(kernel: SimulatedKernel, session: bytes, attempt: int) -> None:
    rng = random.Random(attempt)
    found = frames_of(session)
    (state,) = [each for each in found if each[0] == FrameType.STATE]
    for number, begin, end in [*rng.sample(found[: found.index(state)], TRIES // 2), found[0], state]:
        for at in (rng.randrange(begin, begin + 32), rng.randrange(begin, end)):
            flipped = bytearray(session)
            flipped[at] ^= 1 << rng.randrange(8)
            got, _ = received(kernel, bytes(flipped), hang_up=True)
            assert not got.resumed
            # A flip in the session's number shows in the frame after the first.
            assert "nonce" not in got.reason, (FrameType(number).name, at - begin)


def test_a_guest_whose_migration_meets_a_flipped_bit_runs_on_at_the_source(attempt: int) -> None:
    rng = random.Random(attempt)
    for _ in range(3):
        wire = Wire(flipped_bit=rng.randrange(8 * SMALL.vm.memory_bytes))
        report, got, machine = migrate_over(wire, SimulatedKernel(), attempt)
        with closing(machine):
            assert not got.resumed
            assert got.reason
            if isinstance(report, Report):
                assert report.ending is Ending.FAILED
                assert report.reason
            require_exactly_once(machine.counters, machine.issued)
            assert machine.counters.sum() > 0


@pytest.mark.parametrize("real", [False, True], ids=["simulated", "real"])
def test_a_recorded_session_does_not_run_a_second_time(
    real: bool, session: bytes, request: pytest.FixtureRequest, attempt: int
) -> None:
    kernel = request.getfixturevalue("real_kvm" if real else "kernel")
    require_refused(received(kernel, session), "STATE does not repeat the nonce of this connection")


# --- frames that do not belong there ---------------------------------------------------------------------------------


def pages_frame(*numbers: int, **others: Any) -> bytes:
    listed = np.array(numbers, dtype=np.uint32)
    payload = joined(encode_pages(listed, np.zeros((len(numbers), PAGE_BYTES), dtype=np.uint8)))
    return frame(FrameType.PAGES, payload, sequence=1, **others)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (pages_frame(PAGES), f"page {PAGES}; the guest has pages 0 .. {PAGES - 1}"),
        (pages_frame(2**32 - 1), "page 4294967295"),
        (pages_frame(3, 4, 3), "page 3 twice"),
        (frame(FrameType.PAGES, b"\xff" * 5000, sequence=1), "says 4294967295 pages"),
        (frame(FrameType.PAGES, b"", sequence=1), "says 0 pages and has 0 bytes"),
        (pages_frame(1, session=2), "is of session"),
        (frame(FrameType.PAGES, sequence=2), "sequence number 2; 1 comes next"),
        (HELLO, "sequence number 0; 1 comes next"),
        (frame(FrameType.HELLO, sequence=1), "has type 1"),
        (frame(FrameType.RESUME, sequence=1), "has type 4"),
        (frame(FrameType.VERIFY, b"{}", sequence=1), "has type 6"),
        (frame(FrameType.READY, sequence=1), "has type 17"),
        (frame(99, sequence=1), "has type 99"),
        (frame(FrameType.PAGES, sequence=1, version=2), "protocol version 2"),
        (frame(FrameType.PAGES, sequence=1, length=2**32 - 1), "PAGES has 4294967295 bytes; at most"),
        (frame(FrameType.STATE, sequence=1, length=LIMIT_BYTES[FrameType.STATE] + 1), "STATE has 16777217 bytes"),
        (frame(FrameType.CANCEL, sequence=1, length=1), "CANCEL has 1 bytes; at most 0"),
        (frame(FrameType.STATE, b"\x00", sequence=1), "a document has 1 bytes"),
        (frame(FrameType.STATE, b"\xff\xff\xff\x7f{}", sequence=1), "its JSON ends at"),
        (frame(FrameType.STATE, joined(encode_document({})), sequence=1), "nonce"),
    ],
)
def test_a_frame_that_does_not_belong_there_is_refused(sent: bytes, reason: str, kernel: SimulatedKernel) -> None:
    require_refused(received(kernel, HELLO + sent), reason)


@pytest.mark.parametrize("type", [each for each in FrameType if each is not FrameType.HELLO])
def test_nobody_is_served_who_does_not_begin_with_a_greeting(type: FrameType, kernel: SimulatedKernel) -> None:
    got, replies = received(kernel, frame(type))
    assert f"has type {type}; HELLO is allowed" in got.reason
    assert replies == []
