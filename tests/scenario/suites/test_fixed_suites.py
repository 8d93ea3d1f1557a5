from __future__ import annotations

import math

import pytest

from dqgym.scenario.suites import get_suite
from dqgym.scenario.suites.cover_letter import letter_rows
from dqgym.scenario.suites.guest_runtime import recorded_runtimes

# The letter's table, transcribed apart from the data file: m GB, n, l GB/s, b MiB/s, current s, dirty quota s.
NEVER = math.inf
TABLE_A = {
    "row-01": (8, 2, 8.00, 640, 60.38, 15.22),
    "row-03": (32, 6, 0.10, 640, 49.81, 49.80),
    "row-08": (16, 4, 1.26, 64, 1538.94, 426.21),
    "row-09": (32, 6, 1.80, 1024, 1406.80, 452.82),
    "row-09-misprint": (32, 6, 1.80, 128, 1406.80, 452.82),
    "row-12": (16, 4, 16.00, 64, NEVER, 461.47),
    "row-15": (128, 16, 128.00, 128, NEVER, 1946.00),
}


def test_the_cover_letter_has_fifteen_rows_and_a_second_reading_of_row_9() -> None:
    names = [scenario.name for scenario in get_suite("cover-letter").scenarios()]
    rows = [f"row-{row:02d}" for row in range(1, 16)]
    assert names == [*rows[:9], "row-09-misprint", *rows[9:]]
    assert list(letter_rows()) == names


@pytest.mark.parametrize("name", TABLE_A)
def test_a_row_is_the_migration_and_the_times_that_the_letter_gives(name: str) -> None:
    memory_gb, threads, rate_gb_per_s, bandwidth_mib_per_s, current_s, dirty_quota_s = TABLE_A[name]
    scenario = {scenario.name: scenario for scenario in get_suite("cover-letter").scenarios()}[name]
    group = scenario.workload[0]
    assert scenario.vm.memory_bytes == memory_gb * 10**9
    assert scenario.vcpus == group.vcpus == threads
    assert group.pattern == "sequential"
    assert group.write_rate_bytes_per_s * threads == pytest.approx(rate_gb_per_s * 1e9)
    assert group.working_set_bytes * threads == pytest.approx(memory_gb * 1e9, rel=1e-5)
    assert scenario.bandwidth_bytes_per_s == bandwidth_mib_per_s * 2**20
    assert letter_rows()[name].current_time_s == current_s
    assert letter_rows()[name].dirty_quota_time_s == dirty_quota_s


def test_the_letter_calls_four_rows_unconverged() -> None:
    never = [name for name, row in letter_rows().items() if math.isinf(row.current_time_s)]
    assert never == ["row-12", "row-13", "row-14", "row-15"]


def test_only_row_9_is_marked_as_a_likely_misprint() -> None:
    assert [name for name, row in letter_rows().items() if row.likely_misprint] == ["row-09"]
    assert [name for name, row in letter_rows().items() if row.assumed_correction] == ["row-09-misprint"]


def test_no_row_is_faster_than_its_pass_time_with_the_units_chosen() -> None:
    pass_times_s = {scenario.name: scenario.pass_time_s for scenario in get_suite("cover-letter").scenarios()}
    for name, row in letter_rows().items():
        assert min(row.current_time_s, row.dirty_quota_time_s) > pass_times_s[name]


def test_the_guest_runtime_mixes_have_5_3_and_2_writers_among_7() -> None:
    mixes = get_suite("guest-runtime").scenarios()
    writers = {mix.name: sum(group.vcpus for group in mix.workload if group.writes) for mix in mixes}
    assert writers == {"write-intensive": 5, "read-write-balanced": 3, "read-intensive": 2}
    assert {mix.vcpus for mix in mixes} == {7}


def test_the_recorded_runtimes_belong_to_the_mixes() -> None:
    recorded = recorded_runtimes()
    assert list(recorded) == [mix.name for mix in get_suite("guest-runtime").scenarios()]
    assert recorded["read-write-balanced"].current_percent == 40.6
    assert recorded["read-intensive"].dirty_quota_percent == 81.8


def test_a_fixed_suite_gives_no_more_than_it_has() -> None:
    suite = get_suite("guest-runtime")
    assert suite.scenarios(2, seed=7) == suite.scenarios()[:2]
    with pytest.raises(ValueError, match="has 3 scenarios, count=4"):
        suite.scenarios(4)


def test_a_fixed_suite_names_the_scenario_that_exceeds_the_cap_on_vcpus() -> None:
    with pytest.raises(ValueError, match=r"'row-03' has 6 vCPUs: more than max_vcpus=4"):
        get_suite("cover-letter").scenarios(3, max_vcpus=4)
