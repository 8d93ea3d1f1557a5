from __future__ import annotations

import pickle

import numpy as np
import pytest
from pydantic import ValidationError

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario import (
    ConstantLink,
    DeviceWrites,
    DirtyLog,
    MarkovLink,
    OrnsteinUhlenbeckLink,
    Recorded,
    Scenario,
    StepsLink,
    TraceLink,
    VcpuGroup,
    VirtualMachine,
    scenario_from_yaml,
)
from dqgym.scenario.workload import zipf_hot_set
from dqgym.throttles.registry import make_throttle

WRITER = VcpuGroup(vcpus=3, pattern="uniform", working_set_bytes=10**9, write_rate_bytes_per_s=1e8)


def scenario(**changes: object) -> Scenario:
    fields: dict[str, object] = {
        "name": "some",
        "vm": VirtualMachine(memory_bytes=4 * 10**9),
        "workload": (WRITER,),
        "link": ConstantLink(bandwidth_bytes_per_s=1e8),
    }
    return Scenario.model_validate(fields | changes)


def test_pass_time_and_deadline_follow_from_memory_and_nominal_bandwidth() -> None:
    assert scenario().pass_time_s == 40.0
    assert scenario().deadline_s == 800.0


def test_groups_expand_to_one_entry_per_vcpu_in_order() -> None:
    idle = VcpuGroup(vcpus=2, pattern="idle")
    some = scenario(workload=(WRITER, idle))
    assert some.vcpus == 5
    assert some.vcpu_groups == (WRITER, WRITER, WRITER, idle, idle)


def test_working_sets_of_vcpus_and_devices_must_fit_into_memory_together() -> None:
    device = DeviceWrites(rate_bytes_per_s=1.0, working_set_bytes=10**9)
    assert scenario(device=device).device == device
    with pytest.raises(ValidationError, match="exceed the memory"):
        scenario(device=DeviceWrites(rate_bytes_per_s=1.0, working_set_bytes=10**9 + 1))


def test_there_are_at_most_64_vcpus() -> None:
    reader = VcpuGroup(vcpus=32, pattern="read-only")
    assert scenario(workload=(reader, reader)).vcpus == 64
    with pytest.raises(ValidationError, match="65 vCPUs"):
        scenario(workload=(reader, reader, VcpuGroup(vcpus=1, pattern="idle")))


def test_scenarios_are_frozen_hashable_and_picklable() -> None:
    some = scenario()
    assert pickle.loads(pickle.dumps(some)) == some
    assert hash(some) == hash(scenario())
    with pytest.raises(ValidationError):
        some.vm.memory_bytes = 1  # type: ignore[misc]


def test_a_misspelt_argument_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match=r"'memory_byts' \(did you mean 'memory_bytes'\?\)"):
        VirtualMachine.model_validate({"memory_byts": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_bandwidth_is_a_positive_number(value: float) -> None:
    with pytest.raises(ValidationError, match="bandwidth_bytes_per_s"):
        ConstantLink(bandwidth_bytes_per_s=value)


@pytest.mark.parametrize(
    "hot",
    [
        {},
        {"hot_fraction": 0.1},
        {"hot_share": 0.1},
        {"hot_fraction": 0.1, "hot_share": 0.9, "zipf_skew": 1.0},
        {"hot_fraction": 0.1, "zipf_skew": 1.0},
    ],
)
def test_the_hot_part_is_given_in_exactly_one_way(hot: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="either hot_fraction and hot_share, or zipf_skew"):
        VcpuGroup(vcpus=1, pattern="hot-cold", working_set_bytes=10**9, write_rate_bytes_per_s=1.0, **hot)


@pytest.mark.parametrize("skew", [0.3, 0.99, 1.0, 1.5])
def test_the_hot_part_of_a_zipf_law_agrees_with_the_sum_over_its_pages(skew: float) -> None:
    pages = 100_000
    weights = np.arange(1, pages + 1) ** -skew
    weights /= weights.sum()
    hot = weights > 1 / pages
    derived = zipf_hot_set(skew, pages)
    # The integral differs from the sum most in the first, heaviest page.
    assert derived.fraction == pytest.approx(hot.mean(), rel=0.1)
    assert derived.share == pytest.approx(weights[hot].sum(), rel=0.02)


def test_nominal_bandwidth_of_every_kind_of_link() -> None:
    levels = {"times_s": (0.0, 10.0), "bandwidths_bytes_per_s": (300.0, 100.0)}
    assert ConstantLink(bandwidth_bytes_per_s=5.0).nominal_bandwidth_bytes_per_s == 5
    assert StepsLink(**levels).nominal_bandwidth_bytes_per_s == 300
    assert StepsLink(**levels, period_s=40.0).nominal_bandwidth_bytes_per_s == (10 * 300 + 30 * 100) / 40
    assert TraceLink(**levels, period_s=40.0).nominal_bandwidth_bytes_per_s == 150
    assert TraceLink(**levels).nominal_bandwidth_bytes_per_s == 300
    markov = MarkovLink(high_bandwidth_bytes_per_s=300, low_bandwidth_bytes_per_s=100, high_hold_s=1.0, low_hold_s=3.0)
    assert markov.nominal_bandwidth_bytes_per_s == 150
    wandering = OrnsteinUhlenbeckLink(mean_bandwidth_bytes_per_s=7.0, relative_sd=0.2, correlation_time_s=1.0)
    assert wandering.nominal_bandwidth_bytes_per_s == 7


def test_the_line_is_no_slower_than_the_highest_bandwidth() -> None:
    with pytest.raises(ValidationError, match="at least the bandwidth"):
        StepsLink(times_s=(0.0, 1.0), bandwidths_bytes_per_s=(1.0, 3.0), line_speed_bytes_per_s=2.0)


@pytest.mark.parametrize(
    ("times_s", "bandwidths", "period_s", "message"),
    [
        ((1.0,), (1.0,), None, "first time must be 0"),
        ((0.0, 2.0, 2.0), (1.0, 2.0, 3.0), None, "must rise"),
        ((0.0, 2.0), (1.0,), None, "2 times, but 1 bandwidths"),
        ((0.0, 2.0), (1.0, 2.0), 2.0, "must end after"),
    ],
)
def test_steps_have_rising_times_and_a_bandwidth_for_each(
    times_s: tuple[float, ...], bandwidths: tuple[float, ...], period_s: float | None, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        StepsLink(times_s=times_s, bandwidths_bytes_per_s=bandwidths, period_s=period_s)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"times_s": (), "rate_factors": ()}, "at least 1 item"),
        ({"times_s": (1.0,), "rate_factors": (1.0,)}, "first time must be 0"),
        ({"times_s": (0.0, 2.0, 2.0), "rate_factors": (1.0, 2.0, 3.0)}, "must rise"),
        ({"times_s": (0.0, 2.0), "rate_factors": (1.0,)}, "2 times, but 1 rate factors"),
        ({"times_s": (0.0, 2.0), "rate_factors": (1.0, 2.0), "period_s": 2.0}, "must end after"),
        ({"times_s": (0.0,), "rate_factors": (-0.5,)}, "greater than or equal to 0"),
    ],
)
def test_a_recorded_schedule_has_rising_times_and_a_factor_for_each(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recorded.model_validate(fields)


def test_a_dirty_log_is_a_bitmap_unless_said_otherwise() -> None:
    assert scenario().dirty_log == DirtyLog(kind="bitmap", ring_entries=4096)


@pytest.mark.parametrize(
    ("kind", "cleared_at_sync", "sync_waits"),
    [("bitmap", False, False), ("ring", True, True), ("software", True, True)],
)
def test_all_logs_but_the_bitmap_are_cleared_at_the_sync_and_make_it_wait(
    kind: str, cleared_at_sync: bool, sync_waits: bool
) -> None:
    log = DirtyLog.model_validate({"kind": kind})
    assert (log.cleared_at_sync, log.sync_waits) == (cleared_at_sync, sync_waits)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "rings"}, "'bitmap', 'ring' or 'software'"),
        ({"ring_entries": 255}, "greater than or equal to 256"),
        ({"ring_entries": 131072}, "less than or equal to 65536"),
        ({"ring_entries": 4096.0}, "valid integer"),
    ],
)
def test_a_dirty_log_that_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DirtyLog.model_validate(fields)


def test_pages_may_have_1_gib_and_no_odd_size() -> None:
    assert VirtualMachine(memory_bytes=2**32, page_bytes=2**30).dirty_granule_bytes == 2**30
    with pytest.raises(ValidationError, match=r"0\.5 GiB is not a page size; allowed: 4 KiB, 64 KiB, .*1 GiB"):
        VirtualMachine(memory_bytes=2**32, page_bytes=2**29)


def test_zeros_are_no_part_of_what_is_sent() -> None:
    vm = VirtualMachine(memory_bytes=4 * 10**9, zero_bytes=60 * 10**9)
    assert scenario(vm=vm).pass_time_s == scenario().pass_time_s
    with pytest.raises(ValidationError, match="exceed the memory"):
        scenario(vm=vm, device=DeviceWrites(rate_bytes_per_s=1.0, working_set_bytes=10**9 + 1))
    with pytest.raises(ValidationError, match="zero"):
        VirtualMachine(memory_bytes=10**9, zero_bytes=-1)


def test_a_pass_counts_as_a_send_window_for_the_deadline():
    """128 MiB over 100 Gbit/s are sent in 4 ms, but nobody looks before the first window of 0.1 s is over."""
    tiny = scenario_from_yaml(
        "{name: tiny, vm: {memory: 48 MiB, zero: 80 MiB}, workload: [{vcpus: 1, pattern: idle}],"
        " link: {kind: constant, bandwidth: 100 Gbit/s}}"
    )
    assert tiny.pass_time_s == pytest.approx(0.004, rel=0.01)
    assert tiny.deadline_s == pytest.approx(2.0)
    outcomes = run_migrations(ModelBackend(), [tiny], make_throttle("none"), seeds=[0])
    assert outcomes.converged[0]
    assert outcomes.total_time_s[0] == pytest.approx(0.1, abs=0.01)
