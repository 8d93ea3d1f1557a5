"""The one loop that everything runs."""

import numpy as np
import pytest

from dqgym.arrays import FloatArray
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Telemetry
from dqgym.throttles.none import NoThrottle
from dqgym.throttles.registry import make_throttle
from tests.controller.fakes import FakeBackend, writers
from tests.model.migrations import READERS, scenario


@pytest.mark.slow
def test_it_ends_when_all_migrations_have_and_returns_the_backend_s_outcomes() -> None:
    outcome = run_migrations(FakeBackend(), [writers(20), writers(500)], NoThrottle(), [0, 1])
    assert outcome.converged.tolist() == [True, False]
    assert outcome.time_over_t0[1] == pytest.approx(20, abs=0.1), "the deadline"


def test_the_throttle_is_asked_at_its_own_interval() -> None:
    intervals: list[list[float]] = []
    throttle = NoThrottle()
    throttle.control_interval = ControlInterval(least_s=0.05, pass_times=0.1)

    def observer(interval_s: FloatArray, command: Command, telemetry: Telemetry) -> None:
        intervals.append(interval_s.tolist())

    run_migrations(FakeBackend(), [writers(20), writers(20, memory_mib=16)], throttle, [0, 1], observer=observer)
    assert intervals[0] == pytest.approx([0.1 * 128 / 64, 0.05])


def test_observer_and_progress_see_every_step() -> None:
    backend, observed, progress = FakeBackend(), [], []
    run_migrations(
        backend,
        [writers(20), writers(500)],
        make_throttle("dirty-quota"),
        [0, 1],
        observer=lambda interval_s, command, telemetry: observed.append(command),
        on_progress=lambda done, n: progress.append((done, n)),
    )
    assert observed == backend.commands
    assert len(progress) == len(observed)
    assert progress[0] == (0, 2)
    assert progress[-1] == (2, 2)
    assert progress == sorted(progress)


class Curious(NoThrottle):
    """Wants a survey of 2 s."""

    survey = ControlInterval(2.0)


def test_a_throttle_that_wants_a_survey_gets_one() -> None:
    backend = ModelBackend(vcpu_slots=4)
    case = scenario(READERS, memory_mb=20.0)
    surveyed, plain = (run_migrations(backend, [case], each, [0]).total_time_s[0] for each in (Curious(), NoThrottle()))
    assert surveyed == pytest.approx(plain + 2.0)


def test_a_survey_is_refused_where_the_backend_makes_none() -> None:
    backend = FakeBackend()
    with pytest.raises(ValueError, match="backend 'fake' makes no surveys; throttle 'none' wants one"):
        run_migrations(backend, [writers(20)], Curious(), [0])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_closes_the_run_and_passes_through(error: type[BaseException]) -> None:
    class Failing(NoThrottle):
        def act(self, telemetry: Telemetry) -> Command:
            if telemetry.vm.any() and telemetry.per_vm(1)[0] > 0.5:
                raise error
            return super().act(telemetry)

    backend = FakeBackend()
    with pytest.raises(error):
        run_migrations(backend, [writers(500)], Failing(), [0])
    assert backend.closed == 1


def test_a_run_without_an_error_leaves_the_backend_open_for_the_next() -> None:
    backend = FakeBackend()
    first = run_migrations(backend, [writers(20)], NoThrottle(), [0])
    second = run_migrations(backend, [writers(20)], NoThrottle(), [0])
    assert backend.closed == 0
    assert np.array_equal(first.total_time_s, second.total_time_s)


@pytest.mark.parametrize(
    ("count", "seeds", "message"),
    [(0, [], "at least one"), (2, [0], "got 1 for 2 scenarios"), (65, list(range(65)), "'fake' runs at most 64")],
)
def test_what_cannot_run_is_refused_before_anything_starts(count: int, seeds: list[int], message: str) -> None:
    backend = FakeBackend()
    with pytest.raises(ValueError, match=message):
        run_migrations(backend, [writers(20)] * count, NoThrottle(), seeds)
    assert not hasattr(backend, "facts")
