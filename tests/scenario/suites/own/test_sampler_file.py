import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.errors import BadInputError
from dqgym.scenario import scenario_from_yaml, scenario_to_yaml
from dqgym.scenario.suites.own.sampler import require_sound
from dqgym.scenario.suites.own.sampler_file import read_sampler
from dqgym.scenario.suites.registry import get_suite
from dqgym.scenario.suites.suite import SampledSuite

EXAMPLE = Path(__file__).parents[4] / "configs" / "suites" / "databases.yaml"
GIB = 2**30


def content(**parts: Any) -> dict[str, Any]:
    return {
        "vm": {"memory": {"log_uniform": ["1 GiB", "8 GiB"]}},
        "workload": [
            {"vcpus": {"uniform": [1, 6]}, "pattern": "uniform", "memory_share": 0.5, "pressure": {"uniform": [1, 4]}},
            {"vcpus": {"log_uniform": [1, 10]}, "pattern": "read-only"},
        ],
        "link": {"kind": "constant", "bandwidth": {"choice": ["100 MiB/s", "1 Gbit/s"]}},
        **parts,
    }


def suite_of(what: dict[str, Any], name: str = "mine") -> SampledSuite:
    sampler = read_sampler(what, "mine.yaml")
    require_sound(sampler)
    return SampledSuite(name, "", sampler, sampler.most_vcpus)


def faults(what: object) -> list[str]:
    with pytest.raises(BadInputError) as caught:
        suite_of(what)  # type: ignore[arg-type]
    return [line.removeprefix("mine.yaml: ") for line in str(caught.value).splitlines()]


@given(
    memory=st.tuples(st.integers(1, 64), st.integers(0, 64)),
    pressure=st.tuples(st.floats(0.01, 100), st.floats(1, 10)),
    share=st.floats(0.01, 0.9),
    law=st.sampled_from(["uniform", "log_uniform"]),
    seed=st.integers(0, 2**31),
    most_vcpus=st.integers(2, 16),
)
@settings(max_examples=25, deadline=None)
def test_what_is_drawn_stays_within_the_file_s_ranges(memory, pressure, share, law, seed, most_vcpus):  # type: ignore[no-untyped-def]
    low, high = memory[0], memory[0] + memory[1]
    least, most = pressure[0], pressure[0] * pressure[1]
    groups = [
        {"vcpus": {law: [1, 6]}, "pattern": {"choice": ["uniform", "sequential"]}, "memory_share": share,
         "pressure": {law: [least, most]}},
        {"vcpus": {law: [1, 10]}, "pattern": "read-only"},
    ]  # fmt: skip
    parts = {"vm": {"memory": {law: [f"{low} GiB", f"{high} GiB"]}}, "limits": {"downtime": {law: ["50 ms", "1 s"]}}}
    suite = suite_of(content(**parts, workload=groups))
    assert suite.most_vcpus == 16
    for one in suite.scenarios(8, seed, most_vcpus):
        assert low * GIB <= one.vm.memory_bytes <= high * GIB
        assert one.vm.memory_bytes % 4096 == 0
        writers, readers = one.workload
        assert 1 <= writers.vcpus <= 6
        assert 1 <= readers.vcpus <= 10
        assert one.vcpus <= most_vcpus
        rate = writers.vcpus * writers.write_rate_bytes_per_s / one.bandwidth_bytes_per_s
        assert least * (1 - 1e-9) <= rate <= most * (1 + 1e-9)
        written = writers.vcpus * writers.working_set_bytes
        assert share * one.vm.memory_bytes - 4096 * (writers.vcpus + 1) <= written <= share * one.vm.memory_bytes
        assert 0.05 <= one.limits.downtime_s <= 1
        assert scenario_from_yaml(scenario_to_yaml(one)) == one


@given(seed=st.integers(0, 2**31), count=st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_the_kth_scenario_depends_on_name_seed_k_and_most_vcpus_only(seed: int, count: int) -> None:
    first = suite_of(content()).scenarios(12, seed)
    assert suite_of(content()).scenarios(count, seed) == first[:count]
    assert suite_of(content()).scenarios(12, seed, 16) == first  # no smaller than it is
    assert suite_of(content(), "other").scenarios(12, seed)[0].vm != first[0].vm
    reordered = dict(reversed(content().items()))
    assert suite_of(reordered).scenarios(12, seed) == first


def test_all_of_a_range_and_of_a_choice_is_drawn() -> None:
    drawn = suite_of(content()).scenarios(300)
    assert {one.workload[0].vcpus for one in drawn} == set(range(1, 7))
    assert {one.workload[1].vcpus for one in drawn} == set(range(1, 11))
    assert {one.bandwidth_bytes_per_s for one in drawn} == {100 * 2**20, 1.25e8}
    logs = [math.log2(one.vm.memory_bytes / GIB) / 3 for one in drawn]
    assert 0.45 < sum(logs) / len(logs) < 0.55
    assert min(logs) < 0.03
    assert max(logs) > 0.97


def test_most_vcpus_narrows_the_ranges_and_the_choices() -> None:
    groups = [{"vcpus": {"uniform": [3, 9]}, "pattern": "read-only"}, {"vcpus": {"choice": [1, 8]}, "pattern": "idle"}]
    alternatives = {"choice": [groups, [{"vcpus": 12, "pattern": "read-only"}]]}
    suite = suite_of(content(workload=alternatives))
    drawn = suite.scenarios(200, 0, 5)
    assert {tuple(group.vcpus for group in one.workload) for one in drawn} == {(3, 1), (4, 1)}
    assert {one.vcpus for one in suite.scenarios(200)} == {*range(4, 11), 12, *range(11, 18)}
    with pytest.raises(BadInputError, match="no scenario with 3 vCPUs or fewer, only from 4"):
        suite.scenarios(1, 0, 3)


def test_times_of_a_schedule_may_be_in_pass_times() -> None:
    groups = content()["workload"]
    groups[0]["schedule"] = {"kind": "phased", "period": {"uniform": ["0.5 T0", "2 T0"]}, "duty": 0.5}
    ratios = [one.workload[0].schedule.period_s / one.pass_time_s for one in suite_of(content(workload=groups)).scenarios(99)]  # type: ignore[union-attr]  # fmt: skip # noqa: E501
    assert 0.5 <= min(ratios) < 0.6
    assert 1.9 < max(ratios) <= 2


def test_parts_of_every_kind_can_be_drawn() -> None:
    links = [
        {"kind": "constant", "bandwidth": "unlimited", "line_speed": "10 Gbit/s"},
        {"kind": "steps", "times": ["0 s", {"uniform": ["2 s", "3 s"]}], "bandwidths": ["1 GB/s", "0.5 GB/s"], "period": "5 s"},  # noqa: E501
        {"kind": "markov", "high_bandwidth": "1 GB/s", "low_bandwidth": {"uniform": ["0.1 GB/s", "0.5 GB/s"]},
         "high_hold": "1 s", "low_hold": "2 s"},
        {"kind": "ornstein-uhlenbeck", "mean_bandwidth": "1 GB/s", "relative_sd": {"uniform": [0.1, 0.5]},
         "correlation_time": "2 s"},
        {"kind": "trace", "times": ["0 s", "4 s"], "bandwidths": ["1 GB/s", "0.5 GB/s"]},
    ]  # fmt: skip
    suite = suite_of(
        content(
            vm={"memory": "4 GiB", "zero": {"uniform": ["0 B", "1 GiB"]}, "page": {"choice": ["4 KiB", "2 MiB"]}},
            link={"choice": links},
            device={"pressure": {"log_uniform": [0.01, 0.1]}, "memory_share": 0.01},
            dirty_log={"kind": {"choice": ["bitmap", "ring"]}, "ring_entries": {"uniform": [1024, 4096]}},
        )
    )
    drawn = suite.scenarios(100)
    assert {one.link.kind for one in drawn} == {link["kind"] for link in links}
    assert {one.vm.dirty_granule_bytes for one in drawn} == {4096, 2**21}
    assert {one.dirty_log.kind for one in drawn} == {"bitmap", "ring"}
    assert len({one.dirty_log.ring_entries for one in drawn}) > 50
    assert all(0.0099 < one.device.rate_bytes_per_s / one.bandwidth_bytes_per_s < 0.101 for one in drawn)


GROUP = {"vcpus": 1, "pattern": "uniform", "working_set": "1 MiB", "write_rate": "1 MB/s"}


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"vm": {"memory": {"lognormal": ["1 GB", "2 GB"]}}}, "sampler.vm.memory: {'lognormal': ['1 GB', '2 GB']}: must be a value or one of: {uniform: [...]}, {log_uniform: [...]}, {choice: [...]} (did you mean 'log_uniform'?)"),  # noqa: E501
        ({"vm": {"memory": {"uniform": ["1 GB"]}}}, "sampler.vm.memory.uniform: ['1 GB']: must be [low, high]"),
        ({"vm": {"memory": {"uniform": ["2 GB", "1 GB"]}}}, "must be [low, high] with low <= high"),
        ({"vm": {"memory": {"uniform": ["1 GB", 2]}}}, "sampler.vm.memory.uniform[1]: 2 must be text with a unit"),
        ({"vm": {"memory": {"uniform": ["1 GB", "128M"]}}}, "sampler.vm.memory.uniform[1]: '128M'"),
        ({"vm": {"memory": "1 GB", "zero": {"log_uniform": ["0 B", "1 GB"]}}}, "with 0 < low <= high"),
        ({"vm": {"memory": {"choice": []}}}, "sampler.vm.memory.choice: []: must be a list of values"),
        ({"vm": {"memry": "1 GB"}}, "sampler.vm: unknown key 'memry' (did you mean 'memory'?)"),
        ({"vm": {}}, "sampler.vm.memory: missing"),
        ({"vm": 3}, "sampler.vm: 3: must be a mapping with the keys memory"),
        ({"lnk": {}}, "sampler: unknown key 'lnk' (did you mean 'link'?)"),
        ({"name": "x"}, "sampler: unknown key 'name'"),
        ({"link": {"kind": "constnt"}}, "sampler.link: kind: 'constnt' is unknown (did you mean 'constant'?)"),
        ({"link": {}}, "sampler.link: needs a 'kind'; allowed: constant, steps"),
        ({"link": {"kind": "constant"}}, "sampler.link.bandwidth: missing"),
        ({"workload": []}, "sampler.workload: []: must be a list of groups"),
        ({"workload": {"choice": 3}}, "sampler.workload: choice: 3: must be a list of lists of groups"),
        ({"workload": [{**GROUP, "pattern": {"uniform": ["idle", "uniform"]}}]}, "must be a value or one of: {choice: [...]}"),  # noqa: E501
        ({"workload": [{**GROUP, "pattern": {"choice": ["seq"]}}]}, "pattern.choice[0]: unknown pattern 'seq' (did you mean 'sequential'?)"),  # noqa: E501
        ({"workload": [{**GROUP, "pressure": 2}]}, "give either 'write_rate' or 'pressure', not both"),
        ({"workload": [{**GROUP, "memory_share": 0.5}]}, "give either 'working_set' or 'memory_share', not both"),
        ({"workload": [{**GROUP, "vcpus": {"uniform": [1, 1.5]}}]}, "sampler.workload[0].vcpus.uniform[1]: 1.5"),
        ({"workload": [{**GROUP, "vcpus": 40}] * 2}, "at least 80 vCPUs; allowed: 1 to 64"),
        ({"workload": [{**GROUP, "schedule": {"kind": "phased", "duty": 0.5, "period": {"uniform": ["1 s", "2 T0"]}}}]}, "both or none must be multiples of T0"),  # noqa: E501
        ({"limits": {"downtime": "2 T0"}}, "sampler.limits.downtime: '2 T0'"),
        ({"device": {"pressure": -1, "memory_share": 0.1}}, "sampler.device.pressure: -1"),
        ({"device": {"rate": "1 MB/s", "pressure": 1}}, "give either 'rate' or 'pressure', not both"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_an_error_that_names_the_field(parts: dict[str, Any], told: str) -> None:
    assert any(told in fault for fault in faults(content(**parts))), faults(content(**parts))


def test_all_faults_are_told_at_once() -> None:
    told = faults({"vm": {"memory": 3}, "workload": [{"pattern": "x"}], "lnk": 1})
    places = ["sampler: unknown", "sampler.link: missing", "sampler.vm.memory", "sampler.workload[0].vcpus",
              "sampler.workload[0].pattern"]  # fmt: skip
    assert [place for place in places if not any(fault.startswith(place) for fault in told)] == []


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"workload": [{**GROUP, "working_set": {"uniform": ["1 MiB", "2 GiB"]}}]}, "exceed the memory"),
        ({"workload": [{"vcpus": 1, "pattern": "uniform", "memory_share": 0.6, "pressure": 1}] * 2}, "exceed the memory"),  # noqa: E501
        ({"workload": [{"vcpus": 1, "pattern": {"choice": ["idle", "uniform"]}, "pressure": 1, "memory_share": 0.1}]}, "'idle' writes nothing"),  # noqa: E501
        ({"limits": {"deadline_pass_times": {"uniform": [10, 5000]}}}, "deadline_pass_times"),
        ({"vm": {"memory": {"log_uniform": ["4 KiB", "8 GiB"]}}, "link": {"kind": "constant", "bandwidth": "0.1 PB/s"}}, "pass time T0"),  # noqa: E501
    ],
)  # fmt: skip
def test_what_cannot_be_at_the_ends_of_the_ranges_is_an_error_when_the_file_is_read(
    parts: dict[str, Any], told: str
) -> None:
    assert told in "".join(faults(content(**parts)))


def test_the_example_that_comes_with_dqgym_is_a_sampler() -> None:
    suite = get_suite(str(EXAMPLE))
    assert suite.kind == "sampler"
    assert suite.description == yaml.safe_load(EXAMPLE.read_text())["description"]
    assert len({one.link.kind for one in suite.scenarios(30)}) == 2


def test_limits_of_a_sampler_are_those_of_a_scenario_file() -> None:
    growth = {"kind": "doubling", "delay": "6 rounds", "end": {"uniform": ["1 s", "2 s"]}}
    limits = {"deadline": {"choice": ["100 s/GiB", "30 T0"]}, "on_deadline": "pause", "downtime_growth": growth}
    drawn = suite_of(content(limits=limits)).scenarios(20)
    assert {str(one.limits.deadline) for one in drawn} == {"100 s/GiB", "30 T0"}
    assert all(1.0 <= one.limits.downtime_growth.end_s <= 2.0 for one in drawn if one.limits.downtime_growth)
    old = suite_of(content(limits={"deadline_pass_times": {"uniform": [10, 30]}})).scenarios(5)
    assert all(one.limits.deadline.unit == "T0" and 10 <= one.limits.deadline.value <= 30 for one in old)
