"""The clear bitmap: the dirty log of a chunk of memory is cleared when its first page of the round is sent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.model.kernel.clear_chunks import COARSE, NO_MORE, next_clearing, uncleared
from dqgym.scenario import DirtyLog
from dqgym.telemetry.command import free_command
from dqgym.telemetry.telemetry import VcpuField, VmField
from tests.model.guests import PAGE, Run, guest, writer
from tests.model.migrations import NO_COSTS, migrate

MIB = 2**20
FEW = settings(max_examples=100, deadline=None, derandomize=True)
BACKENDS = pytest.mark.parametrize("make_backend", [ModelBackend, ReferenceBackend], ids=["kernel", "reference"])


def chunked(chunk_pages: int, pages: int = 1000, pattern: str = "sequential", rate: float = 100.0, **others):
    """A thousand pages, a hundred of which are sent each second, and a writer of all of them."""
    log = DirtyLog(clear_chunk_bytes=chunk_pages * PAGE)
    made = guest(writer(pattern, pages, rate, **others), pages=pages)
    return made.model_copy(update={"dirty_log": log})


def running_free(make_backend, case):
    """The migration begins, and goes on unthrottled for each number of seconds that the function is called with."""
    backend = make_backend(NO_COSTS, vcpu_slots=4)
    backend.start([case], [0])
    command = free_command(backend.facts)
    return lambda length_s: backend.step(command, np.array([length_s]))


@pytest.mark.parametrize(
    ("chunk_bytes", "memory_bytes", "share"),
    [(2**30, 2**29, 1.0), (2**30, 2**30, 1.0), (2**30, 2**32, 0.25), (2**20, 2**30, 2**-10), (4096, 2**30, 0.0)],
)
def test_of_a_memory_a_chunk_is_cleared_ahead(chunk_bytes, memory_bytes, share):
    assert DirtyLog(clear_chunk_bytes=chunk_bytes).cleared_ahead(memory_bytes, 4096) == share


@pytest.mark.parametrize("kind", ["ring", "software"])
def test_other_logs_are_cleared_at_the_sync_whatever_the_chunk(kind):
    assert DirtyLog(kind=kind, clear_chunk_bytes=4096).cleared_ahead(2**40, 4096) == 1.0


def test_qemu_s_chunk_is_the_default_and_a_chunk_is_a_page_at_least():
    assert DirtyLog().clear_chunk_bytes == 2**30
    with pytest.raises(ValueError, match="clear_chunk"):
        DirtyLog(clear_chunk_bytes=4095)


def test_stores_before_the_chunk_is_cleared_are_sent_clean_and_those_after_it_once_more():
    """The writer is 250 pages ahead of the sender, in step with it; a chunk of 500 pages is cleared before it comes."""
    dirtied = {}
    for chunk_pages in (1, 200, 500, 1000):
        run = Run(chunked(chunk_pages, position=0.25), layout="contiguous")
        run.step(7.0)
        dirtied[chunk_pages] = float(run.vcpus(VcpuField.DIRTIED_BYTES)[0]) / PAGE
    # Page by page none of the 700 stores counts: each goes to a page that waits. The writer has left a chunk of 200
    # when the sender begins it. In one of 500 it is half-way then. A chunk of all pages is cleared at the beginning.
    assert dirtied[1] == pytest.approx(0.0, abs=2)
    assert dirtied[200] == pytest.approx(0.0, abs=2)
    assert dirtied[500] == pytest.approx(450.0, abs=3)
    assert dirtied[1000] == pytest.approx(700.0, abs=2)


@BACKENDS
@pytest.mark.parametrize("chunk", [0.001, 0.25, 0.5, 1.0])
def test_larger_chunks_let_more_be_dirtied_in_a_round(make_backend, chunk):
    """A slow writer at random dirties most in the first round when all of the log is cleared at its beginning."""
    pages = 10_000
    case = chunked(round(chunk * pages), pages=pages, pattern="uniform", rate=10.0)
    after = running_free(make_backend, case)(90.0)
    dirtied = float(after.per_vcpu(VcpuField.DIRTIED_BYTES)[0, 0]) / PAGE
    sent = np.linspace(0.0, 0.9, 9001)
    ahead = np.ceil(sent / chunk) * chunk
    assert dirtied == pytest.approx(900 * np.minimum(ahead, 1.0).mean(), rel=0.12)


@FEW
@given(pages=st.integers(20, 400), share=st.floats(COARSE, 0.99), began=st.floats(0, 0.999), sent=st.floats(0, 1))
def test_chunks_are_cleared_one_after_another_from_where_the_round_began(pages, share, began, sent):
    """Against a list of pages: each chunk to which the sender has come is cleared whole, and no other is."""
    chunk_pages, first = max(round(share * pages), math.ceil(COARSE * pages)), int(began * pages)
    gone_through = min(int(sent * pages), pages - 1)
    come_to = {(first + k) % pages // chunk_pages for k in range(gone_through + 1)}
    cleared = {page for page in range(pages) if page // chunk_pages in come_to}
    chunk, start, at = chunk_pages / pages, first / pages, gone_through / pages
    assert uncleared(chunk, start, at, at) == pytest.approx(1.0 - len(cleared) / pages)
    rest = [(first + k) % pages for k in range(gone_through + 1, pages)]
    waiting = [k for k, page in enumerate(rest, gone_through + 1) if page not in cleared]
    assert next_clearing(chunk, start, at) == pytest.approx(waiting[0] / pages if waiting else NO_MORE)


@FEW
@given(chunk=st.floats(0.0, 0.99), began=st.floats(0.0, 0.999999), sent=st.floats(0.0, 1.0), more=st.floats(0.0, 1.0))
def test_what_is_not_cleared_is_part_of_what_waits_and_never_grows(chunk, began, sent, more):
    later = sent + more * (1.0 - sent)
    before, after = uncleared(chunk, began, sent, sent), uncleared(chunk, began, later, later)
    assert 0.0 <= after <= before + 1e-9
    assert before <= 1.0 - sent + 1e-5
    assert next_clearing(chunk, began, sent) > sent - 1e-5 or chunk < COARSE


@BACKENDS
@pytest.mark.parametrize("chunk", [0.22, 0.3, 0.456, 0.7])
def test_the_first_round_begins_with_the_first_chunk_and_the_second_near_the_end_of_the_last(make_backend, chunk):
    """So that what is found in a round depends on how chunks divide the memory, which a mean of chunks does not say."""
    pages = 10_000
    case = chunked(round(chunk * pages), pages=pages, pattern="uniform", rate=20.0)
    step = running_free(make_backend, case)
    for _ in range(99):
        step(1.0)
    counted = [min(math.ceil(sent / chunk) * chunk, 1.0) for sent in np.linspace(0.001, 0.99, 990)]
    dirty = pages * (1.0 - math.exp(-20.0 * 99.0 * np.mean(counted) / pages))
    after = step(2.0)
    assert after.per_vm(VmField.ROUND)[0] == 2
    assert float(after.per_vm(VmField.SYNCED_DIRTY_BYTES)[0]) / PAGE == pytest.approx(dirty, rel=0.06)


@BACKENDS
def test_a_chunk_of_all_memory_is_a_log_that_is_cleared_at_the_sync(make_backend):
    case = chunked(20_000, pages=20_000, pattern="uniform", rate=30.0, vcpus=1)
    whole = migrate(case, make_backend=make_backend).outcomes
    at_sync = migrate(
        case.model_copy(update={"dirty_log": DirtyLog(kind="software")}), make_backend=make_backend
    ).outcomes
    assert whole.total_time_s[0] == pytest.approx(at_sync.total_time_s[0], rel=5e-3)
    assert whole.bytes_sent[0] == pytest.approx(at_sync.bytes_sent[0], rel=5e-3)


@BACKENDS
def test_the_larger_the_chunk_the_longer_the_migration(make_backend):
    times_s = [
        migrate(
            chunked(chunk, pages=10_000, pattern="uniform", rate=60.0), make_backend=make_backend
        ).outcomes.total_time_s[0]
        for chunk in (1, 1000, 3000, 10_000)
    ]
    assert times_s == sorted(times_s)
    assert times_s[-1] > 1.05 * times_s[0]
