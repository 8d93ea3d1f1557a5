"""The survey page by page: what the reference finds against counting, and the model against the reference."""

import math

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.scenario import DeviceWrites, Phased, StepsLink
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.survey import MARKS
from dqgym.telemetry.telemetry import VcpuField, VmField
from tests.model.guests import PAGE, Run, guest, link, writer
from tests.model.migrations import NO_COSTS, READERS, SLOTS, Constant, migrate
from tests.model.sampling import HOSTS, draw_case, throttle_of

LENGTH_S = 4.0
MARKS_S = LENGTH_S * np.array(MARKS)
SAMPLE, DRAWS = 11, 150


def found_pages(*workload, length_s=LENGTH_S, seed=0, **others) -> np.ndarray:
    """[len(MARKS), V] pages that the reference finds dirty."""
    backend = ReferenceBackend(NO_COSTS, vcpu_slots=SLOTS)
    backend.start([guest(*workload, **others)], [seed], ControlInterval(length_s))
    return backend.facts.survey.dirtied_bytes[0] / PAGE


# --- counted ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("log", ["bitmap", "ring", "software"])
def test_a_writer_in_order_dirties_one_page_after_another_until_it_has_been_around(log):
    """However often its ring was emptied meanwhile: a page counts once."""
    found = found_pages(writer("sequential", 150, 100.0), writer("sequential", 400, 50.0), log=log)
    np.testing.assert_allclose(found[:, 0], np.minimum(100.0 * MARKS_S, 150.0), atol=1.0)
    np.testing.assert_allclose(found[:, 1], 50.0 * MARKS_S, atol=1.0)
    assert (found == found.round()).all()


@pytest.mark.slow
def test_a_random_writer_hits_pages_again():
    found = np.mean([found_pages(writer("uniform", 300, 200.0), seed=seed)[:, 0] for seed in range(20)], axis=0)
    expected = 300.0 * (1.0 - (1.0 - 1.0 / 300.0) ** (200.0 * MARKS_S))
    np.testing.assert_allclose(found, expected, rtol=0.03)


def test_a_phased_writer_is_found_in_its_phases():
    schedule = Phased(period_s=2.0, duty=0.25, offset=0.5)
    found = found_pages(writer("sequential", 900, 100.0, schedule=schedule))
    np.testing.assert_allclose(found[:, 0], [0.0, 0.0, 50.0, 100.0], atol=1.0)


def test_who_only_reads_and_devices_are_found_with_nothing():
    device = DeviceWrites(rate_bytes_per_s=100.0 * PAGE, working_set_bytes=100 * PAGE)
    found = found_pages(READERS, writer("sequential", 100, 10.0), device=device)
    assert (found[:, [0, 2, 3]] == 0.0).all()
    np.testing.assert_allclose(found[:, 1], 10.0 * MARKS_S, atol=1.0)


# --- and after it ----------------------------------------------------------------------------------------------------


class SurveyedRun(Run):
    """A migration that is stepped by hand, after a survey."""

    def __init__(self, scenario, length_s=LENGTH_S, seed: int = 0) -> None:
        self.backend = ReferenceBackend(NO_COSTS, vcpu_slots=4)
        self.at = self.backend.start([scenario], [seed], ControlInterval(length_s))
        self.page = scenario.vm.dirty_granule_bytes


@pytest.mark.parametrize("log", ["bitmap", "ring", "software"])
def test_what_does_not_depend_on_time_migrates_as_without_a_survey_just_later(log):
    case = guest(writer("sequential", 300, 40.0), READERS, log=log)
    plain, surveyed = Run(case).to_its_end(cap=0.5), SurveyedRun(case).to_its_end(cap=0.5)
    assert plain.converged[0]
    assert surveyed.total_time_s[0] == pytest.approx(plain.total_time_s[0] + LENGTH_S, rel=0.02)
    assert surveyed.bytes_sent[0] == pytest.approx(plain.bytes_sent[0], rel=0.02)
    assert surveyed.stall_s[0] == pytest.approx(plain.stall_s[0], rel=0.03)
    ran_s = plain.guest_runtime_per_vcpu[0, :2] * plain.total_time_s[0] + LENGTH_S
    np.testing.assert_allclose(surveyed.guest_runtime_per_vcpu[0, :2] * surveyed.total_time_s[0], ran_s, rtol=0.02)


def test_the_first_round_sends_every_page_once():
    run = SurveyedRun(guest(READERS))
    assert run.vm(VmField.TIME_S) == run.vm(VmField.SYNC_TIME_S) == LENGTH_S
    assert run.pages(VmField.REMAINING_BYTES) == 1000.0
    outcomes = run.to_its_end()
    assert outcomes.bytes_sent[0] / PAGE == 1000.0
    assert outcomes.total_time_s[0] == pytest.approx(LENGTH_S + 10.0, abs=0.02)
    assert outcomes.rounds[0] == 1


def test_link_and_writers_go_on_where_the_survey_left_them():
    """In order, past pages that were dirtied in the survey; the link changes half a second later."""
    levels = StepsLink(times_s=(0.0, LENGTH_S + 0.5), bandwidths_bytes_per_s=(100.0 * PAGE, 20.0 * PAGE))
    run = SurveyedRun(guest(writer("sequential", 1000, 50.0), log="software", link=levels))
    run.step(0.5)
    assert run.pages(VmField.BANDWIDTH_BYTES_PER_S) == pytest.approx(100.0, rel=0.01)
    assert run.dirtied()[0] == pytest.approx(25.0, abs=1.0)
    run.step(0.5)
    assert run.pages(VmField.BANDWIDTH_BYTES_PER_S) == pytest.approx(20.0, rel=0.01)
    assert run.backend._migrations[0].vcpus[0]["next_in_order"] == pytest.approx(50.0 * (LENGTH_S + 1.0), abs=2.0)


def test_quota_is_not_saved_up_meanwhile():
    case = guest(writer("uniform", 900, 500.0), log="software", link=link(10.0))
    run = SurveyedRun(case)
    run.step(1.0, limit_pages_per_s=30.0)
    assert run.dirtied()[0] == pytest.approx(30.0, abs=2.0)
    assert run.vcpus(VcpuField.RUN_S)[0] < 0.3


# --- the model against it --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases():
    return [draw_case(np.random.default_rng((SAMPLE, k))) for k in range(DRAWS)]


def test_the_model_finds_what_the_reference_counts(cases):
    """Of hundreds of vCPUs of every kind, in the mean over them and each within what chance and whole pages allow."""
    errors = []
    for host in sorted({case.host for case in cases}):
        scenarios = [case.scenario for case in cases if case.host == host and _draws_no_periods(case)]
        seeds = list(range(len(scenarios)))
        model, reference = (backend(HOSTS[host], vcpu_slots=SLOTS) for backend in (ModelBackend, ReferenceBackend))
        for backend in (model, reference):
            backend.start(scenarios, seeds, ControlInterval(0.0, 0.05))
        np.testing.assert_allclose(model.facts.survey.duration_s, reference.facts.survey.duration_s)
        ours, counted = (each.facts.survey.dirtied_bytes.astype(float) for each in (model, reference))
        page = np.array([case.vm.dirty_granule_bytes for case in scenarios])[:, None, None]
        pages = np.maximum(counted, ours) / page
        allowed = np.maximum(4.0 * np.sqrt(pages), 2.0) + 0.02 * pages
        apart = np.abs(ours - counted) / page
        assert (apart <= allowed).all(), (host, np.argwhere(apart > allowed), (apart / allowed).max())
        many = pages > 300.0
        errors.append(((ours - counted) / np.maximum(counted, page))[many])
    errors = np.concatenate(errors)
    print(f"{len(errors)} counts: {errors.mean():+.2%} in the mean, {np.median(np.abs(errors)):.2%} in the median")
    assert len(errors) > 200
    assert abs(errors.mean()) < 2e-3
    assert np.median(np.abs(errors)) < 5e-3


def _draws_no_periods(case) -> bool:
    return all(group.schedule.kind != "bursty" for group in case.scenario.workload)


@pytest.mark.slow
def test_surveyed_migrations_of_the_model_take_as_long_as_the_reference_s(cases):
    """As in ``test_kernel_against_reference``, which has the single cases; here it is the survey that might be off."""
    some = [case for case in cases if case.host == "ideal" and _draws_no_periods(case)][:40]
    outcomes = {}
    for make_backend in (ModelBackend, ReferenceBackend):
        throttle: Constant = throttle_of(some)
        throttle.survey = ControlInterval(0.0, 0.1)
        scenarios = [case.scenario for case in some]
        outcomes[make_backend] = migrate(*scenarios, throttle=throttle, make_backend=_scattered(make_backend)).outcomes
    ours, theirs = outcomes.values()
    errors = ours.total_time_s / theirs.total_time_s - 1.0
    assert np.median(np.abs(errors)) < 0.01
    assert (ours.converged == theirs.converged).mean() > 0.9
    assert math.isclose(np.nanmean(ours.guest_runtime - theirs.guest_runtime), 0.0, abs_tol=0.01)


def _scattered(make_backend):
    """As the model takes the pages to lie."""
    if make_backend is ModelBackend:
        return ModelBackend
    return lambda parameters, vcpu_slots: ReferenceBackend(parameters, vcpu_slots, layout="scattered")
