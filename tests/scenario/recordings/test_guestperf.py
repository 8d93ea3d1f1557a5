"""guestperf's reports: one made by hand, as QEMU's sources write them."""

import json
from pathlib import Path

import numpy as np
import pytest

from dqgym.scenario.recordings.guestperf import read_guestperf, replay_of_report, replay_report_scenario
from dqgym.scenario.recordings.qemu_runs import RecordingError

GIB = 2**30


def progress(duration_ms, iterations, sent_pages, dirty_pages_per_s, throttle=0, status="active"):
    return {
        "status": status,
        "ram": {
            "transferred_bytes": sent_pages * 4104,
            "remaining_bytes": 0,
            "total_bytes": 3 * GIB,
            "duplicate_pages": GIB // 4096 if iterations > 1 else 1000,
            "skipped_pages": 0,
            "normal_pages": sent_pages,
            "normal_bytes": sent_pages * 4096,
            "dirty_rate_pps": dirty_pages_per_s,
            "transfer_rate_mbs": 1000.0,
            "iterations": iterations,
        },
        "now": 1500000000.0 + duration_ms / 1000,
        "duration": duration_ms,
        "downtime": 200 if status == "completed" else 0,
        "downtime_expected": 300,
        "setup_time": 5,
        "throttle_pcent": throttle,
    }


def report(**changes):
    return {
        "hardware": {"cpus": 2, "mem": 1, "src_cpu_bind": [], "prealloc_pages": False},
        "scenario": {"name": "auto-converge-10", "downtime": 500, "bandwidth": 125000, "max_time": 300},
        "progress_history": [
            progress(0, 1, 0, 0),
            progress(4000, 2, 400_000, 20_000),
            progress(6000, 3, 600_000, 30_000, throttle=20),
            progress(8000, 4, 700_000, 24_000, throttle=20),
            progress(9000, 5, 800_000, 12_000, throttle=60, status="completed"),
        ],
        "qemu_timings": [],
        "vcpu_timings": [],
        **changes,
    }


def written(tmp_path: Path, content) -> Path:
    path = tmp_path / "report.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_report_is_read(tmp_path: Path) -> None:
    read = read_guestperf(written(tmp_path, report()))
    assert (read.name, read.cpus, read.written_bytes, read.dirty_ring_entries) == ("auto-converge-10", 2, GIB, 0)
    assert (read.downtime_limit_s, read.most_time_s, read.converged) == (0.5, 300, True)
    last = read.progress[-1]
    assert (last.time_s, last.iterations, last.throttle_percent, last.downtime_s) == (9, 5, 60, 0.2)


def test_each_round_has_its_bandwidth_and_the_demand_behind_the_throttle(tmp_path: Path) -> None:
    replay = replay_of_report(read_guestperf(written(tmp_path, report())))
    assert replay.time_s.tolist() == [0, 4, 6, 8]
    np.testing.assert_allclose(replay.bandwidth_bytes_per_s, 4096.0 * np.array([100, 100, 50, 100]) * 1000)
    # Rounds three and four ran at 80 % of the time; a vCPU of two writes half.
    demand = 4096.0 * np.array([10_000, 15_000, 15_000, 7_500])
    np.testing.assert_allclose(replay.demand_bytes_per_s, np.column_stack([demand, demand]))


def test_a_report_becomes_a_scenario_without_its_zero_pages(tmp_path: Path) -> None:
    scenario = replay_report_scenario(read_guestperf(written(tmp_path, report())))
    assert (scenario.vcpus, scenario.vm.memory_bytes, scenario.dirty_log.kind) == (2, 2 * GIB, "bitmap")
    assert {group.working_set_bytes for group in scenario.workload} == {GIB // 2}
    assert scenario.limits.downtime_s == 0.5
    assert scenario.deadline_s == pytest.approx(300)


def test_optional_fields_may_be_missing_and_a_ring_is_known(tmp_path: Path) -> None:
    content = report(hardware={"cpus": 2, "mem": 1, "dirty_ring_size": 8192})
    for entry in content["progress_history"]:
        for key in ("throttle_pcent", "setup_time", "now", "downtime", "downtime_expected"):
            entry.pop(key)
    scenario = replay_report_scenario(read_guestperf(written(tmp_path, content)))
    assert (scenario.dirty_log.kind, scenario.dirty_log.ring_entries) == ("ring", 8192)


def test_a_cancelled_migration_whose_last_entry_is_empty_is_replayed(tmp_path: Path) -> None:
    content = report()
    last = content["progress_history"][-1]
    last["status"], last["ram"] = "cancelled", dict.fromkeys(last["ram"], 0)
    read = read_guestperf(written(tmp_path, content))
    assert not read.converged
    assert replay_report_scenario(read).vm.memory_bytes == 2 * GIB
    assert replay_of_report(read).bandwidth_bytes_per_s[-1] == 4096 * 50_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "the report must be a JSON object"),
        (report(hardware={"mem": 1}), r"hardware\.cpus: missing"),
        (report(hardware={"mem": "1", "cpus": 1}), r"hardware\.mem: '1' is not a number from 0"),
        (report(hardware={"mem": 1, "cpus": 0}), r"hardware\.cpus: 0 is not a number from 1"),
        (report(progress_history={}), "progress_history must be a list"),
        (report(progress_history=[progress(1, 1, 0, 0)]), "progress_history: 1 entries, at least 2"),
        (report(progress_history=[{}, {}]), r"progress_history\[0\]\.ram: missing"),
    ],
)
def test_what_a_replay_needs_must_be_there(tmp_path: Path, content, message: str) -> None:
    with pytest.raises(RecordingError, match=rf"report\.json: .*{message}"):
        read_guestperf(written(tmp_path, content))


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read the report .*nothing\.json"):
        read_guestperf(tmp_path / "nothing.json")
