from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings

from dqgym.errors import BadInputError
from dqgym.scenario import (
    Recorded,
    Scenario,
    ScenarioError,
    TraceLink,
    load_scenario,
    save_scenario,
    scenario_from_yaml,
    scenario_to_yaml,
)
from dqgym.scenario.limits import pass_times
from tests.scenario.strategies import scenarios

VALID = """
name: two-writers
vm: {memory: 8 GB}
workload:
- {vcpus: 2, pattern: sequential, working_set: 4 GB, write_rate: 4 GB/s}
link: {kind: constant, bandwidth: 640 MiB/s}
limits: {downtime: 300 ms}
"""
EXAMPLES = sorted((Path(__file__).parents[2] / "configs" / "scenarios").glob("*.yaml"))


def errors_of(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        scenario_from_yaml(text, source="some.yaml")
    return str(caught.value)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(scenarios())
def test_yaml_round_trips_are_exact(scenario: Scenario) -> None:
    text = scenario_to_yaml(scenario)
    read = scenario_from_yaml(text)
    assert read == scenario
    assert scenario_to_yaml(read) == text


def test_text_with_units_is_read_into_base_units() -> None:
    scenario = scenario_from_yaml(VALID)
    assert scenario.vm.memory_bytes == 8_000_000_000
    assert scenario.workload[0].write_rate_bytes_per_s == 4e9
    assert scenario.bandwidth_bytes_per_s == 640 * 1024 * 1024
    assert scenario.limits.downtime_s == 0.3
    assert (scenario.vm.dirty_granule_bytes, scenario.limits.deadline, scenario.vcpus) == (4096, pass_times(20), 2)
    assert scenario.pass_time_s == pytest.approx(8e9 / (640 * 2**20))


def test_every_dimensional_value_is_written_with_its_unit() -> None:
    content = yaml.safe_load(scenario_to_yaml(scenario_from_yaml(VALID)))
    assert content["vm"] == {"memory": "8 GB", "zero": "0 B", "dirty_granule": "4 KiB"}
    assert content["link"] == {"kind": "constant", "bandwidth": "640 MiB/s"}


@pytest.mark.parametrize(
    ("valid", "bad", "parts"),
    [
        ("memory:", "memry:", ["vm:", "'memry'", "did you mean 'memory'", "memory, zero, dirty_granule, backing"]),
        ("memory:", "memory_bytes:", ["'memory_bytes'", "did you mean 'memory'"]),
        ("link:", "lnk:", ["'lnk'", "did you mean 'link'"]),
        ("8 GB", "-8 GB", ["vm.memory", "'-8 GB'", "greater than or equal to 0"]),
        ("8 GB", "8000000000", ["vm.memory", "8000000000", "text with a unit", "GB, TB"]),
        ("8 GB", "8 Gb", ["vm.memory", "'8 Gb'", "bits", "write '8 GB' or '8 GiB'", "allowed units"]),
        ("8 GB", "5 GB", ["working sets", "8 GB", "5 GB"]),
        ("8 GB}", "8 GB, page: 5 KiB}", ["vm.dirty_granule", "5 KiB", "4 KiB, 64 KiB, 2 MiB, 16 MiB, 1 GiB"]),
        ("640 MiB/s", "640 MiB", ["link.bandwidth", "'640 MiB'", "did you mean 'MiB/s'"]),
        ("640 MiB/s", "0 MiB/s", ["link.bandwidth", "'0 MiB/s'", "greater than 0"]),
        ("640 MiB/s}", "640 MiB/s, line_speed: 1 MiB/s}", ["link", "line speed", "at least the bandwidth"]),
        ("kind: constant", "kind: constnat", ["link.kind", "'constnat'", "did you mean 'constant'", "markov"]),
        ("kind: constant, ", "", ["link", "needs a 'kind'", "ornstein-uhlenbeck"]),
        ("sequential", "sequental", ["workload[0].pattern", "'sequental'", "did you mean 'sequential'", "idle"]),
        ("sequential", "read-only", ["workload[0]", "'read-only'", "writes nothing"]),
        ("sequential", "hot-cold", ["workload[0]", "hot_fraction", "zipf_skew"]),
        ("vcpus: 2", "vcpus: 0", ["workload[0].vcpus", "0", "greater than or equal to 1"]),
        ("vcpus: 2, ", "", ["workload[0].vcpus", "missing"]),
        ("4 GB/s}", "4 GB/s, schedule: {kind: phased, period: 3 s}}", ["workload[0].schedule.duty", "missing"]),
        ("300 ms", "300", ["limits.downtime", "300", "'300 ms'"]),
        ("name: two-writers", "name: ../up", ["name", "'../up'"]),
        ("vcpus: 2", "vcpus: 2, vcpus: 3", ["'vcpus'", "repeated"]),
        ("name: two-writers", "name: [", ["not valid YAML"]),
        (VALID, "just text", ["must be a mapping", "workload"]),
    ],
)
def test_an_error_names_the_field_the_value_and_what_is_allowed(valid: str, bad: str, parts: list[str]) -> None:
    message = errors_of(VALID.replace(valid, bad, 1))
    assert message.startswith("some.yaml: ")
    for part in parts:
        assert part in message


def test_all_faults_are_reported_at_once() -> None:
    assert len(errors_of(VALID.replace("8 GB", "8 Gb").replace("300 ms", "fast")).splitlines()) == 2


def test_a_fault_in_the_only_group_is_not_reported_as_a_missing_group_as_well() -> None:
    assert len(errors_of(VALID.replace("sequential", "sequental")).splitlines()) == 1
    assert "workload" in errors_of(
        VALID.split("workload:")[0] + "workload: []\nlink: {kind: constant, bandwidth: 1 GB/s}"
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_example_scenarios_load(path: Path) -> None:
    assert load_scenario(path).name == path.stem


def test_there_are_example_scenarios() -> None:
    assert len(EXAMPLES) >= 2


def test_a_saved_scenario_loads_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    save_scenario(scenario_from_yaml(VALID), path)
    assert load_scenario(path) == scenario_from_yaml(VALID)
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(BadInputError, match=r"cannot write .*scenario\.yaml: disk full"):
        save_scenario(scenario_from_yaml(VALID), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"cannot read scenario .*nowhere\.yaml"):
        load_scenario(tmp_path / "nowhere.yaml")


def with_trace(tmp_path: Path, csv: str) -> Path:
    (tmp_path / "link.csv").write_text(csv)
    path = tmp_path / "traced.yaml"
    path.write_text(VALID.replace("kind: constant, bandwidth: 640 MiB/s", "kind: trace, file: link.csv, period: 1 min"))
    return path


def test_a_recorded_link_is_read_from_a_csv_file_beside_the_scenario(tmp_path: Path) -> None:
    scenario = load_scenario(with_trace(tmp_path, "time_s,bandwidth_bytes_per_s\n0,1e8\n30.5,2e8\n"))
    assert scenario.link == TraceLink(times_s=(0, 30.5), bandwidths_bytes_per_s=(1e8, 2e8), period_s=60)
    assert scenario_from_yaml(scenario_to_yaml(scenario)) == scenario


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("", r"link\.csv: the first line must have the columns 'time_s' and 'bandwidth_bytes_per_s'"),
        ("time,rate\n0,1\n", r"link\.csv: the first line must have .* not 'time,rate'"),
        ("time_s,bandwidth_bytes_per_s\n0,1\n1\n", r"link\.csv, line 3: 1 values"),
        ("time_s,bandwidth_bytes_per_s\n0,1\n1,fast\n", r"link\.bandwidths\[1\]: 'fast B/s'"),
        ("time_s,bandwidth_bytes_per_s\n0,1\n0,2\n", r"link: times must rise"),
    ],
)
def test_a_bad_recording_is_an_error(tmp_path: Path, csv: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load_scenario(with_trace(tmp_path, csv))


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    path = with_trace(tmp_path, "")
    (tmp_path / "link.csv").unlink()
    with pytest.raises(ScenarioError, match=r"cannot read the recording .*link\.csv"):
        load_scenario(path)


REPLAYED = """
name: replayed
vm: {memory: 8 GB}
workload:
- {vcpus: 1, pattern: sequential, working_set: 4 GB,
   schedule: {kind: recorded, file: trace.csv, column: vcpu1_bytes_per_s, period: 1 min}}
- {vcpus: 1, pattern: uniform, working_set: 4 GB,
   schedule: {kind: recorded, file: trace.csv, column: vcpu0_bytes_per_s}}
link: {kind: trace, file: trace.csv}
"""
TRACE = "time_s,bandwidth_bytes_per_s,vcpu0_bytes_per_s,vcpu1_bytes_per_s\n0,1e8,0,3e6\n30.5,2e8,5e6,1.5e6\n"


def replayed(tmp_path: Path, text: str = REPLAYED, csv: str = TRACE) -> Path:
    (tmp_path / "trace.csv").write_text(csv)
    path = tmp_path / "replayed.yaml"
    path.write_text(text)
    return path


def test_schedules_and_link_are_read_from_the_columns_of_one_file(tmp_path: Path) -> None:
    scenario = load_scenario(replayed(tmp_path))
    first, second = scenario.workload
    assert first.write_rate_bytes_per_s == 3e6
    assert first.schedule == Recorded(times_s=(0, 30.5), rate_factors=(1, 0.5), period_s=60)
    assert second.write_rate_bytes_per_s == 5e6
    assert second.schedule == Recorded(times_s=(0, 30.5), rate_factors=(0, 1))
    assert scenario.link == TraceLink(times_s=(0, 30.5), bandwidths_bytes_per_s=(1e8, 2e8))
    assert scenario_from_yaml(scenario_to_yaml(scenario)) == scenario


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", column: vcpu1_bytes_per_s", "", r"workload\[0\]\.schedule\.column: None is not the name of a column"),
        ("vcpu1_bytes", "vcpu7_bytes", r"trace\.csv: the first line must have .*'vcpu7_bytes_per_s', not 'time_s,"),
        ("file: trace.csv, column", "file: 7, column", r"workload\[0\]\.schedule\.file: 7 is not a file name"),
        ("file: trace.csv, column", "file: no.csv, column", r"cannot read the recording .*no\.csv"),
        (", period", ", times: [0 s], period", r"workload\[0\]\.schedule: give either 'file' or 'times' and 'rate_fac"),
        ("4 GB,\n", "4 GB, write_rate: 1 GB/s,\n", r"workload\[0\]\.write_rate: '1 GB/s': leave it out"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_an_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in REPLAYED
    with pytest.raises(ScenarioError, match=message):
        load_scenario(replayed(tmp_path, REPLAYED.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        (
            TRACE.replace("3e6", "fast"),
            r"trace\.csv, column 'vcpu1_bytes_per_s': 'fast' is not a number of bytes per s",
        ),
        (
            TRACE.replace("3e6", "-3e6"),
            r"column 'vcpu1_bytes_per_s': '-3e6' is not a number of bytes per second from 0",
        ),
        (TRACE.replace("3e6", "0").replace("1.5e6", "0"), "column 'vcpu1_bytes_per_s': nothing above 0"),
        (TRACE.replace("30.5", "0"), r"workload\[0\]\.schedule: times must rise"),
        (TRACE + "40,1\n", r"trace\.csv, line 4: 2 values, not 4"),
    ],
)
def test_a_bad_recording_of_rates_is_an_error(tmp_path: Path, csv: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load_scenario(replayed(tmp_path, csv=csv))
