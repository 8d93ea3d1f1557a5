"""Which scenarios a command plays, on which host, and what it says of them."""

from __future__ import annotations

import logging

import pytest

from dqgym.scenario.suites import get_suite
from experiments.evaluation.evaluation import draw_task
from experiments.evaluation.scenario_sources import choose_scenarios, draw_scenarios, find_scenario, on_host

SLOW = "scan_speed: 2 GiB/s\nlast_stage: 40 ms\n"
HUGE = """
name: huge
vm: {memory: 1 GiB, %s}
workload: [{vcpus: 1, pattern: idle}]
link: {kind: constant, bandwidth: 100 MiB/s}
"""


@pytest.fixture
def host_file(tmp_path):
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW)
    return str(path)


def test_a_named_host_takes_the_place_of_each_scenario_s_own(host_file):
    ours = list(get_suite("cover-letter").scenarios())
    moved = on_host(on_host(ours, "tls-kit"), host_file)
    assert {scenario.host.name for scenario in moved} == {"slow"}
    assert {scenario.host.scan_speed_bytes_per_s for scenario in moved} == {2.0 * 2**30}
    assert [scenario.model_copy(update={"host": None}) for scenario in moved] == ours
    assert on_host(ours, None) == ours


def test_a_task_is_played_on_the_host_and_otherwise_the_same(host_file):
    plain, moved = (draw_task("mixed", 3, seed=1, host=host) for host in (None, host_file))
    assert [scenario.host.last_stage_s for scenario in moved.scenarios] == [0.04] * 3
    assert moved.seeds == plain.seeds
    assert [scenario.workload for scenario in moved.scenarios] == [scenario.workload for scenario in plain.scenarios]


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ("dirty_granule: 4 KiB", None),
        ("backing: 2 MiB", None),
        ("page: 2 MiB", "huge: vm.dirty_granule is 2 MiB. QEMU on x86 tracks 4 KiB whatever pages back the guest"),
        ("dirty_granule: 64 KiB", "say vm.backing: 64 KiB"),
    ],
)
def test_a_granule_that_qemu_on_x86_does_not_have_is_told_once_and_changes_nothing(tmp_path, caplog, pages, told):
    path = tmp_path / "huge.yaml"
    path.write_text(HUGE % pages)
    with caplog.at_level(logging.WARNING):
        (scenario,) = choose_scenarios(None, str(path), None, 0, None, scaled=False)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (told is not None)
    assert told is None or told in lines[0]
    assert scenario.vm.dirty_granule_bytes == {"page: 2 MiB": 2**21, "dirty_granule: 64 KiB": 2**16}.get(pages, 4096)


def test_of_a_suite_the_first_is_named_and_the_others_are_counted(tmp_path, caplog):
    for name in ("a", "b", "c"):
        text = (HUGE % "page: 2 MiB").replace("name: huge", f"name: {name}")
        (tmp_path / f"{name}.yaml").write_text(text if name != "a" else text.replace("2 MiB", "4 KiB"))
    with caplog.at_level(logging.WARNING):
        draw_scenarios(get_suite(str(tmp_path)), None, 0)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("b and 1 more: vm.dirty_granule is 2 MiB")
    assert find_scenario("kvm-lab:quiet-guest").vm.dirty_granule_bytes == 4096
    assert len(caplog.records) == 1
