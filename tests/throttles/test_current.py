"""The cover letter's baseline."""

import numpy as np
import pytest

from dqgym.controller.loop import run_migrations
from dqgym.controller.timeline import TimelineRecorder
from dqgym.throttles.current import current
from tests.controller.fakes import FakeBackend, writers


@pytest.mark.slow
def test_the_run_share_about_halves_with_each_round() -> None:
    backend = FakeBackend()
    recorder = TimelineRecorder(lambda: backend.facts)
    run_migrations(backend, [writers(2000)], current(), [0], observer=recorder)
    timeline = recorder.timeline()
    # The cap of a step was set after the round of the step before: look at the last step of each round.
    last_of_round = np.flatnonzero(np.diff(timeline.round, append=timeline.round[-1] + 1))
    caps = timeline.run_share_cap[last_of_round, 0]
    assert caps[0] == 1
    assert caps[1] == pytest.approx(0.70)
    halving = caps[2:] / caps[1:-1]
    assert ((halving > 0.3) & (halving < 0.55))[: np.argmax(caps[1:] < 0.06)].all()


@pytest.mark.slow
def test_it_stops_at_99_percent_and_so_never_ends_a_migration_that_dirties_more_in_one_percent() -> None:
    fast = writers(64_000, memory_mib=256, deadline_pass_times=12)  # 1 % of it is 640 MiB/s, the link has 64
    outcome = run_migrations(FakeBackend(), [fast, writers(500)], current(), [0, 1])
    assert outcome.converged.tolist() == [False, True]
    assert outcome.max_throttle_percent[0] == pytest.approx(99)


def test_it_leaves_a_workload_alone_that_dirties_less_than_half_of_what_is_sent() -> None:
    outcome = run_migrations(FakeBackend(), [writers(25)], current(), [0])
    assert outcome.max_throttle_percent[0] == 0
    assert outcome.guest_runtime[0] > 0.85  # the pause at the end is short, but so is the migration
