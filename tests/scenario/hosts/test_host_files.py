"""Host files, by name and by path, in scenarios and in samplers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dqgym.scenario import load_scenario, scenario_from_yaml, scenario_to_yaml
from dqgym.scenario.hosts.host import DEFAULT_HOST, Host
from dqgym.scenario.hosts.host_files import HostError, find_host, host_names

GUEST = """
name: idle
vm: {memory: 4 GiB, zero: 188 GiB}
workload: [{vcpus: 2, pattern: idle}]
link: {kind: constant, bandwidth: 3 GB/s}
host: %s
"""


@pytest.mark.parametrize("name", host_names())
def test_every_shipped_host_is_named_like_its_file_and_says_its_source(name):
    host = find_host(name)
    assert host.name == name
    assert host == DEFAULT_HOST or host.source


def test_a_scenario_takes_a_name_a_file_or_the_fields(tmp_path):
    fields = "{scan_speed: 5 GiB/s, last_stage: 20 ms, sync_per_gib: 1 ms, ring_entries_lost: 576, fault: 1 us}"
    inline = scenario_from_yaml(GUEST % fields).host
    assert inline == Host(
        scan_speed_bytes_per_s=5 * 2**30, last_stage_s=0.02, sync_per_gib_s=1e-3, ring_entries_lost=576, fault_s=1e-6
    )
    (tmp_path / "mine.yaml").write_text("scan_speed: 5 GiB/s\n")
    (tmp_path / "idle.yaml").write_text(GUEST % "mine.yaml")
    read = load_scenario(tmp_path / "idle.yaml")
    assert read.host == Host(name="mine", scan_speed_bytes_per_s=5 * 2**30)
    assert scenario_from_yaml(scenario_to_yaml(read)) == read, "without the second file"
    assert scenario_from_yaml(GUEST % "tls-kit").host == find_host("tls-kit")


def test_the_last_stage_grows_with_all_of_the_guest():
    host = "{last_stage: 15 ms, sync_per_gib: 1 ms}"
    assert scenario_from_yaml(GUEST % host).last_stage_s == pytest.approx(0.015 + 0.192)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("scan_sped: 5 GiB/s", "unknown key 'scan_sped' (did you mean 'scan_speed'?)"),
        ("scan_speed: 5", "scan_speed: 5 must be text with a unit"),
        ("scan_speed: 0 GiB/s", "scan_speed"),
        ("last_stage: -1 s", "last_stage"),
        ("ring_entries_lost: 1e6", "ring_entries_lost"),
        ("[]", "must be a mapping"),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_and_field(tmp_path, content, told):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(HostError) as caught:
        find_host(str(path))
    assert told in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(HostError, match=r"did you mean 'tls-kit'\?\); hosts: default, "):
        find_host("tls-kti")


def test_a_ring_holds_more_than_the_host_keeps_of_it():
    with pytest.raises(ValueError, match=r"ring_entries_lost=300 must be less than dirty_log\.ring_entries, 256"):
        scenario_from_yaml(GUEST % "{ring_entries_lost: 300}" + "dirty_log: {ring_entries: 256}\n")


def test_the_host_file_of_the_page_is_one(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(# my-host\.yaml\n.*?)```", page, re.DOTALL)
    (tmp_path / "my-host.yaml").write_text(block, encoding="utf-8")
    host = find_host(str(tmp_path / "my-host.yaml"))
    assert (host.name, host.scan_speed_bytes_per_s, host.ring_entries_lost) == ("my-host", 4 * 2**30, 576)
