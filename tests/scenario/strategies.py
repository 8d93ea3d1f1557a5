"""Hypothesis strategies for valid scenarios of every shape.

They stay away from the bounds of ``dqgym.scenario.bounds``, so that sizes and rates can be scaled by 2^12 either way.
"""

from __future__ import annotations

from hypothesis import strategies as st

from dqgym.scenario import (
    Bursty,
    ConstantLink,
    DeviceWrites,
    DirtyLog,
    Limits,
    Link,
    MarkovLink,
    OrnsteinUhlenbeckLink,
    Phased,
    Recorded,
    Scenario,
    Schedule,
    Steady,
    StepsLink,
    TraceLink,
    VcpuGroup,
    VirtualMachine,
)
from dqgym.scenario.vm import PAGE_SIZES_BYTES

MOST_MEMORY_BYTES = 2**42
_bandwidths = st.floats(min_value=1e10, max_value=2e11)
_rates = st.floats(min_value=1e4, max_value=2e11)
_times = st.floats(min_value=0.02, max_value=2e4)
_table_times = st.integers(1, 10**6).map(lambda number: 0.02 * number)
_inner = st.floats(min_value=0.01, max_value=0.99)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    kind = draw(st.sampled_from([Steady, Phased, Bursty, Recorded]))
    if kind is Steady:
        return Steady()
    if kind is Recorded:
        times_s = (0.0, *sorted(draw(st.sets(_table_times, max_size=5))))
        factors = draw(st.lists(_inner, min_size=len(times_s), max_size=len(times_s)))
        return Recorded(times_s=times_s, rate_factors=tuple(factors), period_s=draw(st.none() | st.just(3e4)))
    fields = {"period_s": draw(_times), "duty": draw(_inner), "low_rate_fraction": draw(_inner), "offset": draw(_inner)}
    return Phased(**fields, jitter=draw(st.just(0.0) | _inner)) if kind is Phased else Bursty(**fields)


@st.composite
def groups(draw: st.DrawFn) -> VcpuGroup:
    pattern = draw(st.sampled_from(["sequential", "uniform", "hot-cold", "read-only", "idle"]))
    vcpus = draw(st.integers(1, 16))
    if pattern in ("read-only", "idle"):
        return VcpuGroup(vcpus=vcpus, pattern=pattern)
    hot: dict[str, float] = {}
    if pattern == "hot-cold":
        fraction, share = sorted((draw(_inner), draw(_inner)))
        skewed = draw(st.booleans())
        hot = {"zipf_skew": draw(_inner)} if skewed else {"hot_fraction": fraction, "hot_share": share}
    return VcpuGroup(
        vcpus=vcpus,
        pattern=pattern,
        working_set_bytes=draw(st.integers(2**30, MOST_MEMORY_BYTES // 128)),
        write_rate_bytes_per_s=draw(_rates),
        demand=draw(st.sampled_from(["closed", "open"])),
        schedule=draw(schedules()),
        **hot,
    )


@st.composite
def links(draw: st.DrawFn) -> Link:
    line_speed = draw(st.none() | st.just(2e11))
    kind = draw(st.sampled_from([ConstantLink, MarkovLink, OrnsteinUhlenbeckLink, StepsLink, TraceLink]))
    if kind is ConstantLink:
        return ConstantLink(bandwidth_bytes_per_s=draw(_bandwidths), line_speed_bytes_per_s=line_speed)
    if kind is MarkovLink:
        low, high = sorted((draw(_bandwidths), draw(_bandwidths)))
        return MarkovLink(
            high_bandwidth_bytes_per_s=high,
            low_bandwidth_bytes_per_s=low,
            high_hold_s=draw(_times),
            low_hold_s=draw(_times),
            line_speed_bytes_per_s=line_speed,
        )
    if kind is OrnsteinUhlenbeckLink:
        return OrnsteinUhlenbeckLink(
            mean_bandwidth_bytes_per_s=draw(_bandwidths), relative_sd=draw(_inner), correlation_time_s=draw(_times)
        )
    later = sorted(draw(st.sets(_table_times, max_size=5)))
    return kind(
        times_s=(0.0, *later),
        bandwidths_bytes_per_s=tuple(draw(_bandwidths) for _ in range(len(later) + 1)),
        period_s=draw(st.none() | st.just(3e4)),
        line_speed_bytes_per_s=line_speed,
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    return Scenario(
        name=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)),
        vm=VirtualMachine(
            memory_bytes=MOST_MEMORY_BYTES,
            zero_bytes=draw(st.integers(0, MOST_MEMORY_BYTES)),
            page_bytes=draw(st.sampled_from(PAGE_SIZES_BYTES)),
        ),
        workload=tuple(draw(st.lists(groups(), min_size=1, max_size=4))),
        link=draw(links()),
        device=draw(
            st.just(DeviceWrites())
            | st.builds(DeviceWrites, rate_bytes_per_s=_rates, working_set_bytes=st.integers(2**30, 2**40))
        ),
        dirty_log=draw(
            st.builds(
                DirtyLog,
                kind=st.sampled_from(["bitmap", "ring", "software"]),
                ring_entries=st.sampled_from([256, 4096, 65536]),
            )
        ),
        limits=draw(st.builds(Limits, downtime_s=_times, deadline_pass_times=st.floats(1.5, 10))),
    )
