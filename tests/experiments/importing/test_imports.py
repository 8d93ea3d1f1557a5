"""Logs of known migrations, imported: what their scenarios do is what the known ones do."""

from pathlib import Path

import pytest

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario import Scenario
from dqgym.scenario.recordings.log_scenario import Told
from dqgym.throttles.registry import make_throttle
from experiments.importing.imports import import_file
from tests.scenario.recordings.formats import log_writers
from tests.scenario.recordings.formats.known import MIB, guest
from tests.scenario.recordings.formats.log_writers import migrated

pytestmark = pytest.mark.slow


def ended(scenario: Scenario, throttle: str) -> tuple[float, bool]:
    """Time and verdict of a migration on the model."""
    outcomes = run_migrations(ModelBackend(), [scenario], make_throttle(throttle), [0])
    return float(outcomes.total_time_s[0]), bool(outcomes.converged[0])


CASES = {
    "guestperf": (
        guest("saturated", rate_mib=2000),
        "auto-converge",
        lambda m: log_writers.guestperf(m, {"auto_converge": True, "auto_converge_step": 10}),
    ),
    "query-migrate": (
        guest("random", "uniform", rate_mib=300),
        "auto-converge",
        lambda m: log_writers.query_migrate(m, ("auto-converge",)),
    ),
    "kubevirt": (
        guest("throttled", rate_mib=150),
        "auto-converge",
        lambda m: log_writers.kubevirt(m, every=20),
    ),
    "cloud-hypervisor": (guest("calm", rate_mib=60, zero_mib=0), "none", log_writers.cloud_hypervisor),
    "proxmox": (guest("idle", rate_mib=40), "auto-converge", lambda m: log_writers.proxmox(m, every=10)),
}
"""A migration of each format that is known, and the throttle that was on."""


@pytest.mark.parametrize("log_format", CASES)
def test_a_replay_takes_the_time_of_the_log_and_judges_other_throttles_as_the_guest_would(
    tmp_path: Path, log_format: str
) -> None:
    truth, throttle, writer = CASES[log_format]
    migration = migrated(truth, throttle)
    path = tmp_path / "migration.log"
    path.write_text(writer(migration))
    told = None if log_format in ("guestperf", "query-migrate") else throttle
    report = import_file(log_format, path, Told(vcpus=2), told)
    scenario = report.imported.scenario
    time_s, converged = ended(scenario, throttle)
    assert converged == migration.converged
    assert time_s == pytest.approx(migration.total_time_s, rel=0.1)
    for other in ("none", "dirty-quota"):
        assert ended(scenario, other)[1] == ended(truth, other)[1]
    assert report.played is not None
    assert report.played.total_time_s == pytest.approx(time_s, rel=0.02)


def test_a_saturated_guest_has_the_rate_that_it_demands_not_the_one_that_was_found(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    migration = migrated(guest("saturated", rate_mib=2000), "auto-converge")
    path.write_text(log_writers.guestperf(migration, {"auto_converge": True}))
    demand = import_file("guestperf", path, Told(), None).imported.demand
    assert demand is not None
    # Most rounds are full, so that few tell the rate: from half of it on, all guests fit. What was found is a tenth.
    assert 0.5 * 2000 * MIB < demand.rate_bytes_per_s < 1.3 * 2000 * MIB
    assert demand.working_set_bytes == 800 * MIB


def test_a_rate_that_no_round_shows_is_a_lower_bound(tmp_path: Path) -> None:
    # Without a throttle every round of a saturated guest finds the working set, however fast it writes.
    path = tmp_path / "lines.jsonl"
    path.write_text(log_writers.query_migrate(migrated(guest("full", "uniform", rate_mib=4000), "none")))
    report = import_file("query-migrate", path, Told(), None)
    demand = report.imported.demand
    assert demand is not None
    assert demand.rate_is_least
    assert demand.rate_bytes_per_s < 1.1 * 4000 * MIB
    assert {one.what: one.sure for one in report.findings}["write rate"] == "at least"


def test_a_guest_that_never_writes_is_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(log_writers.query_migrate(migrated(guest("still", rate_mib=0, pattern="read-only"), "none")))
    report = import_file("query-migrate", path, Told(), None)
    assert report.played is None
    assert [group.pattern for group in report.imported.scenario.workload] == ["read-only"]
