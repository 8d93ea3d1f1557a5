"""The survey of real guests: what it finds of guests that are known, and that the migrations after it are proven."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import dqgym  # noqa: F401  registers the environment
from dqgym.backends.kvm.backend import KvmBackend
from dqgym.backends.kvm.machine.api import PAGE_BYTES, Kernel
from dqgym.backends.kvm.machine.machine import Machine, fill_memory
from dqgym.backends.kvm.machine.survey_log import LONGEST_S, Surveyed, _at_marks, _tick_s, begin_survey, survey
from dqgym.backends.kvm.machine.vcpu_clocks import TICK_S
from dqgym.backends.kvm.machine.vm import new_memory
from dqgym.backends.kvm.migration.sender import Ending
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario import ConstantLink, DeviceWrites, Limits, Phased, Scenario, VcpuGroup, VirtualMachine
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.telemetry.command import free_command
from dqgym.telemetry.features import GLOBAL_FEATURES, PerVcpu
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.survey import MARKS
from dqgym.telemetry.telemetry import VcpuField, VmField
from dqgym.throttles.registry import make_throttle
from tests.model.migrations import Constant

MIB = 2**20
GRANULE_PAGES = 192
READER = VcpuGroup(vcpus=1, pattern="read-only")


def writer(set_mib: float, rate_mib_per_s: float, pattern: str = "uniform", **others) -> VcpuGroup:
    """Open-loop: what a busy host keeps it from storing is made up for, so that its rate is known."""
    return VcpuGroup(
        vcpus=1,
        pattern=pattern,
        working_set_bytes=int(set_mib * MIB),
        write_rate_bytes_per_s=rate_mib_per_s * MIB,
        demand=others.pop("demand", "open"),
        **others,
    )


def guest(*workload: VcpuGroup, memory_mib: int = 96, bandwidth_mib_per_s: float = 60, **others) -> Scenario:
    return Scenario(
        name="guest",
        vm=VirtualMachine(memory_bytes=memory_mib * MIB),
        workload=workload,
        link=ConstantLink(bandwidth_bytes_per_s=bandwidth_mib_per_s * MIB),
        limits=Limits(downtime_s=0.1, deadline_pass_times=8.0),
        dirty_log=DirtyLog(ring_entries=others.pop("ring_entries", 256)),
        **others,
    )


# --- counts ----------------------------------------------------------------------------------------------------------


def test_counts_that_were_taken_late_are_as_they_were_at_the_marks() -> None:
    """Of a vCPU that dirties 100 pages a second, looked at 10 ms late each time, and of one that is done at once."""
    times_s = np.array([[0.0, 0.135, 0.26, 0.51, 1.01]] * 2).T
    pages = np.array([[0.0, 13.5, 26.0, 51.0, 101.0], [0.0, 50.0, 50.0, 50.0, 50.0]]).T
    counts = np.array(_at_marks(times_s, pages, 1.01))
    np.testing.assert_allclose(counts[:, 0], 101.0 * np.array(MARKS))
    np.testing.assert_allclose(counts[1:, 1], 50.0)


@pytest.mark.parametrize(
    ("length_s", "vcpus", "expected_s"), [(1.0, 1, 0.0025), (8.0, 1, 0.01), (0.01, 1, 0.00025), (0.01, 8, 0.002)]
)
def test_batches_are_small_beside_the_first_mark_where_the_host_can(
    length_s: float, vcpus: int, expected_s: float
) -> None:
    assert _tick_s(length_s, vcpus) == pytest.approx(expected_s)


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm", "blocked_signals")
def test_after_a_survey_batches_come_as_before() -> None:
    with running(guest(writer(8, 30))) as machine:
        machine.pause()
        begin_survey(machine, 0.1)
        machine.resume()
        survey(machine, 0.1, time.monotonic())
        assert [vcpu._clock.tick_s for vcpu in machine.vcpus] == [TICK_S]


@contextmanager
def running(scenario: Scenario, seed: int = 0) -> Iterator[Machine]:
    """A guest that runs in this process."""
    descriptor, memory = new_memory(scenario.vm.memory_bytes)
    os.close(descriptor)
    fill_memory(memory, seed)
    with closing(Machine(Kernel(), scenario, seed, memory)) as machine:
        machine.touch_all_pages()
        machine.start()
        yield machine


class Watched:
    """A survey of a running guest, and the pages that the guest was really given in each part of it."""

    def __init__(self, scenario: Scenario, length_s: float, seed: int = 0) -> None:
        with running(scenario, seed) as machine:
            time.sleep(0.1)
            machine.pause(at_boundary=True)
            before = machine.issued.copy()
            begin_survey(machine, length_s)
            began_s = time.monotonic()
            machine.resume()
            self.found: Surveyed = survey(machine, length_s, began_s)
            machine.pause(at_boundary=True)  # plays the batches to their end: some came after the survey
            self.after_s = time.monotonic() - began_s - self.found.length_s
            written = np.flatnonzero(machine.issued > before)
            traces = [vcpu.trace for vcpu in machine.vcpus]
            self.written_pages = [np.isin(written, each._access.region).sum() if each.writes else 0 for each in traces]


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm", "blocked_signals")
def test_a_survey_counts_the_pages_that_the_guest_was_given(attempt: int) -> None:
    """All of them, each once, but for what came in the milliseconds after it."""
    case = guest(
        writer(8, 30), writer(40, 20, "sequential"), READER, writer(20, 40, "hot-cold", zipf_skew=1.1),
        device=DeviceWrites(rate_bytes_per_s=4.0 * MIB, working_set_bytes=4 * MIB),
    )  # fmt: skip
    watched = Watched(case, 0.8, seed=attempt)
    counted = np.array(watched.found.dirtied_pages)
    assert counted.shape == (len(MARKS), 4)
    assert (np.diff(counted, axis=0) >= 0.0).all()
    assert counted[-1, 2] == 0.0
    rates = np.array([30.0, 20.0, 0.0, 40.0]) * MIB / PAGE_BYTES
    late = rates * (watched.after_s + 0.05) + 1.0
    written = np.array(watched.written_pages)
    assert (counted[-1] <= written + 1e-6).all()
    assert (counted[-1] >= written - late).all(), (counted[-1], written, late)
    assert watched.found.length_s == pytest.approx(0.8, abs=0.2)
    assert all(0.0 < run_s <= watched.found.length_s for run_s in watched.found.run_s)


# --- known guests ----------------------------------------------------------------------------------------------------


def surveyed_mib(case: Scenario, length_s: float, seed: int = 0) -> tuple[float, np.ndarray]:
    """(length in s, [len(MARKS), V] MiB) of a survey through the backend's interface."""
    with closing(KvmBackend()) as backend:
        backend.start([case], [seed], ControlInterval(length_s))
        found = backend.facts.survey
        return float(found.duration_s[0]), found.dirtied_bytes[0].astype(float) / MIB


def expected_mib(case: Scenario, length_s: float, seed: int = 0) -> np.ndarray:
    """What the model's survey finds of the same guest."""
    model = ModelBackend()
    model.start([case], [seed], ControlInterval(length_s))
    return model.facts.survey.dirtied_bytes[0].astype(float) / MIB


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
def test_rates_and_working_sets_of_known_guests_are_found(attempt: int) -> None:
    """A small set that is full at once, a random and a looping writer, and one that never comes around."""
    case = guest(writer(4, 40), writer(24, 20), writer(12, 16, "sequential"), writer(40, 10, "sequential"))
    took_s, found = surveyed_mib(case, 1.6, seed=attempt)
    t = took_s * np.array(MARKS)
    expected = np.stack(
        [
            4.0 * (1.0 - np.exp(-40.0 * t / 4.0)),
            24.0 * (1.0 - np.exp(-20.0 * t / 24.0)),
            np.minimum(16.0 * t, 12.0),
            10.0 * t,
        ],
        axis=1,
    )
    # What is due comes every 10 ms, later on a busy host, and is made up for.
    tick = np.array([40.0, 20.0, 16.0, 10.0]) * 0.02
    np.testing.assert_array_less(np.abs(found[:, :4] - expected), 0.04 * expected + tick)
    np.testing.assert_allclose(found[-1, [0, 2]], [4.0, 12.0], atol=0.02)  # whole sets, to the page
    np.testing.assert_allclose(expected_mib(case, took_s)[:, :4], expected, rtol=0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
def test_a_phase_is_found_where_it_is() -> None:
    """Quiet for half a second, then busy; the workload's time begins with the survey."""
    schedule = Phased(period_s=2.0, duty=0.5, offset=0.75)
    took_s, found = surveyed_mib(guest(writer(60, 20, "sequential", schedule=schedule)), 1.0)
    np.testing.assert_allclose(found[:2, 0], 0.0, atol=0.01)
    assert found[2, 0] < 1.0
    assert found[3, 0] == pytest.approx(20.0 * (took_s - 0.5), abs=20.0 * 0.1)  # the warm-up is not to the millisecond


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
@pytest.mark.parametrize("ring_entries", [256, 4096, 65536])
def test_what_is_found_does_not_depend_on_the_ring(ring_entries: int) -> None:
    _, found = surveyed_mib(guest(writer(4, 60), READER, ring_entries=ring_entries), 0.8)
    assert found[-1, 0] == pytest.approx(4.0, abs=0.01)
    assert found[-1, 1] == 0.0


# --- the migration after it ------------------------------------------------------------------------------------------


def migrate(case: Scenario, throttle, seed: int = 0):
    """(outcomes, what was proven, facts, telemetry of every step)."""
    seen = []
    with closing(KvmBackend()) as backend:
        outcomes = run_migrations(
            backend, [case], throttle, [seed], observer=lambda interval_s, command, telemetry: seen.append(telemetry)
        )
        return outcomes, backend.final, backend.facts, seen


def with_survey(throttle, length_s: float):
    throttle.survey = ControlInterval(length_s)
    return throttle


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
def test_a_surveyed_migration_under_a_quota_is_proven(attempt: int) -> None:
    """Identical memory, and every store exactly once: no page is lost between the survey and the first round."""
    case = guest(
        writer(30, 100, demand="closed"), writer(12, 10, "sequential"), READER,
        device=DeviceWrites(rate_bytes_per_s=4.0 * MIB, working_set_bytes=4 * MIB),
        memory_mib=64,
    )  # fmt: skip
    length_s = (0.05, 0.3, 0.8)[attempt % 3]
    outcomes, final, facts, _ = migrate(case, with_survey(make_throttle("dirty-quota"), length_s), seed=attempt)
    assert outcomes.converged[0]
    assert final.ending is Ending.CONVERGED
    assert final.proof is not None
    assert final.proof.stores_at_destination > 0
    assert facts.survey.duration_s[0] == pytest.approx(length_s, abs=0.2)
    assert outcomes.bytes_sent[0] >= case.vm.memory_bytes


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
def test_a_survey_is_on_the_clock_and_the_guest_runs_in_it() -> None:
    length_s = 0.6
    case = guest(writer(16, 8), READER, memory_mib=64)
    outcomes, _, facts, seen = migrate(case, with_survey(Constant(control_interval=ControlInterval(0.1)), length_s))
    took_s = facts.survey.duration_s[0]
    assert took_s == pytest.approx(length_s, abs=0.2)
    assert seen[0].vm[0, VmField.TIME_S] == pytest.approx(took_s + seen[0].vm[0, VmField.INTERVAL_S], abs=1e-3)
    assert seen[0].vm[0, VmField.SYNC_TIME_S] == took_s
    running_s = took_s + sum(one.vm[0, VmField.INTERVAL_S] for one in seen)
    assert running_s + outcomes.downtime_s[0] == pytest.approx(outcomes.total_time_s[0], abs=1e-3)
    assert outcomes.total_time_s[0] >= took_s + 64 / 60
    ran_s = outcomes.guest_runtime_per_vcpu[0, :2] * outcomes.total_time_s[0]
    in_rounds_s = sum(one.vcpu[0, VcpuField.RUN_S, :2] for one in seen)
    assert (ran_s - in_rounds_s > 0.8 * took_s).all()
    assert (ran_s - in_rounds_s <= took_s + 1e-6).all()


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
def test_a_deadline_counts_from_the_beginning_of_the_survey() -> None:
    case = guest(writer(60, 200, demand="closed"), memory_mib=64).model_copy(
        update={"limits": Limits(downtime_s=0.05, deadline_pass_times=2.0)}
    )
    outcomes, final, _, _ = migrate(case, with_survey(make_throttle("none"), 1.0))
    assert final.ending is Ending.MISSED_DEADLINE
    assert outcomes.total_time_s[0] == pytest.approx(2.0 * 64 / 60, abs=0.3)
    assert outcomes.bytes_sent[0] < 1.5 * 60 * MIB


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
def test_nobody_pays_for_what_was_dirtied_in_the_survey() -> None:
    """The largest ring holds 256 MiB: a vCPU that had to pay for it would stand still for the rest of its life."""
    case = guest(writer(40, 80, demand="closed"), memory_mib=64, ring_entries=65536)
    throttle = with_survey(Constant(4.0 * MIB, control_interval=ControlInterval(0.1)), 0.6)
    _, _, facts, seen = migrate(case, throttle)
    assert facts.survey.dirtied_bytes[0, -1, 0] > 10 * MIB
    early = seen[:3]
    ran = sum(one.vcpu[0, VcpuField.RUN_S, 0] for one in early) / sum(one.vm[0, VmField.INTERVAL_S] for one in early)
    assert ran > 0.5


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
def test_an_episode_with_a_survey_costs_what_it_says_and_shows_it() -> None:
    case = guest(writer(8, 60, "sequential", demand="closed"), READER, memory_mib=64)
    env = gym.make("dqgym/Migration-v0", backend="kvm", scenario=case, preference=0.2, vcpu_slots=4, survey="0.5 T0")
    with closing(env):
        observation, _ = env.reset(seed=0)
        first = len(GLOBAL_FEATURES) + PerVcpu.SURVEY_SET * 4
        found = (observation[first] + 0.1) ** 4 - 1e-4
        assert found == pytest.approx(8 / 64, rel=0.01)
        total, ended = 0.0, False
        while not ended:
            observation, reward, ended, _, info = env.step(np.full(env.action_space.shape, -0.2, np.float32))
            assert env.observation_space.contains(observation)
            total += reward
    assert info["converged"] == 1.0
    assert total == pytest.approx(-info["cost"], rel=1e-6)
    assert info["term_downtime"] < 0.2


@pytest.mark.usefixtures("real_kvm")
def test_too_long_a_survey_is_refused() -> None:
    with closing(KvmBackend()) as backend, pytest.raises(ValueError, match=f"at most {LONGEST_S:g} s"):
        backend.start([guest(READER)], [0], ControlInterval(LONGEST_S + 1.0))


# --- syncs on request ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("real_kvm")
def test_a_sync_on_request_is_made_at_the_start_of_the_interval_and_ends_no_round() -> None:
    case = guest(writer(16, 20), memory_mib=64, bandwidth_mib_per_s=20)
    with closing(KvmBackend()) as backend:
        backend.start([case], [0])
        free = free_command(backend.facts)
        asked = replace(free, sync=np.array([True]))
        before = backend.step(free, np.array([1.0]))
        now = backend.step(asked, np.array([0.5]))
        later = backend.step(free, np.array([0.3]))
        backend.cancel()
    vm: Sequence[np.ndarray] = [each.vm[0] for each in (before, now, later)]
    assert [each[VmField.SYNCS] for each in vm] == [1.0, 2.0, 2.0]
    assert [each[VmField.ROUND] for each in vm] == [1.0, 1.0, 1.0]
    assert vm[1][VmField.SYNC_TIME_S] - vm[0][VmField.TIME_S] < 0.2
    # A third of the memory was sent, and about a third of what the guest wrote since lay in that.
    assert vm[1][VmField.SYNCED_DIRTY_BYTES] > 0.5 * MIB
    assert vm[1][VmField.SYNCED_SENT_BYTES] == pytest.approx(vm[0][VmField.SENT_BYTES], rel=0.2)
