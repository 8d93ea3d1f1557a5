from __future__ import annotations

import contextlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dqgym.backends.kvm.workload.traces import CATCH_UP_S, READS_PER_S, PageTrace, Workload, workload_of
from dqgym.scenario import (
    Bursty,
    ConstantLink,
    DeviceWrites,
    Phased,
    Recorded,
    Scenario,
    Schedule,
    VcpuGroup,
    VirtualMachine,
)

PAGE = 4096
MEMORY_PAGES = 8192
RATE_PER_S = 1000.0


def scenario(*groups: VcpuGroup, device: DeviceWrites | None = None, memory_pages: int = MEMORY_PAGES) -> Scenario:
    return Scenario(
        name="some",
        vm=VirtualMachine(memory_bytes=memory_pages * PAGE),
        workload=groups,
        link=ConstantLink(bandwidth_bytes_per_s=1e8),
        device=device or DeviceWrites(),
    )


def writer(pages: int = 500, pattern: str = "uniform", vcpus: int = 1, **others: object) -> VcpuGroup:
    fields = {"vcpus": vcpus, "pattern": pattern, "working_set_bytes": pages * PAGE}
    return VcpuGroup.model_validate(fields | {"write_rate_bytes_per_s": RATE_PER_S * PAGE} | others)


def trace_of(group: VcpuGroup, seed: int = 0) -> PageTrace:
    return workload_of(scenario(group), seed).traces[0]


def accesses(trace: PageTrace, count: int, begin_s: float = 0.0) -> NDArray[np.uint32]:
    """The next ``count`` pages of a trace that runs all the time."""
    taken, until = [], trace.taken + count
    while trace.taken < until:
        trace.accrue(begin_s, begin_s + CATCH_UP_S, CATCH_UP_S)
        begin_s += CATCH_UP_S
        taken.append(trace.take(until - trace.taken))
    return np.concatenate(taken)


def pages_of(trace: PageTrace) -> set[int]:
    return set(accesses(trace, 20_000).tolist())


# --- which pages ------------------------------------------------------------------------------------------------------


def test_a_sequential_trace_loops_over_its_region_in_one_order() -> None:
    pages = accesses(trace_of(writer(500, "sequential")), 1300)
    assert pages.dtype == np.uint32
    assert len(set(pages[:500].tolist())) == 500
    np.testing.assert_array_equal(pages[500:1000], pages[:500])
    np.testing.assert_array_equal(pages[1000:], pages[:300])


def test_a_sequential_trace_starts_at_its_position() -> None:
    from_start = accesses(trace_of(writer(500, "sequential")), 500)
    from_position = accesses(trace_of(writer(500, "sequential", position=0.25)), 500)
    np.testing.assert_array_equal(from_position, np.roll(from_start, -125))


def test_a_take_may_go_round_a_small_region_several_times() -> None:
    trace = trace_of(writer(7, "sequential", demand="open"))
    trace.accrue(0.0, 0.1, 0.1)
    pages = trace.take(100)
    np.testing.assert_array_equal(pages, np.tile(pages[:7], 15)[:100])


def test_uniform_writes_hit_each_page_of_the_region_alike() -> None:
    pages, counts = np.unique(accesses(trace_of(writer(100)), 100_000), return_counts=True)
    assert len(pages) == 100
    # 99 degrees of freedom: 0.001 of all seeds are above 148.
    assert ((counts - 1000) ** 2 / 1000).sum() < 148


def test_hot_cold_sends_the_hot_share_of_the_writes_to_the_hot_fraction_of_the_pages() -> None:
    pages, counts = np.unique(
        accesses(trace_of(writer(1000, "hot-cold", hot_fraction=0.1, hot_share=0.8)), 200_000), return_counts=True
    )
    assert len(pages) == 1000
    counts = np.sort(counts)[::-1]  # 1600 times each hot page, 44 times each cold one: far apart
    assert counts[:100].sum() / 200_000 == pytest.approx(0.8, abs=0.005)
    assert counts[:100].std() == pytest.approx(math.sqrt(1600), rel=0.3)
    assert counts[100:].std() == pytest.approx(math.sqrt(200_000 * 0.2 / 900), rel=0.15)


@pytest.mark.parametrize("hot", [(0.001, 0.9), (0.999, 0.9995)])
def test_a_hot_part_that_has_no_page_or_all_pages_leaves_them_alike(hot: tuple[float, float]) -> None:
    trace = trace_of(writer(100, "hot-cold", hot_fraction=hot[0], hot_share=hot[1]))
    _, counts = np.unique(accesses(trace, 100_000), return_counts=True)
    assert len(counts) == 100
    assert ((counts - 1000) ** 2 / 1000).sum() < 148


def test_a_hot_share_of_all_leaves_the_cold_pages_alone() -> None:
    assert len(pages_of(trace_of(writer(100, "hot-cold", hot_fraction=0.25, hot_share=1.0)))) == 25


@pytest.mark.parametrize("skew", [0.5, 0.99, 1.5])
def test_zipf_writes_follow_the_law_page_by_page(skew: float) -> None:
    order = accesses(trace_of(writer(50, "sequential")), 50)  # a loop over the same region tells the ranks
    drawn = accesses(trace_of(writer(50, "hot-cold", zipf_skew=skew)), 200_000)
    counts = np.array([(drawn == page).sum() for page in order])
    weights = np.array([rank**-skew for rank in range(1, 51)])
    expected = len(drawn) * weights / weights.sum()
    # 49 degrees of freedom: 0.001 of all seeds are above 85.
    assert ((counts - expected) ** 2 / expected).sum() < 85


def test_a_read_only_vcpu_loads_from_all_of_the_memory() -> None:
    reader = VcpuGroup(vcpus=1, pattern="read-only")
    trace = workload_of(scenario(reader, memory_pages=300), 0).traces[0]
    assert (trace.writes, trace.idle) == (False, False)
    assert pages_of(trace) == set(range(300))
    trace = trace_of(reader)
    trace.accrue(0.0, 0.02, 0.02)
    assert trace.due() == pytest.approx(0.02 * READS_PER_S, abs=1)


def test_an_idle_vcpu_accesses_nothing() -> None:
    trace = trace_of(VcpuGroup(vcpus=1, pattern="idle"))
    assert (trace.writes, trace.idle) == (False, True)
    trace.accrue(-1.0, 100.0, 101.0)
    assert (trace.due(), trace.demanded, len(trace.take(10))) == (0, 0.0, 0)


def test_regions_are_disjoint_scattered_and_of_the_size_of_the_working_sets() -> None:
    device = DeviceWrites(rate_bytes_per_s=1e6, working_set_bytes=300 * PAGE)
    some = scenario(writer(500, "sequential", vcpus=2), writer(200), writer(100, "sequential"), device=device)
    workload = workload_of(some, 3)
    assert workload.device is not None
    regions = [pages_of(trace) for trace in (*workload.traces, workload.device)]
    assert [len(region) for region in regions] == [500, 500, 200, 100, 300]
    assert len(set.union(*regions)) == 1600
    assert max(set.union(*regions)) < MEMORY_PAGES
    for region in regions:
        assert np.mean(list(region)) == pytest.approx(MEMORY_PAGES / 2, rel=0.15)


def test_working_sets_may_fill_the_memory() -> None:
    workload = workload_of(scenario(writer(50, "sequential", vcpus=2), memory_pages=100), 0)
    assert set.union(*(pages_of(trace) for trace in workload.traces)) == set(range(100))


def test_equal_vcpus_write_at_places_of_their_own() -> None:
    first, second = workload_of(scenario(writer(500, vcpus=2)), 0).traces
    rank = {page: number for number, page in enumerate(np.unique(accesses(first, 20_000)))}
    other_rank = {page: number for number, page in enumerate(np.unique(accesses(second, 20_000)))}
    assert [rank[page] for page in accesses(first, 50)] != [other_rank[page] for page in accesses(second, 50)]


@pytest.mark.parametrize("pattern", ["sequential", "uniform"])
def test_the_seed_decides_everything(pattern: str) -> None:
    first, again, other = (accesses(trace_of(writer(500, pattern), seed), 200) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


@pytest.mark.slow
@given(takes=st.lists(st.integers(0, 60), max_size=30))
@pytest.mark.parametrize(
    "hot", [{"pattern": "sequential"}, {"pattern": "uniform"}, {"pattern": "hot-cold", "zipf_skew": 0.9}]
)
def test_the_pages_do_not_depend_on_how_they_are_taken(takes: list[int], hot: dict[str, object]) -> None:
    group = writer(300, demand="open", **hot)
    whole, pieces = trace_of(group), trace_of(group)
    for trace in (whole, pieces):
        trace.accrue(0.0, 2.0, 2.0)
    taken = [pieces.take(most) for most in takes]
    assert [len(part) for part in taken] == takes
    np.testing.assert_array_equal(np.concatenate([*taken, []]), whole.take(sum(takes)))
    assert pieces.taken == sum(takes)


def test_a_take_is_the_callers_to_change() -> None:
    trace = trace_of(writer(4, "sequential", demand="open"))
    trace.accrue(0.0, 1.0, 1.0)
    first = trace.take(4)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(trace.take(4), kept)


@pytest.mark.parametrize("page_bytes", [65536, 2 * 2**20])
def test_larger_pages_are_refused(page_bytes: int) -> None:
    vm = VirtualMachine(memory_bytes=2**30, page_bytes=page_bytes)
    some = scenario(VcpuGroup(vcpus=1, pattern="read-only")).model_copy(update={"vm": vm})
    with pytest.raises(ValueError, match=f"page_bytes: {page_bytes}: .* 4096"):
        workload_of(some, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed must be a whole number from 0, not -1"):
        workload_of(scenario(writer()), -1)


# --- how many ---------------------------------------------------------------------------------------------------------


def test_accesses_fall_due_at_the_rate_that_the_scenario_gives() -> None:
    trace = trace_of(writer())
    for step in range(100):
        trace.accrue(step / 100, (step + 1) / 100, 0.01)
        trace.take(1000)
    assert trace.demanded == pytest.approx(RATE_PER_S)
    assert trace.taken == pytest.approx(RATE_PER_S, abs=1)


def test_what_is_not_due_is_not_given() -> None:
    trace = trace_of(writer())
    trace.accrue(0.0, 0.0107, 0.0107)
    assert trace.due() == 10
    assert len(trace.take(4)) == 4
    assert (trace.due(), trace.taken) == (6, 4)
    assert len(trace.take(100)) == 6
    trace.accrue(0.0107, 0.0112, 0.0005)
    assert trace.due() == 1  # the fractions have added up


@pytest.mark.parametrize("demand", ["closed", "open"])
def test_a_stalled_vcpu_makes_up_what_it_missed_if_its_demand_is_open(demand: str) -> None:
    trace = trace_of(writer(demand=demand))
    for step in range(100):
        trace.accrue(step / 100, (step + 1) / 100, 0.0)
    assert trace.demanded == pytest.approx(RATE_PER_S)
    assert trace.due() == pytest.approx(RATE_PER_S if demand == "open" else 0, abs=1)


def test_a_vcpu_that_may_run_for_a_quarter_of_the_time_does_a_quarter() -> None:
    trace = trace_of(writer())
    for step in range(100):
        trace.accrue(step / 100, (step + 1) / 100, 0.0025)
        trace.take(1000)
    assert trace.taken == pytest.approx(RATE_PER_S / 4, abs=1)


@pytest.mark.parametrize(("rate_per_s", "most"), [(RATE_PER_S, RATE_PER_S * CATCH_UP_S), (2.0, 1)])
def test_a_busy_host_makes_up_for_50_ms_of_closed_demand_but_for_one_access_at_least(
    rate_per_s: float, most: float
) -> None:
    trace = trace_of(writer(write_rate_bytes_per_s=rate_per_s * PAGE))
    trace.accrue(0.0, 10.0, 10.0)
    assert trace.due() == most
    assert trace.demanded == pytest.approx(10 * rate_per_s)


def test_a_span_of_no_length_changes_nothing() -> None:
    trace = trace_of(writer())
    trace.accrue(0.0, 0.0, 0.0)
    assert (trace.due(), trace.demanded) == (0, 0.0)


def test_the_devices_fall_due_whether_anything_runs_or_not() -> None:
    device = DeviceWrites(rate_bytes_per_s=RATE_PER_S * PAGE, working_set_bytes=200 * PAGE)
    workload: Workload = workload_of(scenario(VcpuGroup(vcpus=1, pattern="idle"), device=device), 0)
    assert workload.device is not None
    assert workload.device.writes
    workload.device.accrue(0.0, 3.0, 0.0)
    assert workload.device.due() == 3 * RATE_PER_S
    assert len(set(workload.device.take(3000).tolist())) == 200


def test_a_scenario_without_device_writes_has_no_trace_for_them() -> None:
    assert workload_of(scenario(writer()), 0).device is None


# --- schedules --------------------------------------------------------------------------------------------------------


def demanded_at(schedule: Schedule, times_s: list[float], begin_s: float = 0.0) -> list[float]:
    """Seconds of full rate demanded by each of the times."""
    trace = trace_of(writer(schedule=schedule, demand="open"))
    sums: list[float] = []
    for time_s in times_s:
        trace.accrue(begin_s, time_s, time_s - begin_s)
        begin_s = time_s
        sums.append(trace.demanded / RATE_PER_S)
    return sums


def test_a_phased_vcpu_is_busy_first_then_quiet() -> None:
    schedule = Phased(period_s=2.0, duty=0.25, low_rate_fraction=0.1)
    # Half a second at 1, one and a half at 0.1.
    sums = demanded_at(schedule, [0.25, 0.5, 1.0, 2.0, 2.5, 20.0, 20.25])
    assert sums == pytest.approx([0.25, 0.5, 0.55, 0.65, 1.15, 6.5, 6.75])


def test_an_offset_begins_within_the_period() -> None:
    schedule = Phased(period_s=2.0, duty=0.25, low_rate_fraction=0.1, offset=0.2)
    # 0.4 s of the period are over: 0.1 s at 1 are left, then 1.5 s at 0.1.
    assert demanded_at(schedule, [0.1, 1.6, 1.7, 2.0]) == pytest.approx([0.1, 0.25, 0.35, 0.65])


@pytest.mark.parametrize(("offset", "factor"), [(0.0, 1.0), (0.2, 1.0), (0.3, 0.1)])
@pytest.mark.parametrize("kind", [Phased, Bursty])
def test_before_the_migration_the_factor_is_that_at_its_start(
    kind: type[Phased] | type[Bursty], offset: float, factor: float
) -> None:
    schedule = kind(period_s=2.0, duty=0.25, low_rate_fraction=0.1, offset=offset)
    before, after = demanded_at(schedule, [-1.0, 0.1], begin_s=-4.0)
    assert before == pytest.approx(3.0 * factor)
    assert after - before == pytest.approx(1.1 * factor)
    assert demanded_at(schedule, [0.1], begin_s=-4.0) == pytest.approx([4.1 * factor])


def test_a_recording_holds_its_last_factor_or_repeats() -> None:
    fields = {"times_s": (0.0, 1.0, 3.0), "rate_factors": (2.0, 0.0, 0.5)}
    # 2 in the first second, then nothing for two, then one half.
    assert demanded_at(Recorded(**fields), [0.5, 1.0, 3.0, 5.0, 103.0]) == pytest.approx([1.0, 2.0, 2.0, 3.0, 52.0])
    repeats = Recorded(**fields, period_s=5.0)
    assert demanded_at(repeats, [3.0, 5.0, 6.0, 10.0, 50.5]) == pytest.approx([2.0, 3.0, 5.0, 6.0, 31.0])


@pytest.mark.slow
def test_a_bursty_period_is_drawn_anew_and_the_quiet_part_stretches_with_it() -> None:
    schedule = Bursty(period_s=0.5, duty=0.4)
    step_s, steps = 0.001, 400_000
    sums = np.array(demanded_at(schedule, [step_s * (step + 1) for step in range(steps)]))
    busy = np.diff(sums, prepend=0.0) > 0.5 * step_s
    turns = np.flatnonzero(np.diff(busy.astype(int))) + 1
    busy_s, quiet_s = (np.diff(turns)[first::2] * step_s for first in (1, 0))
    assert busy[0]
    assert turns[0] == pytest.approx(200, abs=1)  # the first period has the mean length
    assert sums[-1] / (step_s * steps) == pytest.approx(0.4, abs=0.01)
    count = min(len(busy_s), len(quiet_s))
    # Each busy part follows the quiet one of the period before; that of a period comes before its own quiet part.
    seen = slice(0, count - 1)
    ratio = quiet_s[1:count] / np.maximum(busy_s[seen], step_s)
    long = busy_s[seen] > 0.1
    np.testing.assert_allclose(ratio[long], 1.5, atol=0.05)
    periods_s = busy_s[seen] + quiet_s[1:count]
    assert periods_s.mean() == pytest.approx(0.5, rel=0.1)
    assert periods_s.std() == pytest.approx(periods_s.mean(), rel=0.15)  # as an exponential distribution has it


@pytest.mark.slow
def test_a_jittered_period_is_drawn_anew_within_its_bounds() -> None:
    schedule = Phased(period_s=0.5, duty=0.4, jitter=0.3)
    step_s, steps = 0.001, 200_000
    sums = np.array(demanded_at(schedule, [step_s * (step + 1) for step in range(steps)]))
    busy = np.diff(sums, prepend=0.0) > 0.5 * step_s
    begins = np.flatnonzero(np.diff(busy.astype(int)) == 1) + 1
    assert begins[0] == pytest.approx(500, abs=1)  # the first period has the mean length
    periods_s = np.diff(begins) * step_s
    assert len(periods_s) > 350
    assert periods_s.min() >= 0.35 - 2 * step_s
    assert periods_s.max() <= 0.65 + 2 * step_s
    assert periods_s.mean() == pytest.approx(0.5, rel=0.03)
    assert periods_s.std() == pytest.approx(0.15 / np.sqrt(3.0), rel=0.1)
    assert busy.mean() == pytest.approx(0.4, abs=0.01)


def test_the_vcpus_of_a_jittered_group_are_in_step_and_groups_are_not() -> None:
    group = writer(vcpus=3, demand="open", schedule=Phased(period_s=0.2, duty=0.5, jitter=0.5))
    traces = workload_of(scenario(group, group), 0).traces
    for step in range(300):
        for trace in traces:
            trace.accrue(step / 100, (step + 1) / 100, 0.01)
    demanded = [trace.demanded for trace in traces]
    assert demanded[:3] == [demanded[0]] * 3
    assert demanded[3:] == [demanded[3]] * 3
    assert demanded[3] != demanded[0]


def test_equal_bursty_vcpus_are_out_of_step_whatever_they_are_let_to_do() -> None:
    group = writer(vcpus=2, demand="open", schedule=Bursty(period_s=0.2, duty=0.5))

    def demanded(most: int) -> list[list[float]]:
        traces = workload_of(scenario(group), 0).traces
        sums: list[list[float]] = [[], []]
        for step in range(300):
            for trace, own in zip(traces, sums, strict=True):
                trace.accrue(step / 100, (step + 1) / 100, 0.01)
                trace.take(most)
                own.append(trace.demanded)
        return sums

    first, second = demanded(most=1000)
    assert first != second
    assert demanded(most=0) == [first, second]


_inner = st.floats(0.05, 0.95)


@st.composite
def some_schedules(draw: st.DrawFn) -> Schedule:
    kind = draw(st.sampled_from([Phased, Bursty, Recorded]))
    period_s = draw(st.floats(0.1, 3.0))
    if kind is Recorded:
        times_s = (0.0, 0.3 * period_s, 0.8 * period_s)
        factors = tuple(draw(st.floats(0.0, 2.0)) for _ in times_s)
        return Recorded(times_s=times_s, rate_factors=factors, period_s=draw(st.none() | st.just(period_s)))
    fields = {"duty": draw(_inner), "low_rate_fraction": draw(_inner), "offset": draw(_inner)}
    if kind is Phased:
        return Phased(period_s=period_s, **fields, jitter=draw(st.just(0.0) | _inner))
    return Bursty(period_s=period_s, **fields)


@pytest.mark.slow
@given(schedule=some_schedules(), spans_s=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=20))
def test_the_demand_does_not_depend_on_how_time_is_cut(schedule: Schedule, spans_s: list[float]) -> None:
    times_s = (np.cumsum(spans_s) - 1.0).tolist()
    sums = demanded_at(schedule, times_s, begin_s=-1.0)
    assert sums[-1] == pytest.approx(demanded_at(schedule, times_s[-1:], begin_s=-1.0)[0], abs=1e-9)
    assert sums == sorted(sums)


# --- states -----------------------------------------------------------------------------------------------------------


@st.composite
def some_groups(draw: st.DrawFn) -> VcpuGroup:
    pattern = draw(st.sampled_from(["sequential", "uniform", "hot-cold", "zipf", "read-only", "idle"]))
    if pattern in ("read-only", "idle"):
        return VcpuGroup(vcpus=1, pattern=pattern)
    laws: dict[str, dict[str, object]] = {
        "hot-cold": {"hot_fraction": 0.1, "hot_share": 0.7},
        "zipf": {"pattern": "hot-cold", "zipf_skew": draw(st.floats(0.1, 2.0))},
        "sequential": {"position": draw(_inner)},
    }
    return writer(
        draw(st.integers(1, 300)),
        **{"pattern": pattern} | laws.get(pattern, {}),
        demand=draw(st.sampled_from(["closed", "open"])),
        schedule=draw(some_schedules()),
    )


STEPS = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 300)), max_size=8)
Steps = list[tuple[float, float, int]]


def play(trace: PageTrace, begin_s: float, steps: Steps) -> tuple[float, list[list[int]]]:
    taken = []
    for span_s, run_share, most in steps:
        trace.accrue(begin_s, begin_s + span_s, run_share * span_s)
        begin_s += span_s
        taken.append(trace.take(most).tolist())
    return begin_s, taken


@pytest.mark.slow
@given(group=some_groups(), before=STEPS, after=STEPS, seed=st.integers(0, 2**64))
@settings(deadline=None)
def test_a_restored_trace_goes_on_number_for_number(group: VcpuGroup, before: Steps, after: Steps, seed: int) -> None:
    source, destination = trace_of(group, seed), trace_of(group, seed)
    now_s, _ = play(source, -0.5, before)
    destination.restore(json.loads(json.dumps(source.state(), allow_nan=False)))
    assert destination.state() == source.state()
    assert play(destination, now_s, after) == play(source, now_s, after)
    assert destination.state() == source.state()
    assert (destination.taken, destination.demanded) == (source.taken, source.demanded)


GOOD = trace_of(writer(100, "sequential", schedule=Bursty(period_s=1.0, duty=0.5))).state()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"due": -1.0}, r"due: -1\.0 is not a number from 0\.0 to 50\.0"),
        ({"due": 50.1}, r"due: 50\.1 is not a number from 0\.0 to 50\.0"),
        ({"due": float("nan")}, "due: nan is not"),
        ({"due": True}, "due: True is not"),
        ({"due": "3"}, "due: '3' is not"),
        ({"demanded": float("inf")}, "demanded: inf is not a number"),
        ({"demanded": None}, "demanded: None is not"),
        ({"taken": 1.0}, r"taken: 1\.0 is not a whole number"),
        ({"taken": -1}, "taken: -1 is not a whole number from 0"),
        ({"taken": 2**60}, "taken: .* is not a whole number from 0"),
        ({"position": 100}, "position: 100 is not a whole number from 0 to 99"),
        ({"position": False}, "position: False is not"),
        ({"period_began_s": -2.0}, r"period_began_s: -2\.0 is not a number from -1\.0"),
        ({"period_s": 0.0}, r"period_s: 0\.0 is not a number from"),
        ({"period_s": 1e9}, r"period_s: 1000000000\.0 is not a number from"),
        ({"pages_random": "0" * 31}, "pages_random: '0.*' is not text of 32 hexadecimal digits"),
        ({"pages_random": "g" * 32}, "pages_random: 'g.*' is not"),
        ({"pages_random": "0" * 32 + "\n"}, "pages_random: '0.*' is not"),
        ({"periods_random": 7}, "periods_random: 7 is not"),
        ({"more": 1}, "'more' is unknown; fields: due, "),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_field_value_and_what_is_allowed(
    changes: dict[str, object], message: str
) -> None:
    trace = trace_of(writer(100, "sequential", schedule=Bursty(period_s=1.0, duty=0.5)))
    trace.restore(GOOD)
    with pytest.raises(ValueError, match=message):
        trace.restore(GOOD | changes)
    assert trace.state() == GOOD


def test_a_missing_field_is_named() -> None:
    for name in GOOD:
        with pytest.raises(ValueError, match=f"{name}: missing"):
            trace_of(writer()).restore({key: value for key, value in GOOD.items() if key != name})


def test_a_period_that_is_not_drawn_cannot_be_another() -> None:
    trace = trace_of(writer(schedule=Phased(period_s=1.0, duty=0.5)))
    with pytest.raises(ValueError, match=r"period_s: 2\.0 is not a number from 1\.0 to 1\.0"):
        trace.restore(trace.state() | {"period_s": 2.0})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@given(state=_json)
def test_what_is_no_state_is_refused(state: object) -> None:
    with pytest.raises(ValueError, match="trace state: "):
        trace_of(writer(3)).restore(state)


@pytest.mark.slow
@given(group=some_groups(), name=st.sampled_from(list(GOOD)), value=_json)
@settings(deadline=None)
def test_a_state_with_one_wrong_field_is_refused_or_harmless(group: VcpuGroup, name: str, value: object) -> None:
    trace = trace_of(group)
    changed = trace.state() | {name: value}
    with contextlib.suppress(ValueError):
        trace.restore(changed)
    _, taken = play(trace, 0.0, [(0.5, 1.0, 50)] * 4)
    assert all(0 <= page < MEMORY_PAGES for pages in taken for page in pages)
    json.dumps(trace.state(), allow_nan=False)
