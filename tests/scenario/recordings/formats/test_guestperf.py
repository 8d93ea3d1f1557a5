"""guestperf's reports: one made by hand, as QEMU's sources write them."""

import json
from pathlib import Path

import pytest

from dqgym.scenario.recordings.formats.guestperf import read_guestperf
from dqgym.scenario.recordings.log_scenario import import_log
from dqgym.scenario.recordings.migration_log import rounds_of
from dqgym.scenario.recordings.qemu_runs import RecordingError

GIB = 2**30


def progress(duration_ms, iterations, sent_pages, remaining, throttle=0, status="active"):
    return {
        "status": status,
        "ram": {
            "transferred_bytes": sent_pages * 4104,
            "remaining_bytes": remaining,
            "total_bytes": 3 * GIB,
            "duplicate_pages": GIB // 4096 if iterations > 1 else 0,
            "skipped_pages": 0,
            "normal_pages": sent_pages,
            "normal_bytes": sent_pages * 4096,
            "dirty_rate_pps": 0,
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
    """2 GiB that are not zero; a guest of 1 GiB finds 800 MiB, 600 MiB and 200 MiB."""
    mib = 256  # pages
    return {
        "hardware": {"cpus": 2, "mem": 1, "src_cpu_bind": [], "prealloc_pages": False},
        "scenario": {"name": "auto-converge-10", "downtime": 500, "bandwidth": 125000, "max_time": 300},
        "progress_history": [
            progress(0, 1, 0, 3 * GIB),
            progress(4000, 2, 2048 * mib, 800 * 2**20),
            progress(6000, 3, 2848 * mib, 600 * 2**20, throttle=20),
            progress(8000, 4, 3448 * mib, 200 * 2**20, throttle=20),
            progress(9000, 5, 3648 * mib, 0, throttle=60, status="completed"),
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
    log = read_guestperf(written(tmp_path, report()))
    assert (log.name, log.vcpus, log.written_bytes, log.ring_entries) == ("guestperf-auto-converge-10", 2, GIB, 0)
    assert (log.downtime_limit_s, log.most_time_s, log.converged, log.total_time_s) == (0.5, 300, True, 9)
    last = log.readings[-1]
    assert (last.time_s, last.syncs, last.throttle_percent, log.downtime_s) == (9, 5, 60, 0.2)


def test_each_round_has_what_it_found_and_the_throttle_that_held(tmp_path: Path) -> None:
    rounds = rounds_of(read_guestperf(written(tmp_path, report())))
    assert [one.found_bytes / 2**20 for one in rounds] == [800, 600, 200]
    assert [one.throttle_percent for one in rounds] == [0, 0, 20]
    assert [one.run_s for one in rounds] == pytest.approx([4, 2, 1.6])


def test_zero_pages_that_do_not_count_as_remaining_are_not_taken_for_dirty_ones(tmp_path: Path) -> None:
    content = report()
    content["progress_history"][0]["ram"]["remaining_bytes"] = 2 * GIB
    assert rounds_of(read_guestperf(written(tmp_path, content)))[0].found_bytes == 800 * 2**20


def test_a_report_becomes_a_scenario_without_its_zero_pages(tmp_path: Path) -> None:
    scenario = import_log(read_guestperf(written(tmp_path, report()))).scenario
    assert (scenario.vcpus, scenario.vm.memory_bytes, scenario.dirty_log.kind) == (2, 2 * GIB, "bitmap")
    assert {group.working_set_bytes for group in scenario.workload} == {GIB // 2}
    assert scenario.limits.downtime_s == 0.5
    assert scenario.deadline_s == pytest.approx(300)


def test_optional_fields_may_be_missing_and_a_ring_is_known(tmp_path: Path) -> None:
    content = report(hardware={"cpus": 2, "mem": 1, "dirty_ring_size": 8192})
    for entry in content["progress_history"]:
        for key in ("throttle_pcent", "setup_time", "now", "downtime", "downtime_expected"):
            entry.pop(key)
    scenario = import_log(read_guestperf(written(tmp_path, content))).scenario
    assert (scenario.dirty_log.kind, scenario.dirty_log.ring_entries) == ("ring", 8192)


def test_a_cancelled_migration_whose_last_entry_is_empty_is_imported(tmp_path: Path) -> None:
    content = report()
    last = content["progress_history"][-1]
    last["status"], last["ram"] = "cancelled", dict.fromkeys(last["ram"], 0)
    log = read_guestperf(written(tmp_path, content))
    assert log.converged is False
    assert import_log(log).scenario.vm.memory_bytes == 2 * GIB


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
def test_what_is_needed_must_be_there(tmp_path: Path, content, message: str) -> None:
    with pytest.raises(RecordingError, match=rf"report\.json: .*{message}"):
        read_guestperf(written(tmp_path, content))


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read the report .*nothing\.json"):
        read_guestperf(tmp_path / "nothing.json")
