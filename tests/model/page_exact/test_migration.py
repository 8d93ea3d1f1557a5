"""The page-exact reference on migrations that can be worked out by hand: sender, dirty log, waits, outcomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dqgym.backends.reference import ReferenceBackend
from dqgym.model.page_exact.state import PENDING
from dqgym.scenario import Recorded
from dqgym.telemetry.telemetry import VmField
from tests.model.guests import NO_LINK, PAGE, Run, guest, link, writer
from tests.model.migrations import NO_COSTS, READERS

WINDOW_S = NO_COSTS.window_s


# --- the sender ------------------------------------------------------------------------------------------------------


def test_a_guest_that_writes_nothing_is_sent_once():
    outcomes = Run(guest()).to_its_end()
    assert outcomes.converged[0]
    assert outcomes.total_time_s[0] == pytest.approx(10.0, abs=0.02)
    assert outcomes.bytes_sent[0] == 1000 * PAGE
    assert outcomes.rounds[0] == 1


def test_completion_is_looked_for_at_the_start_of_a_window():
    """At 9.68 s 32 pages are left and would fit into 0.32 s; the next window begins at 9.7 s."""
    run = Run(guest(downtime_s=0.32))
    outcomes = run.to_its_end()
    assert run.vm(VmField.SYNC_TIME_S) == pytest.approx(9.7, abs=1e-6)
    assert outcomes.downtime_s[0] == pytest.approx(0.3, abs=0.011)


def test_nothing_completes_in_the_first_window():
    run = Run(guest(pages=20, downtime_s=10.0))
    outcomes = run.to_its_end()
    assert run.vm(VmField.SYNC_TIME_S) == pytest.approx(WINDOW_S)
    assert outcomes.downtime_s[0] == pytest.approx(0.1, abs=0.011)


def test_with_a_line_speed_the_budget_leaves_at_the_beginning_of_the_window():
    run = Run(guest(link=link(100.0, line_pages_per_s=1000.0)))
    for sent in (5, 10, 10, 10):
        run.step(0.005 if sent == 5 else 0.025)
        assert run.pages(VmField.SENT_BYTES) == pytest.approx(sent, abs=1)
    run.step(0.1)
    assert run.pages(VmField.SENT_BYTES) == pytest.approx(20, abs=1)


def test_without_a_line_speed_the_budget_is_spread_over_the_window():
    run = Run(guest())
    for sent in range(1, 21):
        run.step(0.01)
        assert run.pages(VmField.SENT_BYTES) == pytest.approx(sent, abs=1)


def test_the_last_stage_goes_at_line_speed():
    outcomes = Run(guest(link=link(100.0, line_pages_per_s=1000.0))).to_its_end()
    assert outcomes.downtime_s[0] == pytest.approx(0.03, abs=1e-6)
    assert outcomes.total_time_s[0] == pytest.approx(9.7 + 0.03, abs=1e-6)


def test_the_sender_goes_on_where_it_was_before_the_sync():
    """Contiguous: after 500 pages the guest has written the first 100. A sync later the sender goes on at page 500."""
    early = Recorded(times_s=(0.0, 0.1), rate_factors=(1.0, 0.0))
    run = Run(guest(writer("sequential", 100, 1000.0, schedule=early), log="software"))
    run.step(5.0)
    run.step(4.0, sync=True)
    assert run.pages(VmField.SYNCED_DIRTY_BYTES) == pytest.approx(90, abs=20)
    state = run.backend._migrations[0]
    pending = state.pages & PENDING
    assert pending[500:890].sum() == 0  # sent
    assert pending[:100].sum() > 80  # still to send


def test_a_migration_that_never_converges_ends_at_its_deadline():
    outcomes = Run(guest(writer("uniform", 900, 5000.0))).to_its_end()
    assert not outcomes.converged[0]
    assert outcomes.total_time_s[0] == pytest.approx(100.0)
    assert outcomes.bytes_sent[0] == pytest.approx(10_000 * PAGE, rel=1e-3)
    assert np.isnan(outcomes.downtime_s[0])


# --- the dirty log ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("log", "dirtied"), [("bitmap", 0), ("ring", 300), ("software", 300)])
def test_a_page_that_waits_is_dirtied_only_where_the_log_is_cleared_at_the_sync(log, dirtied):
    run = Run(guest(writer("sequential", 300, 1000.0), log=log, link=NO_LINK))
    run.step(10.0)
    assert run.dirtied()[0] == dirtied


def test_a_sync_finds_dirty_pages_that_do_not_wait_anyway():
    """Half of the memory is sent, all of it is dirty: the sync finds that half."""
    run = Run(guest(writer("sequential", 1000, 1e5), log="software"))
    run.step(5.0)
    assert run.dirtied()[0] == 1000
    run.step(0.001, cap=0.0, sync=True)
    assert run.pages(VmField.SYNCED_DIRTY_BYTES) == pytest.approx(500, abs=1)
    assert run.pages(VmField.REMAINING_BYTES) == pytest.approx(1000, abs=1)


@pytest.mark.parametrize(("log", "again"), [("bitmap", 0), ("software", 1000)])
def test_a_page_written_before_it_is_sent_is_sent_twice_where_the_log_is_cleared_at_the_sync(log, again):
    early = Recorded(times_s=(0.0, 0.05), rate_factors=(1.0, 0.0))
    outcomes = Run(guest(writer("sequential", 1000, 1e6, schedule=early), log=log)).to_its_end()
    assert outcomes.bytes_sent[0] / PAGE == pytest.approx(1000 + again, rel=0.04)


def test_a_writer_that_follows_the_sender_dirties_every_page_and_scattered_pages_half_as_many():
    """At half the bandwidth it never catches up; scattered pages wait for a time that is uniform in 0 .. T0."""
    dirtied = {}
    for layout in ("contiguous", "scattered"):
        run = Run(guest(writer("sequential", 20_000, 1000.0), pages=20_000, link=link(2000.0)), layout=layout)
        run.step(9.0)
        dirtied[layout] = run.dirtied()[0]
    assert dirtied["contiguous"] == pytest.approx(9000, abs=5)
    assert dirtied["scattered"] == pytest.approx(9000 * 0.45, rel=0.03)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match=r"unknown layout 'scatterd' \(did you mean 'scattered'\?\)"):
        ReferenceBackend(layout="scatterd")


# --- syncs that wait -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("log", "waits"), [("bitmap", False), ("ring", True), ("software", True)])
def test_a_sync_waits_for_vcpus_that_a_cap_keeps_asleep_but_not_with_a_bitmap(log, waits):
    """Cycles of 1 s: asleep until 0.99 s. The sync is requested at 0.25 s."""
    run = Run(guest(READERS, log=log))
    run.step(0.25, cap=0.01)
    run.step(1.0, cap=0.01, sync=True)
    assert run.vm(VmField.SYNCS) == 2
    assert run.vm(VmField.SYNC_TIME_S) == pytest.approx(0.99 if waits else 0.25, abs=1e-6)


def test_nothing_is_sent_and_running_vcpus_write_while_a_sync_waits():
    run = Run(guest(writer("sequential", 900, 100.0), READERS, log="software"))
    caps = np.array([[1.0, 0.01, 1.0, 1.0]], dtype=np.float32)
    half = np.array([0.5])
    run.backend.step(replace(run.command(), run_share_cap=caps), half)
    run.at = run.backend.step(replace(run.command(sync=True), run_share_cap=caps), half / 2)
    assert run.pages(VmField.SENT_BYTES) == pytest.approx(50, abs=1)
    assert run.vm(VmField.SYNCS) == 1
    assert run.dirtied()[0] == pytest.approx(25, abs=1)


def test_nobody_waits_for_a_vcpu_that_is_stopped():
    run = Run(guest(READERS, log="software"))
    run.step(0.25, cap=0.0)
    run.step(0.25, cap=0.0, sync=True)
    assert run.vm(VmField.SYNC_TIME_S) == pytest.approx(0.25)


def test_every_sync_waits_for_vcpus_that_sleep_for_their_ring():
    run = Run(guest(writer("sequential", 20_000, 10_240.0), pages=30_000, log="bitmap", link=NO_LINK))
    for vcpu in run.backend._migrations[0].vcpus:
        vcpu["asleep_until_s"] = 0.7
    run.step(1.0, sync=True)
    assert run.vm(VmField.SYNC_TIME_S) == pytest.approx(0.7)


@pytest.mark.parametrize(("line", "made_up"), [(None, 0), (10_000.0, 10)])
def test_the_budget_of_a_window_is_made_up_for_after_a_longer_wait_where_the_line_is_fast(line, made_up):
    """The sync of the round's end begins at 9.7 s and waits until 9.99 s; B is 100 pages/s, a window 10 pages."""
    loop = writer("sequential", 500, 2000.0)
    run = Run(guest(loop, log="software", link=link(100.0, line)))
    run.step(9.0, cap=1.0)
    run.step(0.99, cap=0.01)
    assert run.vm(VmField.SYNC_TIME_S) == 0.0
    sent = run.pages(VmField.SENT_BYTES)
    run.step(0.1, cap=0.01)
    assert run.vm(VmField.SYNC_TIME_S) == pytest.approx(9.99, abs=1e-6)
    assert run.pages(VmField.SENT_BYTES) - sent == pytest.approx(10 + made_up, abs=1.5)


# --- as a backend ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_migration_and_another_one_another():
    case = guest(writer("uniform", 500, 60.0), writer("hot-cold", 300, 30.0, zipf_skew=1.2))
    first, again, other = (Run(case, seed=seed).to_its_end() for seed in (3, 3, 4))
    assert first.total_time_s[0] == again.total_time_s[0]
    assert first.bytes_sent[0] == again.bytes_sent[0]
    assert first.total_time_s[0] != other.total_time_s[0]


def test_stall_and_runtime_are_those_of_the_run_time():
    outcomes = Run(guest(READERS, pages=3000)).to_its_end(interval_s=0.4, cap=0.25)
    running_s = outcomes.total_time_s[0] - outcomes.downtime_s[0]
    assert outcomes.guest_runtime[0] == pytest.approx(0.25 * running_s / outcomes.total_time_s[0], rel=1e-2)
    assert outcomes.stall_s[0] == pytest.approx(np.log(4.0) * running_s, rel=1e-2)
    assert outcomes.max_throttle_percent[0] == pytest.approx(75.0)


def test_a_guest_that_is_stopped_is_down_all_the_time():
    outcomes = Run(guest(writer("uniform", 500, 500.0))).to_its_end(cap=0.0)
    assert outcomes.downtime_s[0] == pytest.approx(10.0, abs=0.02)
    assert outcomes.guest_runtime[0] == 0.0


def test_seeds_must_be_as_many_as_scenarios():
    with pytest.raises(ValueError, match="2 scenarios need as many seeds, not 1"):
        ReferenceBackend().start([guest(), guest()], [0])
