"""Migrations of real virtual machines through the backend's interface; each is proven by the backend itself."""

import os
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import dqgym  # noqa: F401  registers the environment
from dqgym.backends.kvm.backend import KvmBackend
from dqgym.backends.kvm.machine.api import Kernel
from dqgym.backends.kvm.machine.page_log import PageLog
from dqgym.backends.kvm.migration.destination import receive_migration
from dqgym.backends.kvm.migration.frames import listen
from dqgym.backends.kvm.migration.link_pacing import BandwidthPath
from dqgym.backends.kvm.migration.messages import Begin
from dqgym.backends.kvm.migration.proof import ProofFailedError
from dqgym.backends.kvm.migration.sender import Ending
from dqgym.backends.kvm.migration.source import Source
from dqgym.controller.loop import run_migrations
from dqgym.scenario import (
    Bursty,
    ConstantLink,
    DeviceWrites,
    Limits,
    Scenario,
    StepsLink,
    VcpuGroup,
    VirtualMachine,
)
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.telemetry.telemetry import VcpuField, VmField
from dqgym.throttles.registry import make_throttle
from tests.model.migrations import Constant

pytestmark = pytest.mark.usefixtures("real_kvm")
MIB = 2**20


def writer(set_mib, rate_mib_per_s, pattern="uniform", **others):
    return VcpuGroup(
        vcpus=1,
        pattern=pattern,
        working_set_bytes=int(set_mib * MIB),
        write_rate_bytes_per_s=rate_mib_per_s * MIB,
        **others,
    )


def guest(*workload, memory_mib=64, bandwidth_mib_per_s=60, deadline_pass_times=6.0, link=None, **others):
    return Scenario(
        name="guest",
        vm=VirtualMachine(memory_bytes=memory_mib * MIB),
        workload=workload,
        link=link or ConstantLink(bandwidth_bytes_per_s=bandwidth_mib_per_s * MIB),
        limits=Limits(downtime_s=0.1, deadline_pass_times=deadline_pass_times),
        dirty_log=DirtyLog(ring_entries=256),
        **others,
    )


HOT_AND_LIGHT = guest(writer(40, 100), writer(16, 4))
READER = VcpuGroup(vcpus=1, pattern="read-only")


def migrate(scenario, throttle, seed=0):
    """(outcomes, what was proven, telemetry of every step)."""
    seen = []
    with closing(KvmBackend()) as backend:
        outcomes = run_migrations(
            backend,
            [scenario],
            throttle,
            [seed],
            observer=lambda interval_s, command, telemetry: seen.append(telemetry),
        )
        return outcomes, backend.final, seen


@pytest.mark.slow
def test_every_kind_of_workload_moves_and_is_proven_identical_and_exactly_once():
    scenario = guest(
        writer(12, 20, "sequential", position=0.5),
        writer(12, 20, "hot-cold", zipf_skew=1.1),
        writer(12, 20, demand="open", schedule=Bursty(period_s=0.2, duty=0.5)),
        READER,
        VcpuGroup(vcpus=1, pattern="idle"),
        device=DeviceWrites(rate_bytes_per_s=4.0 * MIB, working_set_bytes=4 * MIB),
        link=StepsLink(times_s=(0.0, 0.5), bandwidths_bytes_per_s=(80.0 * MIB, 40.0 * MIB), period_s=1.0),
    )
    outcomes, final, _ = migrate(scenario, make_throttle("dirty-quota"), seed=5)
    assert outcomes.converged[0]
    assert final.ending is Ending.CONVERGED
    assert final.proof.stores_at_destination > 0
    assert final.proof.stores > final.proof.stores_at_destination
    assert final.proof.stores - final.proof.stores_at_destination == final.stores
    assert outcomes.guest_runtime_per_vcpu[0].shape == (8,)
    assert np.isfinite(outcomes.guest_runtime_per_vcpu[0, :5]).all()
    assert 0.0 < outcomes.downtime_s[0] < outcomes.total_time_s[0]
    assert outcomes.bytes_sent[0] >= scenario.vm.memory_bytes


@pytest.mark.slow
def test_a_guest_that_outruns_the_link_misses_its_deadline_and_runs_on_at_the_source():
    outcomes, final, seen = migrate(guest(writer(60, 200), deadline_pass_times=3.0), make_throttle("none"))
    assert not outcomes.converged[0]
    assert np.isnan(outcomes.downtime_s[0])
    assert outcomes.total_time_s[0] == pytest.approx(3.0 * 64 / 60, abs=0.3)
    assert final.ending is Ending.MISSED_DEADLINE
    assert final.proof is None
    assert seen[-1].done[0]


@pytest.mark.slow
def test_a_limit_holds_the_hot_vcpu_and_leaves_the_light_one_alone():
    limit_bytes_per_s = 12.0 * MIB
    outcomes, final, seen = migrate(HOT_AND_LIGHT, Constant([limit_bytes_per_s, np.inf]))
    assert outcomes.converged[0]
    assert final.progress[1] >= 0.98
    assert final.progress[0] < 0.8
    later = seen[len(seen) // 3 :]  # in the first round, most stores go to pages that wait anyway
    dirtied = sum(one.vcpu[0, VcpuField.DIRTIED_BYTES, 0] for one in later)
    took_s = sum(one.vm[0, VmField.INTERVAL_S] for one in later)
    assert dirtied / took_s == pytest.approx(limit_bytes_per_s, rel=0.25)  # a granule is 0.75 MiB of about 20


@pytest.mark.slow
def test_telemetry_adds_up():
    outcomes, _, seen = migrate(HOT_AND_LIGHT, make_throttle("dirty-quota"))
    for one in seen:
        took_s = one.vm[0, VmField.INTERVAL_S]
        run_s, stalled_s = one.vcpu[0, VcpuField.RUN_S], one.vcpu[0, VcpuField.STALLED_S]
        np.testing.assert_allclose(run_s + stalled_s, took_s, rtol=1e-4, atol=1e-5)
        assert (run_s >= 0).all()
        assert (stalled_s >= 0).all()
        assert np.isfinite(one.vcpu).all()
        assert np.isfinite(one.vm).all()
    for field in (VmField.TIME_S, VmField.SENT_BYTES, VmField.ROUND, VmField.SYNCS, VmField.SYNCED_DIRTY_BYTES):
        series = [one.vm[0, field] for one in seen]
        assert series == sorted(series), field
    running_s = sum(one.vm[0, VmField.INTERVAL_S] for one in seen)
    assert running_s + outcomes.downtime_s[0] == pytest.approx(outcomes.total_time_s[0], abs=1e-3)
    assert seen[-1].vm[0, VmField.TIME_S] == outcomes.total_time_s[0]
    runtime = sum(one.vcpu[0, VcpuField.RUN_S] for one in seen) / outcomes.total_time_s[0]
    np.testing.assert_allclose(outcomes.guest_runtime_per_vcpu[0], runtime, rtol=1e-6)
    assert sum(one.vcpu[0, VcpuField.QUOTA_EXITS, 0] for one in seen) > 0


@pytest.mark.slow
@pytest.mark.parametrize("cap", [0.5, 0.1])
def test_a_run_share_cap_holds_writers_and_readers_alike(cap):
    # Long enough for many slices: where the last one runs over on a busy host, no sleep makes up for it any more.
    outcomes, final, seen = migrate(guest(writer(40, 20), READER, memory_mib=192), Constant(run_share_cap=cap))
    running_s = sum(one.vm[0, VmField.INTERVAL_S] for one in seen)
    share = sum(one.vcpu[0, VcpuField.RUN_S] for one in seen) / running_s
    np.testing.assert_allclose(share, cap, rtol=0.1, atol=0.01)
    np.testing.assert_allclose(final.progress, cap, rtol=0.2, atol=0.03)
    assert outcomes.max_throttle_percent[0] == pytest.approx(100.0 * (1.0 - cap), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("limits", [{"deadline": "3 s", "on_deadline": "pause"}, {"max_rounds": 2}])
def test_a_guest_that_is_paused_goes_over_by_force(limits):
    scenario = guest(writer(60, 200)).model_copy(update={"limits": Limits(downtime_s=0.02, **limits)})
    outcomes, final, seen = migrate(scenario, make_throttle("none"))
    assert outcomes.converged[0]
    assert outcomes.forced[0]
    assert final.ending is Ending.CONVERGED
    assert 0.02 < outcomes.downtime_s[0] < 2.0  # what is left of 64 MiB, at 60 MiB/s
    paused = [one for one in seen if one.vm[0, VmField.PAUSED]]
    assert paused
    assert not any(one.vcpu[0, VcpuField.RUN_S].any() for one in paused[1:])
    running_s = outcomes.guest_runtime[0] * outcomes.total_time_s[0]
    assert running_s + outcomes.downtime_s[0] == pytest.approx(outcomes.total_time_s[0], abs=0.4)


@pytest.mark.slow
def test_a_migration_is_cancelled_after_its_last_round():
    scenario = guest(writer(60, 200)).model_copy(
        update={"limits": Limits(downtime_s=0.02, max_rounds=2, on_max_rounds="cancel")}
    )
    outcomes, final, _ = migrate(scenario, make_throttle("none"))
    assert not outcomes.converged[0]
    assert outcomes.rounds[0] == 2
    assert "2 rounds" in final.reason
    assert outcomes.total_time_s[0] < 0.5 * scenario.deadline_s


@pytest.mark.slow
def test_a_downtime_limit_that_grows_lets_a_guest_go_that_outruns_the_link():
    growth = {"kind": "steps", "end_s": 3.0, "steps": 10, "delay": "0.2 s", "first": "2 rounds"}
    limits = Limits(downtime_s=0.1, downtime_growth=growth)
    scenario = guest(writer(60, 200)).model_copy(update={"limits": limits})
    outcomes, _, seen = migrate(scenario, make_throttle("none"))
    assert outcomes.converged[0]
    assert not outcomes.forced[0]
    limits_s = np.array([one.vm[0, VmField.DOWNTIME_LIMIT_S] for one in seen])
    assert limits_s[0] == 0.1
    assert (np.diff(limits_s) >= 0).all()
    assert 0.1 < outcomes.downtime_s[0] < limits_s[-1] + 0.5


@pytest.mark.slow
def test_stop_and_copy_sends_the_memory_once():
    outcomes, _, _ = migrate(HOT_AND_LIGHT, make_throttle("stop-and-copy"))
    assert outcomes.converged[0]
    assert outcomes.bytes_sent[0] == pytest.approx(64 * MIB, rel=0.05)  # what was dirtied until the command came
    assert outcomes.guest_runtime[0] < 0.1
    assert outcomes.downtime_s[0] > 0.8 * outcomes.total_time_s[0]  # it stood still from the command on


@pytest.mark.slow
def test_a_cancelled_migration_leaves_the_guest_at_the_source():
    with closing(KvmBackend()) as backend:
        backend.start([HOT_AND_LIGHT], [0])
        throttle = make_throttle("none")
        throttle.reset(backend.facts)
        telemetry = backend.step(throttle.act(backend._telemetry), np.array([0.2]))
        assert not telemetry.done[0]
        backend.cancel()
        outcomes = backend.outcomes()
        assert backend.final.ending is Ending.CANCELLED
        assert backend.final.proof is None
        assert not outcomes.converged[0]


@pytest.mark.slow
def test_an_episode_of_the_environment_is_a_real_migration():
    env = gym.make("dqgym/Migration-v0", backend="kvm", scenario=HOT_AND_LIGHT, preference=0.2, vcpu_slots=4)
    with closing(env):
        first, _ = env.reset(seed=0)
        env.step(np.ones(env.action_space.shape, dtype=np.float32))
        observation, _ = env.reset(seed=0)  # in the middle of a migration
        np.testing.assert_array_equal(observation, first)
        total, ended = 0.0, False
        while not ended:
            observation, reward, ended, truncated, info = env.step(np.full(env.action_space.shape, -0.2, np.float32))
            assert env.observation_space.contains(observation)
            assert not truncated
            total += reward
        assert info["converged"] == 1.0
        assert total == pytest.approx(-info["cost"], rel=1e-6)


@pytest.mark.slow
def test_nothing_is_left_behind():
    before = _descriptors()
    migrate(HOT_AND_LIGHT, make_throttle("dirty-quota"))
    assert _descriptors() == before
    assert not [command for command in _children() if b"dqgym.backends.kvm" in command]


def test_two_migrations_at_a_time_and_scenarios_that_do_not_fit_are_refused():
    with closing(KvmBackend()) as backend:
        with pytest.raises(ValueError, match="one migration at a time, not 2"):
            backend.start([HOT_AND_LIGHT] * 2, [0, 1])
        with pytest.raises(ValueError, match=r"vm\.memory: 4 GiB"):
            backend.start([guest(READER, memory_mib=4096)], [0])
        with pytest.raises(RuntimeError, match="call start"):
            backend.outcomes()


@contextmanager
def source_in_this_process(scenario):
    """A source and a destination that are threads, so that a test can break them."""
    with listen("127.0.0.1", 0) as listener:
        serving = threading.Thread(target=lambda: receive_migration(listener.accept()[0], Kernel()), daemon=True)
        serving.start()
        path = BandwidthPath(np.zeros(1), np.array([scenario.bandwidth_bytes_per_s]))
        host, port = listener.getsockname()
        source = Source(Begin(scenario, 0, path, host, port, None, 0.05))
        try:
            yield source
        finally:
            source.close()
            serving.join(10.0)
            assert not serving.is_alive()


@pytest.mark.slow
def test_a_page_that_the_sender_forgets_is_found_by_the_proof(monkeypatch):
    take = PageLog.take
    monkeypatch.setattr(PageLog, "take", lambda self, most: take(self, most)[1:] if most > 1 else take(self, most))
    with source_in_this_process(guest(writer(20, 10))) as source, pytest.raises(ProofFailedError, match="hash"):
        source.finish()


@pytest.mark.slow
def test_rings_that_are_not_protected_again_are_found_at_once(monkeypatch):
    from dqgym.backends.kvm.machine.vm import Vm

    reset = Vm.reset_rings
    monkeypatch.setattr(Vm, "reset_rings", lambda self: reset(self) - 1)
    with source_in_this_process(guest(writer(20, 10))) as source, pytest.raises(RuntimeError, match="protected"):
        source.finish()


def _children():
    """The command lines of this process's children."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may end meanwhile
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                yield status.with_name("cmdline").read_bytes()


def _descriptors():
    return len(os.listdir("/proc/self/fd"))
