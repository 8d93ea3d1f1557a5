from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from dqgym.scenario import Link, Scenario, VcpuGroup, scenario_from_yaml, scenario_to_yaml
from dqgym.scenario.suites import describe, get_suite, suite_names
from dqgym.scenario.suites.samplers import SAMPLERS

NAMES = [suite.name for suite in SAMPLERS]
PRESSURES = {
    "stationary": (0.1, 100),
    "streaming": (0.05, 1000),
    "working-sets": (1, 100),
    "phases": (1, 50),
    "bandwidth-steps": (0.3, 30),
    "noisy-neighbour": (1, 100),
    "mixed": (0.05, 1000),
    "medium": (0.05, 1000),
    "large": (0.05, 1000),
    "phases-jittered": (1, 50),
    "other-links": (0.05, 1000),
    "other-patterns": (0.05, 1000),
}
MEMORY_BYTES = {"medium": (1e9, 256e9), "large": (256e9, 1024e9)}
VCPUS = {"large": (33, 64)}
"""Where they are not 1 to 512 GB and 1 to 32."""
LOWEST_MEANS = {"other-links": 0.1}
"""The time mean of a link, over the bandwidth drawn for it, where it may be below a third."""


def pressure(scenario: Scenario) -> float:
    rate = sum(group.write_rate_bytes_per_s for group in scenario.vcpu_groups)
    return rate / scenario.bandwidth_bytes_per_s


def test_all_suites_are_registered_and_described() -> None:
    assert {*NAMES, "cover-letter", "guest-runtime", "kvm-lab"} == set(suite_names())
    assert set(NAMES) == set(PRESSURES)
    for name in suite_names():
        assert describe(name).startswith(name)
        assert get_suite(name).kind == ("sampler" if name in NAMES else "fixed")


def test_an_unknown_suite_is_an_error_with_the_nearest_name_and_the_list() -> None:
    with pytest.raises(ValueError, match=r"'cover-leter' \(did you mean 'cover-letter'\?\); suites: .*mixed"):
        get_suite("cover-leter")


@pytest.mark.parametrize("name", NAMES)
def test_the_kth_scenario_depends_on_suite_seed_and_k_only(name: str) -> None:
    suite = get_suite(name)
    assert suite.scenarios(20, seed=3)[:5] == suite.scenarios(5, seed=3)
    shapes = {scenario.model_copy(update={"name": "x"}) for seed in (3, 4) for scenario in suite.scenarios(20, seed)}
    assert len(shapes) == 40


@pytest.mark.slow
def test_another_process_draws_the_same_scenarios() -> None:
    code = (
        "from dqgym.scenario import scenario_to_yaml; from dqgym.scenario.suites import get_suite;"
        "print(''.join(map(scenario_to_yaml, get_suite('mixed').scenarios(3, seed=5))), end='')"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there == "".join(map(scenario_to_yaml, get_suite("mixed").scenarios(3, seed=5)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_samples_are_valid_and_within_the_documented_ranges(name: str) -> None:
    low, high = PRESSURES[name]
    smallest, largest = MEMORY_BYTES.get(name, (1e9, 512e9))
    fewest, most = VCPUS.get(name, (1, 32))
    for scenario in get_suite(name).scenarios(200, seed=1):
        assert scenario_from_yaml(scenario_to_yaml(scenario)) == scenario
        assert 0.999 * smallest <= scenario.vm.memory_bytes <= largest
        assert fewest <= scenario.vcpus <= most
        # The time mean of a link with several levels may be as low as its lowest one.
        assert 64 * 2**20 * LOWEST_MEANS.get(name, 1 / 3) <= scenario.bandwidth_bytes_per_s <= 2560 * 2**20 * 1.001
        assert low * 0.999 <= pressure(scenario) <= high * 1.001


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_cap_restricts_the_number_of_vcpus(name: str) -> None:
    for cap in (1, 5):
        counts = [scenario.vcpus for scenario in get_suite(name).scenarios(60, seed=2, max_vcpus=cap)]
        assert max(counts) == cap
    assert (
        max(scenario.vcpus for scenario in get_suite(name).scenarios(200, seed=2, max_vcpus=64))
        <= VCPUS.get(name, (1, 32))[1]
    )


def test_pressure_and_memory_are_spread_evenly_over_the_octaves() -> None:
    scenarios = get_suite("streaming").scenarios(600, seed=0)
    for values, bounds in (
        ([pressure(scenario) for scenario in scenarios], (0.05, 1000)),
        ([scenario.vm.memory_bytes for scenario in scenarios], (8e9, 512e9)),
    ):
        ends = np.log(bounds)
        position = (np.log(values) - ends[0]) / (ends[1] - ends[0])
        assert position.mean() == pytest.approx(0.5, abs=0.05)
        assert np.quantile(position, 0.25) == pytest.approx(0.25, abs=0.07)


def test_streaming_loops_over_all_of_memory_with_all_vcpus() -> None:
    for scenario in get_suite("streaming").scenarios(50, seed=0):
        assert all(group.pattern == "sequential" for group in scenario.workload)
        written = sum(group.working_set_bytes for group in scenario.vcpu_groups)
        assert written == pytest.approx(scenario.vm.memory_bytes, rel=1e-3)


def test_noisy_neighbour_has_two_writers_among_32_vcpus() -> None:
    for scenario in get_suite("noisy-neighbour").scenarios(20, seed=0):
        assert scenario.vcpus == 32
        assert sum(group.writes for group in scenario.vcpu_groups) == 2


def test_phases_last_0_4_to_4_pass_times() -> None:
    for scenario in get_suite("phases").scenarios(50, seed=0):
        schedules = [group.schedule for group in scenario.workload if group.writes]
        assert all(schedule.kind == "phased" for schedule in schedules)
        assert all(0.399 < schedule.period_s / scenario.pass_time_s < 4.001 for schedule in schedules)


def test_jittered_phases_are_phases_that_vary_by_up_to_half() -> None:
    jitters = []
    for scenario in get_suite("phases-jittered").scenarios(200, seed=0):
        schedules = [group.schedule for group in scenario.workload if group.writes]
        assert all(schedule.kind == "phased" for schedule in schedules)
        assert all(0.399 < schedule.period_s / scenario.pass_time_s < 4.001 for schedule in schedules)
        jitters += [schedule.jitter for schedule in schedules]
    assert stats.kstest(jitters, stats.uniform(0.0, 0.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("phases-jittered", "other-patterns")])
def test_elsewhere_phases_are_exactly_periodic(name: str) -> None:
    groups = [group for scenario in get_suite(name).scenarios(100, seed=0) for group in scenario.workload]
    assert not any(getattr(group.schedule, "jitter", 0.0) for group in groups)


def level_of(link: Link) -> float:
    """The low level of a link that falls to one at random, over its high one."""
    return link.low_bandwidth_bytes_per_s / link.high_bandwidth_bytes_per_s


@pytest.mark.slow
def test_other_links_are_none_that_mixed_has() -> None:
    known = [scenario.link for scenario in get_suite("mixed").scenarios(300, seed=0)]
    other = [scenario.link for scenario in get_suite("other-links").scenarios(300, seed=0)]
    assert {link.kind for link in other} == {"trace", "steps", "markov"}
    assert "trace" not in {link.kind for link in known}
    assert min(len(link.times_s) for link in other if link.kind == "steps") == 3
    assert max(len(link.times_s) for link in known if link.kind == "steps") == 2
    assert max(level_of(link) for link in other if link.kind == "markov") < 0.151
    assert min(level_of(link) for link in known if link.kind == "markov") > 0.33


def test_a_recorded_link_wanders_around_the_bandwidth_drawn_for_it() -> None:
    links = [each.link for each in get_suite("other-links").scenarios(200, seed=3) if each.link.kind == "trace"]
    spreads = [np.log(link.bandwidths_bytes_per_s).std() for link in links]
    assert min(spreads) > 0.05
    assert np.median(spreads) == pytest.approx(0.43, abs=0.08)
    for link in links:
        assert np.mean(link.bandwidths_bytes_per_s) == pytest.approx(link.nominal_bandwidth_bytes_per_s)
        assert 64 * 2**20 * 0.999 <= link.nominal_bandwidth_bytes_per_s <= 2560 * 2**20 * 1.001


@pytest.mark.slow
def test_other_patterns_are_none_that_mixed_has() -> None:
    def periods(name: str) -> list[float]:
        return [
            group.schedule.period_s / scenario.pass_time_s
            for scenario in get_suite(name).scenarios(300, seed=0)
            for group in scenario.workload
            if group.schedule.kind in ("phased", "bursty")
        ]

    def writers(name: str) -> list[VcpuGroup]:
        return [group for each in get_suite(name).scenarios(300, seed=0) for group in each.workload if group.writes]

    other, known = writers("other-patterns"), writers("mixed")
    assert {group.schedule.kind for group in other} == {"recorded", "phased", "bursty"}
    assert "recorded" not in {group.schedule.kind for group in known}
    assert not any(0.4001 < period < 3.999 for period in periods("other-patterns"))
    assert all(0.3999 < period < 4.001 for period in periods("mixed"))
    assert not any(0.4 < group.zipf_skew < 1.4 for group in other if group.zipf_skew is not None)
    assert all(0.4 <= group.zipf_skew <= 1.4 for group in known if group.zipf_skew is not None)
    assert min(group.hot_fraction for group in other if group.hot_fraction is not None) >= 0.3
    assert max(group.hot_fraction for group in known if group.hot_fraction is not None) <= 0.3
    open_share = np.mean([group.demand == "open" for group in other])
    assert open_share == pytest.approx(0.5, abs=0.1)


def test_bandwidth_steps_fall_to_a_third_in_turn_or_at_random() -> None:
    links = [scenario.link for scenario in get_suite("bandwidth-steps").scenarios(50, seed=0)]
    assert {link.kind for link in links} == {"steps", "markov"}
    for link in links:
        if link.kind == "steps":
            assert max(link.bandwidths_bytes_per_s) == pytest.approx(3 * min(link.bandwidths_bytes_per_s))
        else:
            assert link.high_bandwidth_bytes_per_s == pytest.approx(3 * link.low_bandwidth_bytes_per_s)


@pytest.mark.parametrize(
    "has",
    [
        lambda s: s.link.kind == "ornstein-uhlenbeck",
        lambda s: s.link.kind == "markov",
        lambda s: s.link.line_speed_bytes_per_s is not None,
        lambda s: s.device.rate_bytes_per_s > 0,
        lambda s: any(group.schedule.kind == "bursty" for group in s.workload),
        lambda s: any(group.schedule.kind == "phased" for group in s.workload),
        lambda s: any(group.zipf_skew is not None for group in s.workload),
        lambda s: any(group.hot_fraction is not None for group in s.workload),
        lambda s: any(group.demand == "open" for group in s.workload),
        lambda s: len(s.workload) >= 3,
    ],
)
def test_mixed_has_everything_often_enough(has: Callable[[Scenario], bool]) -> None:
    assert sum(map(has, get_suite("mixed").scenarios(300, seed=0))) >= 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": None}, "count must be a number"),
        ({"count": -1}, "count must be a number"),
        ({"count": 1, "seed": -1}, "seed must be"),
        ({"count": 1, "max_vcpus": 0}, "max_vcpus must be at least 1"),
    ],
)
def test_bad_arguments_are_errors(arguments: dict[str, int | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_suite("mixed").scenarios(**arguments)
