"""The survey in the model: what it finds against closed forms, what it costs, and that all else goes on meanwhile."""

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.model.bandwidth import bandwidth_path
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.model.pool import pack_scenarios
from dqgym.scenario import (
    Bursty,
    DirtyLog,
    Limits,
    MarkovLink,
    OrnsteinUhlenbeckLink,
    Phased,
    Recorded,
    StepsLink,
    VirtualMachine,
)
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.command import free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.survey import MARKS
from dqgym.telemetry.telemetry import VcpuField, VmField
from tests.model.migrations import MB, NO_COSTS, READERS, SLOTS, Constant, migrate, scenario, writers

LENGTH_S = 8.0
MARKS_S = LENGTH_S * np.array(MARKS)


def started(case, length_s=LENGTH_S, parameters=NO_COSTS, seed=0):
    """A backend whose migration has been surveyed and has not begun."""
    backend = ModelBackend(parameters, vcpu_slots=SLOTS)
    backend.start([case], [seed], ControlInterval(length_s))
    return backend


def found_mb(*workload, length_s=LENGTH_S, parameters=NO_COSTS, seed=0, **others) -> np.ndarray:
    """[len(MARKS), V] megabytes."""
    survey = started(scenario(*workload, **others), length_s, parameters, seed).facts.survey
    assert survey.duration_s[0] == length_s
    return survey.dirtied_bytes[0].astype(np.float64) / MB


# --- what it finds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sets_written", [0.01, 0.3, 1.0, 4.0, 30.0])
def test_a_random_writer_saturates_exponentially(sets_written):
    found = found_mb(writers("uniform", set_mb=200.0, rate_mb_per_s=200.0 * sets_written / LENGTH_S))
    expected = 200.0 * (1.0 - np.exp(-sets_written * np.array(MARKS)))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize("loops", [0.1, 0.99, 1.0, 3.0, 50.0])
def test_a_writer_in_order_dirties_all_that_it_stores_until_it_has_been_around(loops):
    found = found_mb(writers("sequential", set_mb=200.0, rate_mb_per_s=200.0 * loops / LENGTH_S, position=0.7))
    np.testing.assert_allclose(found[:, 0], 200.0 * np.minimum(loops * np.array(MARKS), 1.0), rtol=1e-4)


def test_hot_and_cold_parts_saturate_each_for_itself():
    found = found_mb(writers("hot-cold", set_mb=500.0, rate_mb_per_s=50.0, hot_fraction=0.1, hot_share=0.8))
    hot = 50.0 * (1.0 - np.exp(-0.8 * 50.0 * MARKS_S / 50.0))
    cold = 450.0 * (1.0 - np.exp(-0.2 * 50.0 * MARKS_S / 450.0))
    np.testing.assert_allclose(found[:, 0], hot + cold, rtol=1e-4)


def mean_factor(schedule: Phased, begin_s: float, end_s: float) -> float:
    """Of a phased schedule between two times, summed over steps of 0.1 ms."""
    middles_s = np.arange(begin_s, end_s, 1e-4) + 0.5e-4
    position = (middles_s / schedule.period_s + schedule.offset) % 1.0
    return float(np.where(position < schedule.duty, 1.0, schedule.low_rate_fraction).mean())


@pytest.mark.parametrize("pattern", ["uniform", "sequential"])
@pytest.mark.parametrize(
    "schedule",
    [
        Phased(period_s=5.0, duty=0.4, offset=0.3),
        Phased(period_s=0.7, duty=0.5, low_rate_fraction=0.25, offset=0.9),
        Phased(period_s=100.0, duty=0.5, offset=0.45),
    ],
)
def test_a_phased_writer_is_found_in_the_phases_that_the_survey_meets(pattern, schedule):
    found = found_mb(writers(pattern, set_mb=300.0, rate_mb_per_s=40.0, schedule=schedule))
    stored = np.array([40.0 * mark_s * mean_factor(schedule, 0.0, mark_s) for mark_s in MARKS_S])
    expected = 300.0 * (1.0 - np.exp(-stored / 300.0)) if pattern == "uniform" else np.minimum(stored, 300.0)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-3, atol=0.01)


def test_a_recorded_writer_is_found_at_the_rates_of_its_table():
    schedule = Recorded(times_s=(0.0, 1.5, 3.0, 6.0), rate_factors=(1.0, 0.0, 2.0, 0.5))
    found = found_mb(writers("sequential", set_mb=900.0, rate_mb_per_s=10.0, schedule=schedule))
    np.testing.assert_allclose(found[:, 0], [10.0, 15.0, 35.0, 85.0], rtol=1e-4)


def test_a_bursty_writer_is_found_at_its_mean_rate_in_the_mean():
    schedule = Bursty(period_s=0.5, duty=0.3, low_rate_fraction=0.1)
    group = writers("sequential", set_mb=900.0, rate_mb_per_s=10.0, schedule=schedule)
    found = np.array([found_mb(group, seed=seed)[-1, 0] for seed in range(200)])
    assert np.ptp(found) > 1.0
    assert found.mean() == pytest.approx(10.0 * LENGTH_S * (0.3 + 0.7 * 0.1), rel=0.1)


def test_who_does_not_write_is_found_with_nothing():
    found = found_mb(READERS, READERS.model_copy(update={"pattern": "idle"}), writers(set_mb=50.0, rate_mb_per_s=20.0))
    assert (found[:, [0, 1, 3]] == 0.0).all()
    assert (found[:, 2] > 0.0).all()


@pytest.mark.parametrize(("page_bytes", "factor"), [(4096, 1), (65536, 16), (2 * 2**20, 512)])
def test_a_random_store_dirties_a_whole_page(page_bytes, factor):
    vm = VirtualMachine(memory_bytes=1000 * MB // page_bytes * page_bytes, dirty_granule_bytes=page_bytes)
    found = found_mb(writers("uniform", set_mb=500.0, rate_mb_per_s=0.02), vm=vm)
    np.testing.assert_allclose(found[:, 0], 500.0 * (1.0 - np.exp(-0.02 * factor * MARKS_S / 500.0)), rtol=2e-3)


def test_a_vcpu_is_found_no_faster_than_the_host_writes():
    """4 KiB are stored in 0.4096 ms, and a fault takes as long."""
    parameters = NO_COSTS._replace(write_bytes_per_s=10.0 * MB, fault_s=4096 / (10.0 * MB))
    found = found_mb(writers("sequential", set_mb=900.0, rate_mb_per_s=1e6), parameters=parameters)
    np.testing.assert_allclose(found[:, 0], 5.0 * MARKS_S, rtol=1e-3)


@pytest.mark.parametrize("parameters", [NO_COSTS, DEFAULT_PARAMETERS])
def test_counts_grow_up_to_the_working_set_and_no_faster_than_the_rate(parameters):
    scenarios = get_suite("mixed").scenarios(60, seed=8, max_vcpus=SLOTS)
    backend = ModelBackend(parameters, vcpu_slots=SLOTS)
    backend.start(scenarios, list(range(60)), ControlInterval(least_s=0.0, pass_times=0.05))
    survey = backend.facts.survey
    np.testing.assert_allclose(survey.duration_s, 0.05 * backend.facts.pass_time_s)
    assert survey.dirtied_bytes.shape == (60, len(MARKS), SLOTS)
    assert (np.diff(survey.dirtied_bytes, axis=1) >= 0.0).all()
    assert (survey.dirtied_bytes.swapaxes(1, 2)[~backend.facts.present] == 0.0).all()
    for n, case in enumerate(scenarios):
        for i, group in enumerate(case.vcpu_groups):
            found = survey.dirtied_bytes[n, :, i]
            assert found[-1] <= group.working_set_bytes * (1.0 + 1e-6)
            stores_per_page = case.vm.dirty_granule_bytes / 4096 if group.pattern != "sequential" else 1.0
            peak = max(getattr(group.schedule, "rate_factors", (1.0,)))
            most = group.write_rate_bytes_per_s * stores_per_page * peak * np.array(MARKS) * survey.duration_s[n]
            assert (found <= most * (1.0 + 1e-4) + 1.0).all()


def test_each_migration_of_a_batch_has_its_own_survey():
    scenarios = get_suite("mixed").scenarios(20, seed=9, max_vcpus=SLOTS)
    length = ControlInterval(least_s=0.1, pass_times=0.01)
    together = ModelBackend(vcpu_slots=SLOTS)
    together.start(scenarios, list(range(20)), length)
    for n in (0, 7, 19):
        alone = ModelBackend(vcpu_slots=SLOTS)
        alone.start([scenarios[n]], [n], length)
        np.testing.assert_array_equal(alone.facts.survey.dirtied_bytes[0], together.facts.survey.dirtied_bytes[n])
        assert alone.facts.survey.duration_s[0] == together.facts.survey.duration_s[n]


def test_without_a_survey_the_facts_have_none():
    backend = ModelBackend(vcpu_slots=SLOTS)
    backend.start([scenario()], [0])
    assert backend.facts.survey is None
    assert ModelBackend.capabilities.survey


# --- what it costs, and what goes on ---------------------------------------------------------------------------------


def test_the_migration_has_not_begun_but_its_clock_runs():
    backend = started(scenario(writers(set_mb=100.0, rate_mb_per_s=20.0)))
    begun = backend._telemetry()
    vm = dict(zip(VmField, begun.vm[0], strict=True))
    assert vm[VmField.TIME_S] == vm[VmField.SYNC_TIME_S] == LENGTH_S
    assert vm[VmField.SENT_BYTES] == vm[VmField.SYNCED_DIRTY_BYTES] == 0.0
    assert vm[VmField.REMAINING_BYTES] == 1000.0 * MB
    assert vm[VmField.ROUND] == vm[VmField.SYNCS] == 1.0
    assert (begun.vcpu == 0.0).all()


STEADY = {
    "readers": (READERS,),
    "random": (writers("uniform", set_mb=300.0, rate_mb_per_s=0.5), READERS),
    "in order": (writers("sequential", vcpus=2, set_mb=200.0, rate_mb_per_s=0.4),),
    "hot and cold": (writers("hot-cold", set_mb=500.0, rate_mb_per_s=0.6, hot_fraction=0.1, hot_share=0.8),),
}


@pytest.mark.parametrize("log", ["bitmap", "ring", "software"])
@pytest.mark.parametrize("throttle", [Constant(), Constant(0.2 * MB), Constant(run_share_cap=0.5)])
@pytest.mark.parametrize("workload", STEADY)
def test_what_does_not_depend_on_time_migrates_as_without_a_survey_just_later(workload, throttle, log):
    case = scenario(*STEADY[workload], dirty_log=DirtyLog(kind=log), limits=Limits(downtime_s=5.0))
    plain, surveyed = migrate(case, throttle=throttle).outcomes, migrate_surveyed(case, throttle=throttle)
    assert plain.converged[0]
    assert surveyed.total_time_s[0] == pytest.approx(plain.total_time_s[0] + LENGTH_S, rel=1e-7)
    for name in ("downtime_s", "bytes_sent", "rounds", "stall_s"):
        assert getattr(surveyed, name)[0] == pytest.approx(getattr(plain, name)[0], rel=1e-5, abs=1e-6), name
    ran_s = plain.guest_runtime_per_vcpu[0] * plain.total_time_s[0] + LENGTH_S
    np.testing.assert_allclose(surveyed.guest_runtime_per_vcpu[0] * surveyed.total_time_s[0], ran_s, rtol=1e-5)


def migrate_surveyed(case, length_s=LENGTH_S, throttle=None, seed=0):
    """The outcomes of one migration under a throttle that wants a survey."""
    throttle = throttle or Constant()
    throttle.survey = ControlInterval(length_s)
    try:
        return migrate(case, throttle=throttle, seed=seed).outcomes
    finally:
        del throttle.survey


@pytest.mark.parametrize("case", get_suite("mixed").scenarios(12, seed=12, max_vcpus=SLOTS), ids=lambda case: case.name)
def test_a_survey_of_no_length_to_speak_of_changes_nothing(case):
    throttle = Constant(0.05 * case.bandwidth_bytes_per_s)
    plain = migrate(case, throttle=throttle, seed=4).outcomes
    surveyed = migrate_surveyed(case, 1e-9 * case.pass_time_s, throttle, seed=4)
    for name in ("total_time_s", "bytes_sent", "rounds", "guest_runtime"):
        assert getattr(surveyed, name)[0] == pytest.approx(getattr(plain, name)[0], rel=1e-4), name


def test_the_guest_runs_meanwhile():
    case = scenario(writers(set_mb=100.0, rate_mb_per_s=0.1), READERS)
    stopped = migrate_surveyed(case, 500.0, Constant(run_share_cap=0.0))
    np.testing.assert_allclose(stopped.guest_runtime_per_vcpu[0, :2] * stopped.total_time_s[0], 500.0, rtol=1e-6)
    assert migrate_surveyed(case, 500.0).stall_s[0] == pytest.approx(0.0, abs=1e-3)
    assert stopped.stall_s[0] == pytest.approx(migrate(case, throttle=Constant(run_share_cap=0.0)).outcomes.stall_s[0])


def test_the_time_is_part_of_the_deadline():
    never = scenario(writers(set_mb=900.0, rate_mb_per_s=50.0), limits=Limits(deadline_pass_times=3.0))
    outcomes = migrate_surveyed(never, 200.0)
    assert not outcomes.converged[0]
    assert outcomes.total_time_s[0] == pytest.approx(3000.0, rel=1e-9)
    assert outcomes.bytes_sent[0] == pytest.approx(2800.0 * MB, rel=0.01)


def first_intervals(backend, *intervals_s: float):
    """Telemetry of the first intervals of a free migration."""
    command = free_command(backend.facts)
    return [backend.step(command, np.array([each])) for each in intervals_s]


def bandwidths_mb(link, *intervals_s: float) -> np.ndarray:
    telemetry = first_intervals(started(scenario(link=link)), *intervals_s)
    return np.array([each.vm[0, VmField.BANDWIDTH_BYTES_PER_S] for each in telemetry]) / MB


def test_the_link_goes_on_meanwhile():
    """Half a second is left of the first level; five levels of a link that repeats go by."""
    link = StepsLink(times_s=(0.0, 8.5), bandwidths_bytes_per_s=(1.0 * MB, 3.0 * MB))
    np.testing.assert_allclose(bandwidths_mb(link, 0.5, 0.5), [1.0, 3.0], rtol=1e-6)
    link = StepsLink(times_s=(0.0, 1.0), bandwidths_bytes_per_s=(1.0 * MB, 3.0 * MB), period_s=3.0)
    np.testing.assert_allclose(bandwidths_mb(link, 1.0, 1.0), [3.0, 1.0], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "link",
    [
        MarkovLink(
            high_bandwidth_bytes_per_s=3.0 * MB, low_bandwidth_bytes_per_s=1.0 * MB, high_hold_s=2.0, low_hold_s=1.0
        ),
        OrnsteinUhlenbeckLink(mean_bandwidth_bytes_per_s=2.0 * MB, relative_sd=0.3, correlation_time_s=4.0),
    ],
)
def test_a_random_link_is_where_it_would_have_been(link):
    case = scenario(link=link)
    length_s = 7.3
    for seed in range(5):
        backend = started(case, length_s, seed=seed)
        measured = first_intervals(backend, 1e-3)[0].vm[0, VmField.BANDWIDTH_BYTES_PER_S]
        times_s, bandwidths = bandwidth_path(pack_scenarios([case], NO_COSTS, SLOTS), 0, seed, 100.0)
        expected = bandwidths[np.searchsorted(times_s, length_s, side="right") - 1]
        assert measured == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("schedule", [
    Phased(period_s=10.0, duty=0.5, low_rate_fraction=0.1, offset=0.2),
    Recorded(times_s=(0.0, 9.0, 12.0), rate_factors=(0.3, 2.0, 0.0)),
])  # fmt: skip
def test_schedules_go_on_meanwhile(schedule):
    """In order over pages that are all clean (the log is cleared at the sync): a vCPU dirties what it stores."""
    group = writers("sequential", set_mb=900.0, rate_mb_per_s=2.0, schedule=schedule)
    case = scenario(group, dirty_log=DirtyLog(kind="software"))
    plain = ModelBackend(NO_COSTS, vcpu_slots=SLOTS)
    plain.start([case], [0])
    lengths_s = (0.5, 1.5, 3.0)
    expected = [each.vcpu[0, VcpuField.DIRTIED_BYTES, 0] for each in first_intervals(plain, LENGTH_S, *lengths_s)[1:]]
    wrote = [each.vcpu[0, VcpuField.DIRTIED_BYTES, 0] for each in first_intervals(started(case), *lengths_s)]
    np.testing.assert_allclose(wrote, expected, rtol=1e-4)


def test_open_loop_demand_that_the_host_could_not_meet_waits_for_the_migration():
    """2 MB/s fall due from 0 to 8 s, 1 MB/s can be written: 8 MB wait, and keep the vCPU busy when it is quiet."""
    schedule = Phased(period_s=1000.0, duty=0.008)
    group = writers("sequential", set_mb=900.0, rate_mb_per_s=2.0, demand="open", schedule=schedule)
    parameters = NO_COSTS._replace(write_bytes_per_s=1.0 * MB)
    backend = started(scenario(group, dirty_log=DirtyLog(kind="software")), parameters=parameters)
    np.testing.assert_allclose(backend.facts.survey.dirtied_bytes[0, :, 0] / MB, MARKS_S, rtol=1e-3)
    wrote = [each.vcpu[0, VcpuField.DIRTIED_BYTES, 0] / MB for each in first_intervals(backend, 5.0, 5.0, 5.0)]
    np.testing.assert_allclose(wrote, [5.0, 3.0, 0.0], rtol=1e-3, atol=1e-6)


def test_what_was_dirtied_meanwhile_is_to_send_once_like_everything_else():
    """The survey's log is forgotten: its pages are part of the first round."""
    early = Recorded(times_s=(0.0, LENGTH_S), rate_factors=(1.0, 0.0))
    case = scenario(writers("sequential", set_mb=900.0, rate_mb_per_s=50.0, schedule=early))
    outcomes = migrate_surveyed(case)
    assert outcomes.bytes_sent[0] == pytest.approx(1000.0 * MB, rel=1e-6)
    assert outcomes.rounds[0] == 1
