from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dqgym import units
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.model.pool import pack_scenarios
from dqgym.scenario import Scenario, ScenarioError, bounds, scenario_from_yaml, scenario_to_yaml
from dqgym.scenario.link import OU_HOLD
from dqgym.scenario.scaling import scaled
from dqgym.scenario.suites import get_suite, suite_names

Change = Callable[[float], dict[str, Any]]
READER = {"vcpus": 1, "pattern": "read-only"}
LEVELS = {"high_bandwidth_bytes_per_s": 1e6, "low_bandwidth_bytes_per_s": 1e6}


def scenario(**changes: Any) -> Scenario:
    """T0 is 4 s, the deadline 80 s."""
    fields: dict[str, Any] = {
        "name": "some",
        "vm": {"memory_bytes": 4 * 10**6},
        "workload": [READER],
        "link": {"kind": "constant", "bandwidth_bytes_per_s": 1e6},
    }
    return Scenario.model_validate({**fields, **changes})


def writer(**changes: Any) -> dict[str, Any]:
    group = {"vcpus": 1, "pattern": "uniform", "working_set_bytes": 4096, "write_rate_bytes_per_s": 1.0, **changes}
    return {"workload": [group]}


def link(kind: str, **fields: Any) -> dict[str, Any]:
    return {"link": {"kind": kind, **fields}}


def steps(**fields: Any) -> dict[str, Any]:
    return link("steps", **{"times_s": [0.0], "bandwidths_bytes_per_s": [1e6], **fields})


WITHIN: list[tuple[str, bounds.Bounds, Change]] = [
    ("memory_bytes", bounds.MEMORY_BYTES,
     lambda v: {"vm": {"memory_bytes": v}, **link("constant", bandwidth_bytes_per_s=1e6 if v < 1e6 else 1e10)}),
    ("zero_bytes", bounds.SIZE_BYTES, lambda v: {"vm": {"memory_bytes": 4 * 10**6, "zero_bytes": v}}),
    ("bandwidth_bytes_per_s", bounds.BANDWIDTH_BYTES_PER_S,
     lambda v: {"vm": {"memory_bytes": 4096 if v < 2 else 2**50}, **link("constant", bandwidth_bytes_per_s=v)}),
    ("bandwidths_bytes_per_s", bounds.BANDWIDTH_BYTES_PER_S,
     lambda v: steps(times_s=[0.0, 1.0], bandwidths_bytes_per_s=[1e6, v])),
    ("line speed", bounds.Bounds(1e6, 1e15, ""),
     lambda v: link("constant", bandwidth_bytes_per_s=1e6, line_speed_bytes_per_s=v)),
    ("write_rate_bytes_per_s", bounds.WRITE_RATE_BYTES_PER_S, lambda v: writer(write_rate_bytes_per_s=v)),
    ("rate_bytes_per_s", bounds.WRITE_RATE_BYTES_PER_S,
     lambda v: {"device": {"rate_bytes_per_s": v, "working_set_bytes": 4096}}),
    ("write_rate times the largest of rate_factors", bounds.Bounds(0.0, 1e15, ""),
     lambda v: writer(schedule={"kind": "recorded", "times_s": [0.0], "rate_factors": [v]}) if v >= 0 else writer()),
    ("downtime_s", bounds.DURATION_S, lambda v: {"limits": {"downtime_s": v}}),
    ("period_s", bounds.DURATION_S, lambda v: writer(schedule={"kind": "phased", "period_s": v, "duty": 0.5})),
    ("period_s", bounds.DURATION_S, lambda v: writer(schedule={"kind": "bursty", "period_s": v, "duty": 0.5})),
    ("high_hold_s", bounds.DURATION_S, lambda v: link("markov", **LEVELS, high_hold_s=v, low_hold_s=1.0)),
    ("low_hold_s", bounds.DURATION_S, lambda v: link("markov", **LEVELS, high_hold_s=1.0, low_hold_s=v)),
    ("times", bounds.Bounds(1e-9, 1e9, ""), lambda v: steps(times_s=[0.0, v], bandwidths_bytes_per_s=[1e6, 1e6])),
    ("deadline_pass_times", bounds.Bounds(math.nextafter(1.0, 2.0), 1000.0, ""),
     lambda v: {"limits": {"deadline_pass_times": v}}),
    ("deadline", bounds.DEADLINE_S, lambda v: {
        "limits": {"deadline": f"{v!r} s"}, "vm": {"memory_bytes": 2**40}, **link("constant", bandwidth_bytes_per_s=2e7)
    } if math.isfinite(v) else {"limits": {"deadline": "inf s"}}),
    ("clear_chunk_bytes", bounds.CLEAR_CHUNK_BYTES, lambda v: {"dirty_log": {"clear_chunk_bytes": v}}),
    ("hot_fraction", bounds.HOT_FRACTION,
     lambda v: writer(pattern="hot-cold", hot_fraction=v, hot_share=1.0)),
    ("zipf_skew", bounds.ZIPF_SKEW, lambda v: writer(pattern="hot-cold", zipf_skew=v)),
]  # fmt: skip
"""Field, its bounds, and a scenario that has a value there."""
IDS = [f"{number}-{field}" for number, (field, _, _) in enumerate(WITHIN)]


def beyond(value: float, direction: int) -> float:
    return int(value) + direction if value == int(value) and value > 1000 and value < 2**52 else (
        math.nextafter(value, direction * math.inf))  # fmt: skip


@pytest.mark.parametrize(("field", "limits", "change"), WITHIN, ids=IDS)
def test_each_end_is_allowed_and_what_is_just_beyond_is_refused_by_its_name(
    field: str, limits: bounds.Bounds, change: Change
) -> None:
    for end, direction in ((limits.least, -1), (limits.most, 1)):
        allowed = scenario(**change(end))
        assert scenario_from_yaml(scenario_to_yaml(allowed)) == allowed
        if end == 0 and field.startswith("write_rate times"):
            continue  # a negative factor is refused by itself
        with pytest.raises(ValidationError, match=re.escape(field).replace(r"\ ", "[ _]")):
            scenario(**change(beyond(end, direction)))


@pytest.mark.parametrize(
    "limits", [value for value in vars(bounds).values() if isinstance(value, bounds.Bounds)], ids=lambda b: b.allowed
)
def test_what_messages_say_is_what_is_checked(limits: bounds.Bounds) -> None:
    said = limits.allowed.removeprefix("0 B/s, or ").removeprefix("from ").removeprefix("above ")
    assert [_number(text) for text in re.split(" to | and at most ", said)] == [limits.least, limits.most]


def _number(text: str) -> float:
    for parse in (float, units.parse_bytes, units.parse_rate, units.parse_time):
        try:
            return float(parse(text))
        except ValueError:
            continue
    raise AssertionError(text)


@pytest.mark.slow
def test_tables_have_100000_entries_at_most() -> None:
    times_s = [float(number) for number in range(bounds.MOST_ENTRIES + 1)]
    for field, change in (
        ("times_s", lambda n: steps(times_s=times_s[:n], bandwidths_bytes_per_s=[1e6] * n)),
        ("times_s", lambda n: writer(schedule={"kind": "recorded", "times_s": times_s[:n], "rate_factors": [1.0] * n})),
    ):
        scenario(**change(bounds.MOST_ENTRIES))
        with pytest.raises(ValidationError, match=field):
            scenario(**change(bounds.MOST_ENTRIES + 1))


def test_names_have_100_characters_at_most() -> None:
    scenario(name="x" * bounds.MOST_NAME_CHARACTERS)
    with pytest.raises(ValidationError, match="name"):
        scenario(name="x" * (bounds.MOST_NAME_CHARACTERS + 1))


def test_a_pass_takes_a_microsecond_at_least() -> None:
    page = {"vm": {"memory_bytes": 4096}}
    scenario(**page, **link("constant", bandwidth_bytes_per_s=4.096e9))
    with pytest.raises(ValidationError, match=r"T0.*memory.*bandwidth.*must be from 1 us to"):
        scenario(**page, **link("constant", bandwidth_bytes_per_s=4.097e9))


def test_the_deadline_is_at_most_116_days() -> None:
    large = {"vm": {"memory_bytes": 10**9}, **link("constant", bandwidth_bytes_per_s=1e3)}
    scenario(**large, limits={"deadline_pass_times": 10.0})
    with pytest.raises(ValidationError, match=r"limits.deadline 10.000001 T0 makes.*the pass time T0.*1e\+07 s"):
        scenario(**large, limits={"deadline_pass_times": 10.000001})
    with pytest.raises(ValidationError, match="pass time"):
        scenario(vm={"memory_bytes": 10**12}, **link("constant", bandwidth_bytes_per_s=1.0))


@pytest.mark.parametrize(
    ("field", "change", "shortest"),
    [
        ("a period", lambda v: steps(period_s=v), 80.0 / 1e7),
        (
            "high_hold and low_hold",
            lambda v: link("markov", **LEVELS, high_hold_s=v, low_hold_s=v),
            80.0 / 1e7,
        ),
        (
            "a correlation_time",
            lambda v: link("ornstein-uhlenbeck", mean_bandwidth_bytes_per_s=1e6, relative_sd=0.1, correlation_time_s=v),
            80.0 / OU_HOLD / 1e7,
        ),
    ],
)
def test_a_link_changes_ten_million_times_at_most(field: str, change: Change, shortest: float) -> None:
    assert scenario(**change(shortest * 1.000001)).link.changes_until(80.0) <= bounds.MOST_LINK_CHANGES
    with pytest.raises(ValidationError, match=f"give longer {field}"):
        scenario(**change(shortest * 0.999999))


def test_what_comes_out_of_scaling_is_within_the_bounds_or_an_error_that_says_which() -> None:
    some = scenario(**writer(schedule={"kind": "phased", "period_s": 1e-8, "duty": 0.5}))
    with pytest.raises(units.BadInputError, match=r"the scenario in small: .*period.*from 1 ns"):
        scaled(some, 4 * 10**6, 1e8)
    with pytest.raises(units.BadInputError, match="pass time T0"):
        scaled(scenario(), 4096, 1e10)


def test_a_pool_has_tables_that_32_bit_indices_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dqgym.model.pool._MOST_TABLE_ENTRIES", 3)
    two = scenario(**steps(times_s=[0.0, 1.0], bandwidths_bytes_per_s=[1e6, 2e6]))
    pack_scenarios([two, two], DEFAULT_PARAMETERS)  # the same tables
    with pytest.raises(units.BadInputError, match="5 entries in all; allowed: at most 3"):
        pack_scenarios([two, two.model_copy()], DEFAULT_PARAMETERS)


def test_stores_that_never_leave_the_hot_part_fill_no_larger_ring() -> None:
    hot = writer(pattern="hot-cold", hot_fraction=0.1, hot_share=1.0, working_set_bytes=2 * 10**6)
    pool = pack_scenarios([scenario(**hot, dirty_log={"kind": "ring", "ring_entries": 256})], DEFAULT_PARAMETERS)
    assert pool.vcpu.max() >= 1e30  # RING_STORES: it never fills


@pytest.mark.parametrize("name", suite_names())
def test_the_suites_are_within_the_bounds(name: str) -> None:
    suite = get_suite(name)
    scenarios = suite.scenarios(None if suite.kind == "fixed" else 100)
    assert all(Scenario.model_validate(one.model_dump()) == one for one in scenarios)


YAML = """
name: some
vm: {memory: 8 GB}
workload: [{vcpus: 1, pattern: read-only}]
link: {kind: constant, bandwidth: unlimited, line_speed: 10GbE}
"""


def test_without_a_cap_the_migration_has_the_line_speed() -> None:
    assert scenario_from_yaml(YAML).bandwidth_bytes_per_s == 1.25e9
    with pytest.raises(ScenarioError, match=r"link: bandwidth: 'unlimited' needs a line_speed"):
        scenario_from_yaml(YAML.replace(", line_speed: 10GbE", ""))


def test_a_list_of_faults_is_cut() -> None:
    text = YAML.replace("constant, bandwidth: unlimited", f"steps, times: [{'x, ' * 5000}], bandwidths: [1 MB/s]")
    with pytest.raises(ScenarioError) as caught:
        scenario_from_yaml(text)
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert "more faults" in lines[-1]


def test_every_bound_is_tried_here() -> None:
    tried: Mapping[int, bool] = {id(limits): True for _, limits, _ in WITHIN}
    names = {name for name, value in vars(bounds).items() if isinstance(value, bounds.Bounds)}
    left = {name for name in names if id(getattr(bounds, name)) not in tried}
    assert left == {"INSTANT_S", "PASS_TIME_S", "DEADLINE_PASS_TIMES"}  # 'times', and two tests of their own


def test_the_documentation_has_every_limit() -> None:
    text = (Path(__file__).parents[2] / "docs" / "model.md").read_text().split("## Limits")[1]
    for limits in (value for value in vars(bounds).values() if isinstance(value, bounds.Bounds)):
        assert f"| {limits.allowed}" in text
    assert f"at most {bounds.MOST_DEADLINE_S:g} s".replace("+0", "") in text
    assert f"at most {bounds.MOST_LINK_CHANGES:,}" in text
    assert f"{bounds.MOST_ENTRIES:,} at most" in text
