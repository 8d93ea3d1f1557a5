"""What each format's reader takes from a log: the same migration, written as five programs would write it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dqgym.errors import BadInputError
from dqgym.scenario.recordings.formats.table import FORMATS, read_log
from dqgym.scenario.recordings.migration_log import MigrationLog, rounds_of
from dqgym.scenario.recordings.qemu_runs import RecordingError
from tests.scenario.recordings.formats import log_writers
from tests.scenario.recordings.formats.known import MIB, guest
from tests.scenario.recordings.formats.log_writers import Migration, migrated

MIGRATION = migrated(guest(rate_mib=60), "none")
WITHOUT_ZEROS = migrated(guest(rate_mib=60, zero_mib=0), "none")
WRITERS: dict[str, Callable[[Migration], str]] = {
    "guestperf": log_writers.guestperf,
    "query-migrate": log_writers.query_migrate,
    "proxmox": lambda migration: log_writers.proxmox(migration, every=10),
    "cloud-hypervisor": log_writers.cloud_hypervisor,
    "kubevirt": lambda migration: log_writers.kubevirt(migration, every=20),
}


def of(name: str) -> Migration:
    return WITHOUT_ZEROS if name == "cloud-hypervisor" else MIGRATION


def read(tmp_path: Path, name: str, text: str) -> MigrationLog:
    path = tmp_path / "migration.log"
    path.write_text(text)
    return read_log(name, path)


@pytest.mark.parametrize("name", WRITERS)
def test_memory_zero_pages_time_and_end_are_read(tmp_path: Path, name: str) -> None:
    migration, log = of(name), read(tmp_path, name, WRITERS[name](of(name)))
    assert log.total_bytes == pytest.approx(migration.total_bytes, rel=0.001)
    told = 0.05 if log.rounds_told else 0.15
    assert log.readings[-1].zero_bytes == pytest.approx(migration.scenario.vm.zero_bytes, rel=told, abs=1)
    assert log.total_time_s == pytest.approx(migration.total_time_s, abs=2.0)
    assert log.readings[-1].sent_bytes == pytest.approx(migration.seen[-1].sent_bytes, rel=0.05)
    assert log.converged is True


@pytest.mark.parametrize("name", ["guestperf", "query-migrate", "cloud-hypervisor", "kubevirt"])
def test_rounds_are_found_where_the_log_tells_what_remains(tmp_path: Path, name: str) -> None:
    migration, log = of(name), read(tmp_path, name, WRITERS[name](of(name)))
    firsts = migration.rounds()
    found = [after.remaining_bytes for after in firsts[1:3]]
    assert [one.found_bytes for one in rounds_of(log)[:2]] == pytest.approx(found, abs=0.35 * 110 * MIB)  # of a look


@pytest.mark.parametrize(
    ("name", "limit_s", "vcpus", "throttle"),
    [
        ("guestperf", 0.3, 2, "none"),
        ("query-migrate", 0.3, 2, "none"),
        ("proxmox", 0.3, None, "auto-converge"),
        ("cloud-hypervisor", 0.3, None, "none"),
        ("kubevirt", None, None, None),
    ],
)
def test_what_the_log_says_of_its_settings_is_taken(tmp_path: Path, name, limit_s, vcpus, throttle) -> None:
    log = read(tmp_path, name, WRITERS[name](of(name)))
    assert (log.downtime_limit_s, log.vcpus, log.throttle) == (limit_s, vcpus, throttle)


def test_throttles_of_qemu_are_named_with_their_options(tmp_path: Path) -> None:
    text = log_writers.query_migrate(
        MIGRATION,
        ("auto-converge",),
        {"cpu-throttle-initial": 40, "cpu-throttle-increment": 15, "max-cpu-throttle": 90},
    )
    assert read(tmp_path, "query-migrate", text).throttle == "auto-converge:initial=40,increment=15,max=90"
    text = log_writers.query_migrate(MIGRATION, ("dirty-limit",), {"vcpu-dirty-limit": 20})
    assert read(tmp_path, "query-migrate", text).throttle == "dirty-limit:limit=20 MiB/s,period=1000 ms"
    text = log_writers.guestperf(MIGRATION, {"auto_converge": True, "auto_converge_step": 25})
    assert read(tmp_path, "guestperf", text).throttle == "auto-converge:increment=25"


def test_proxmox_logs_from_before_6_3_tell_what_remains(tmp_path: Path) -> None:
    log = read(tmp_path, "proxmox", log_writers.proxmox(MIGRATION, old=True, every=10))
    assert log.rounds_told
    assert rounds_of(log)
    assert log.readings[-1].zero_bytes == pytest.approx(1024 * MIB, rel=0.05)


def test_a_log_without_a_clock_has_a_line_a_second(tmp_path: Path) -> None:
    lines = log_writers.proxmox(MIGRATION, every=10).splitlines()
    log = read(tmp_path, "proxmox", "\n".join(line[20:] for line in lines))
    assert [one.time_s for one in log.readings[:3]] == [1.0, 2.0, 3.0]


def test_of_several_migrations_the_last_is_read(tmp_path: Path) -> None:
    first, last = (log_writers.cloud_hypervisor(one) for one in (MIGRATION, WITHOUT_ZEROS))
    log = read(tmp_path, "cloud-hypervisor", first + last)
    assert log.total_bytes == WITHOUT_ZEROS.total_bytes


def test_cloud_hypervisors_lines_are_read_as_it_writes_them(tmp_path: Path) -> None:
    # The first lines of the log in Cloud Hypervisor's pull request 7799.
    text = (
        "cloud-hypervisor:  12.702682s: <vmm> DEBUG:vmm/src/lib.rs:1313 -- Precopy: iter=0 total=6144MiB curr=6144MiB"
        " bw=1986.83MiB/s transfer=3.09s overhead=0ms est_downtime=0ms elapsed=3.11s avg_bw=1975.41MiB/s\n"
        "cloud-hypervisor:  15.728419s: <vmm> DEBUG:vmm/src/lib.rs:1313 -- Precopy: iter=1 total=11562MiB curr=5418MiB"
        " bw=1824.44MiB/s transfer=2.97s overhead=56ms est_downtime=2726ms elapsed=6.14s avg_bw=1884.21MiB/s\n"
        "cloud-hypervisor:  18.710428s: <vmm> DEBUG:vmm/src/lib.rs:1313 -- Precopy: iter=2 total=16980MiB curr=5418MiB"
        " bw=1854.25MiB/s transfer=2.92s overhead=59ms est_downtime=2969ms elapsed=9.12s avg_bw=1862.17MiB/s\n"
    )
    log = read(tmp_path, "cloud-hypervisor", text)
    assert (log.total_bytes, log.converged, log.total_time_s) == (6144 * MIB, None, 9.12)
    rounds = rounds_of(log)
    assert [one.found_bytes for one in rounds] == [5418 * MIB, 5418 * MIB]
    assert [one.end_s for one in rounds] == [3.11, 6.14]


DAMAGED = {
    "guestperf": [("{", "not valid JSON"), ("[]", "must be a JSON object"), ("{}", "hardware: missing")],
    "query-migrate": [
        ("{", "line 1: not valid JSON"),
        ('{"status": "active"}\n', "0 answers of a migration that is active"),
        ('{"status": "active", "total-time": 1, "ram": {}}\n' * 2, "ram.total: missing"),
        ("[1]\n", "0 answers"),
    ],
    "proxmox": [("", "0 lines 'migration active"), ("migration active, transferred much", "0 lines")],
    "cloud-hypervisor": [
        ("Precopy: iter=0 total=1MiB curr=1MiB elapsed=1s", "1 lines"),
        ("Precopy: iter=0 total=1MiB curr=1MiB", "line 1: elapsed=: missing"),
        ("Precopy: iter=0 total=1MiB curr=1MiB elapsed=1ms", "line 1: elapsed=1ms: must be a number of s"),
    ],
    "kubevirt": [
        ("nothing", "no line 'Migration info for"),
        ("Migration info for a: TimeElapsed:12ms MemoryTotal:4MiB", "line 1: missing: MemoryRemaining"),
        ("Migration info for a: TimeElapsed:-1ms MemoryTotal:4MiB", "TimeElapsed: '-1' is not a number from 0"),
    ],
}


@pytest.mark.parametrize(("name", "text", "message"), [(n, *case) for n, cases in DAMAGED.items() for case in cases])
def test_a_damaged_log_is_one_clear_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(RecordingError, match=message) as caught:
        read(tmp_path, name, text)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_a_log_that_is_cut_off_is_read_as_far_as_it_goes_or_refused(tmp_path: Path, name: str) -> None:
    text = WRITERS[name](of(name))
    for share in (0.1, 0.37, 0.5, 0.93):
        try:
            log = read(tmp_path, name, text[: int(share * len(text))])
        except RecordingError:
            continue
        assert log.converged is None


def test_an_unknown_format_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"unknown format 'guest-perf'.*did you mean 'guestperf'"):
        read_log("guest-perf", tmp_path)
    assert [one.name for one in FORMATS] == list(WRITERS)
