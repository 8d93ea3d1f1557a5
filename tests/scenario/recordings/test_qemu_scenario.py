"""Recorded runs as scenarios, and QEMU's rate limit against what the recordings show."""

from dataclasses import replace

import numpy as np
import pytest

from dqgym.scenario.limits import pass_times
from dqgym.scenario.recordings.qemu_runs import MIB, RecordedRun, RecordingError, read_qemu_runs
from dqgym.scenario.recordings.qemu_scenario import (
    LINE_SPEED_BYTES_PER_S,
    payload_bytes_per_s,
    recorded_scenario,
    window_pages,
)

RUNS = read_qemu_runs()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_a_window_sends_the_pages_that_the_rule_says(run: RecordedRun) -> None:
    sent = np.diff(run.timeline.sent_pages)
    pages, often = np.unique(sent[sent > 0], return_counts=True)
    assert pages[often.argmax()] == window_pages(run.bandwidth_bytes_per_s)


def test_a_window_ends_when_more_than_a_tenth_of_the_bandwidth_was_flushed() -> None:
    flush_bytes = 32 * 4104
    assert window_pages(10 * (flush_bytes - 1)) == 32
    assert window_pages(10 * flush_bytes) == 64, "as much as the budget is not more"
    assert window_pages(10 * flush_bytes + 10) == 64


@pytest.mark.parametrize("name", ["Q02", "Q04", "Q05", "Q06", "Q09", "D02"])
def test_the_payload_rate_is_the_one_of_the_recording(name: str) -> None:
    run = next(one for one in RUNS if one.id == name)
    line, active = run.timeline, run.timeline.downtime_bytes == 0
    sent, time_s = line.sent_pages[active], line.time_s[active]
    measured = 4096 * (sent[-1] - sent[5]) / (time_s[-1] - time_s[5])
    assert payload_bytes_per_s(run.bandwidth_bytes_per_s) == pytest.approx(measured, rel=0.01)


def test_the_line_speed_is_that_of_the_last_stages() -> None:
    ended = [run for run in RUNS if run.converged and run.host == "quiet"]
    sent_bytes = sum(int(run.timeline.downtime_bytes[-1]) for run in ended)
    assert pytest.approx(sent_bytes / sum(run.downtime_s for run in ended), rel=0.05) == LINE_SPEED_BYTES_PER_S


def scenario_named(name: str):
    return recorded_scenario(next(run for run in RUNS if run.id == name))


@pytest.mark.parametrize(("name", "share"), [("H11", 1.0), ("H13", 1.0), ("D04", 0.9)])
def test_of_a_bitmap_the_writer_gets_what_a_busy_host_left_it_before_any_throttle(name: str, share: float) -> None:
    run = next(one for one in RUNS if one.id == name)
    rate = recorded_scenario(run).workload[0].write_rate_bytes_per_s
    assert rate / run.baseline_bytes_per_s[0] == pytest.approx(share, abs=0.02)


def test_a_run_becomes_writers_and_readers_at_their_baseline() -> None:
    scenario = scenario_named("Q07")
    writer, readers = scenario.workload
    assert (writer.pattern, writer.working_set_bytes, writer.demand) == ("sequential", 128 * MIB, "closed")
    assert writer.write_rate_bytes_per_s == 499.46 * MIB
    assert (readers.vcpus, readers.pattern) == (1, "read-only")
    assert scenario.limits.downtime_s == 0.3
    assert scenario.deadline_s == pytest.approx(60)
    assert scenario_named("B17").workload[0].demand == "open"


def test_writers_share_the_working_set() -> None:
    run = next(run for run in RUNS if run.id == "Q07")
    writers = recorded_scenario(replace(run, readers=0)).workload
    assert [group.working_set_bytes for group in writers] == [64 * MIB, 64 * MIB]
    assert [group.write_rate_bytes_per_s for group in writers] == [499.46 * MIB, 499.54 * MIB]


@pytest.mark.parametrize(
    ("accelerator", "kind", "entries"),
    [("tcg,thread=multi", "software", 4096), ("kvm,dirty-ring-size=8192", "ring", 8192), ("kvm", "bitmap", 4096)],
)
def test_the_accelerator_decides_the_dirty_log(accelerator: str, kind: str, entries: int) -> None:
    log = recorded_scenario(replace(RUNS[0], accelerator=accelerator)).dirty_log
    assert (log.kind, log.ring_entries) == (kind, entries)


def test_an_unknown_accelerator_is_an_error() -> None:
    with pytest.raises(RecordingError, match="run Q01: accelerator 'hvf' is unknown; allowed: kvm, tcg"):
        recorded_scenario(replace(RUNS[0], accelerator="hvf"))


def test_a_run_cancelled_within_its_first_pass_keeps_the_usual_deadline() -> None:
    assert recorded_scenario(replace(RUNS[0], limit_s=0.5)).limits.deadline == pass_times(20)
