"""The time line of one migration among others."""

import json

import numpy as np
import pytest

from dqgym.backends.base import Outcomes
from dqgym.controller.loop import run_migrations
from dqgym.controller.timeline import Timeline, TimelineRecorder
from dqgym.throttles.dirty_quota import DirtyQuotaOptions
from dqgym.throttles.registry import make_throttle
from tests.controller.fakes import MIB, FakeBackend, FakeMigration, writers

SHARE = 1 / DirtyQuotaOptions().ratio
"""Of the bandwidth that the VM may dirty under dirty-quota."""
SCENARIOS = [
    writers(500, vcpus=2),
    FakeMigration((500 * MIB, 0.0, 0.0), (128 * MIB, 0.0, 0.0), deadline_pass_times=8),
    writers(20),
]


def timeline_of(index: int, throttle: str) -> tuple[Timeline, Outcomes]:
    backend = FakeBackend(vcpu_slots=5)
    recorder = TimelineRecorder(lambda: backend.facts, index)
    outcome = run_migrations(backend, SCENARIOS, make_throttle(throttle), [0, 1, 2], observer=recorder)
    return recorder.timeline(), outcome


@pytest.mark.parametrize("index", range(len(SCENARIOS)))
def test_it_adds_up_to_the_outcome_of_the_migration_it_follows(index: int) -> None:
    timeline, outcome = timeline_of(index, "dirty-quota")
    vcpus = len(SCENARIOS[index].demand_bytes_per_s)
    assert timeline.facts.present.shape == (1, vcpus)
    assert timeline.run_share.shape == timeline.dirty_limit_bytes_per_s.shape == (len(timeline.time_s), vcpus)
    assert timeline.time_s[-1] == outcome.total_time_s[index]
    assert (np.diff(timeline.time_s) > 0).all(), "nothing is noted after the end"
    assert timeline.round[-1] == outcome.rounds[index]
    end_s = timeline.time_s[-1] - outcome.downtime_s[index]
    lengths_s = np.diff(np.append(timeline.time_s[:-1], end_s), prepend=0)
    assert (timeline.run_share * lengths_s[:, None]).sum(axis=0) == pytest.approx(
        outcome.guest_runtime_per_vcpu[index, :vcpus] * outcome.total_time_s[index], rel=1e-3
    )
    sent = (timeline.bandwidth_bytes_per_s * lengths_s).sum()
    assert sent == pytest.approx(outcome.bytes_sent[index], rel=0.02)


@pytest.mark.slow
def test_it_shows_the_commands_and_the_dirty_rate() -> None:
    timeline, _ = timeline_of(1, "dirty-quota")
    assert timeline.dirty_limit_bytes_per_s[5] == pytest.approx([SHARE * 64 * MIB / 3] * 3)
    assert timeline.dirty_rate_bytes_per_s[5] == pytest.approx(SHARE * 64 * MIB, rel=1e-3)
    assert (timeline.run_share_cap == 1).all()
    caps = timeline_of(1, "current")[0].run_share_cap
    assert caps[0, 0] == 1
    assert caps[-1, 0] < 0.5


@pytest.mark.slow
def test_its_export_is_json_without_infinities() -> None:
    timeline, _ = timeline_of(2, "none")
    parsed = json.loads(json.dumps(timeline.to_dict(), allow_nan=False))
    assert parsed["dirty_limit_bytes_per_s"][0] == [None]
    assert parsed["time_s"] == timeline.time_s.tolist()
    assert parsed["facts"]["vcpus"] == 1
    assert set(parsed) == {
        "facts",
        "time_s",
        "remaining_bytes",
        "dirty_rate_bytes_per_s",
        "bandwidth_bytes_per_s",
        "dirty_limit_bytes_per_s",
        "run_share",
        "run_share_cap",
        "round",
        "downtime_limit_s",
        "paused",
    }


def test_a_trace_of_nothing_is_empty() -> None:
    backend = FakeBackend()
    backend.start([writers(20, vcpus=2)], [0])
    timeline = TimelineRecorder(backend.facts).timeline()
    assert timeline.time_s.shape == (0,)
    assert timeline.run_share.shape == (0, 2)
