"""Deadlines, growing downtime limits and caps on rounds, as people write them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dqgym.scenario import ConstantLink, Scenario, ScenarioError, scenario_from_yaml, scenario_to_yaml
from dqgym.scenario.limits import DoublingGrowth, Limits, SlopeGrowth, Span, StepsGrowth, pass_times
from dqgym.scenario.scaling import scaled

GIB = 2**30


def with_limits(limits: str) -> Scenario:
    return scenario_from_yaml(
        "name: some\nvm: {memory: 6 GiB, zero: 2 GiB}\nworkload: [{vcpus: 1, pattern: idle}]\n"
        f"link: {{kind: constant, bandwidth: 1 GiB/s}}\nlimits: {{{limits}}}"
    )


@pytest.mark.parametrize(
    ("text", "deadline_s"),
    [
        ("deadline: 600 s", 600.0),
        ("deadline: 10 min", 600.0),
        ("deadline: 800 s/GiB", 6400.0),
        ("deadline: 2.5 min/GiB", 1200.0),
        ("deadline: 20 T0", 120.0),
        ("deadline_pass_times: 20", 120.0),
        ("deadline: 2 s", 2.0),
    ],
)
def test_a_deadline_is_a_time_a_time_per_gib_of_all_memory_or_in_t0(text: str, deadline_s: float) -> None:
    scenario = with_limits(text)
    assert scenario.deadline_s == scenario.latest_end_s == deadline_s
    assert scenario_from_yaml(scenario_to_yaml(scenario)) == scenario


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("deadline: 20", "limits.deadline: 20 must be text with a unit"),
        ("deadline: 5 rounds", "'5 rounds' is in rounds; allowed: s, s/GiB, T0"),
        ("deadline: 1 T0", "above 1 and at most 1000"),
        ("deadline: 3 lightyears", "'lightyears' is not a unit of time"),
        ("deadline: 0.1 ms", "from 1 ms to 1e7 s"),
        ("deadline: 90000 s", "makes a deadline of 90000 s"),
        ("deadline: 5 s, deadline_pass_times: 20", "either 'deadline' or 'deadline_pass_times'"),
        ("deadline_pass_times: many", "deadline_pass_times: 'many' must be above 1"),
        ("on_deadline: stop", "limits.on_deadline: 'stop' is unknown"),
        ("max_rounds: 0", "limits.max_rounds: 0"),
        ("on_max_rounds: pause", "on_max_rounds: 'pause' needs max_rounds"),
        ("downtime_growth: {kind: doubling, delay: 2.5 rounds}", "must be a whole number of rounds"),
        ("downtime_growth: {kind: doubling, delay: 1 s, end: 100 ms}", "a limit never shrinks"),
        ("downtime_growth: {kind: cubes, delay: 1 s}", "'cubes' is unknown.*allowed: steps, slope, doubling"),
        ("downtime_growth: {delay: 1 s}", "needs a 'kind'; allowed: steps, slope, doubling"),
        ("downtime_growth: {kind: steps, end: 1 s, steps: 5}", "limits.downtime_growth.delay: missing"),
    ],
)
def test_a_limit_that_is_wrong_is_named_with_what_is_allowed(limits: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        with_limits(limits)


def test_a_deadline_in_python_says_its_unit_too() -> None:
    assert Limits(deadline="600 s").deadline == Span(600.0, "s")
    with pytest.raises(ValidationError, match="must be text with a unit"):
        Limits(deadline=600.0)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1 round", Span(1, "rounds")),
        ("6 rounds", Span(6, "rounds")),
        ("75 s/GiB", Span(75.0, "s/GiB")),
        ("0.5 T0", Span(0.5, "T0")),
        ("300 ms", Span(0.3, "s")),
    ],
)
def test_spans_are_written_as_they_are_read(text: str, span: Span) -> None:
    assert Span.parse(text) == span == Span.parse(str(span))


def test_a_migration_that_is_paused_at_its_deadline_has_as_long_again() -> None:
    assert with_limits("deadline: 60 s, on_deadline: pause").latest_end_s == 120.0


def steps_of(growth: StepsGrowth | SlopeGrowth | DoublingGrowth, start_s: float, count: int) -> list[float]:
    rise, limits_s = growth.rise_from(start_s), [start_s]
    for _ in range(count):
        limits_s.append(min(rise.factor * limits_s[-1] + rise.add_s, rise.end_s))
    return limits_s


def test_steps_reach_the_end_after_as_many_as_there_are() -> None:
    linear = StepsGrowth(end_s=0.5, steps=4, delay="10 s")
    assert steps_of(linear, 0.1, 5) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    assert steps_of(DoublingGrowth(end_s=0.5, delay="6 rounds"), 0.1, 4) == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])
    slope = SlopeGrowth(end_s=0.5, over_s=4.0)
    assert steps_of(slope, 0.1, 4) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_exponential_steps_are_those_of_nova() -> None:
    """nova/virt/libvirt/migration.py, ``downtime_steps``: offset + base ** i ms, for 500 ms in 10 steps."""
    offset = 500 / 11
    base = (500 - offset) ** (1 / 10)
    nova_s = [(offset + base**i) / 1000 for i in range(11)]
    growth = StepsGrowth(end_s=0.5, steps=10, delay="75 s/GiB", rise="exponential")
    assert steps_of(growth, nova_s[0], 10) == pytest.approx(nova_s, rel=1e-9)


def test_a_scenario_in_small_keeps_its_limits_in_t0_and_rounds() -> None:
    large = with_limits(
        "downtime: 1 s, deadline: 60 s, on_deadline: pause, max_rounds: 9,"
        " downtime_growth: {kind: steps, end: 3 s, steps: 5, delay: 10 s/GiB, first: 2 rounds}"
    )
    small = scaled(large, GIB, GIB / 4)  # a sixth of the memory, two thirds of the pass time
    assert small.deadline_s / small.pass_time_s == pytest.approx(large.deadline_s / large.pass_time_s)
    growth = small.limits.downtime_growth
    assert isinstance(growth, StepsGrowth)
    assert (growth.first, growth.steps, small.limits.max_rounds) == (Span(2, "rounds"), 5, 9)
    assert growth.end_s == pytest.approx(2.0)
    assert small.in_seconds(growth.delay) / small.pass_time_s == pytest.approx(80.0 / 6.0, rel=0.01)
    assert pass_times(3).seconds(GIB, small.pass_time_s) == pytest.approx(12.0)


def test_a_sender_that_is_slower_than_the_link_decides_the_pass_time() -> None:
    slow = ConstantLink(bandwidth_bytes_per_s=4e9, line_speed_bytes_per_s=5e9, sender_bytes_per_s=1e9)
    assert slow.nominal_bandwidth_bytes_per_s == slow.highest_bandwidth_bytes_per_s == 1e9
    assert slow.last_stage_bytes_per_s == 1e9
    fast = slow.model_copy(update={"sender_bytes_per_s": 4.5e9})
    assert (fast.nominal_bandwidth_bytes_per_s, fast.last_stage_bytes_per_s) == (4e9, 4.5e9)
