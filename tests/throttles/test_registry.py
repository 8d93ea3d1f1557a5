"""The baselines by name."""

import numpy as np
import pytest

from dqgym.controller.loop import run_migrations
from dqgym.throttles.auto_converge import AutoConverge
from dqgym.throttles.base import Throttle
from dqgym.throttles.registry import make_throttle, option_names, throttle_names
from dqgym.throttles.roles import FALLBACK, MAINLINE, OPPONENTS, ORACLE, RULE, USUAL
from dqgym.throttles.table import row_of
from tests.controller.fakes import FakeBackend, writers


def test_the_roles_are_played() -> None:
    assert (ORACLE, RULE, FALLBACK, USUAL) == ("oracle", "tuned-rule", "dirty-quota", "auto-converge")
    assert OPPONENTS == ("tuned-rule", "dirty-quota")
    assert MAINLINE == ("auto-converge", "dirty-limit", "dirty-quota")


def test_the_bound_is_made_by_name_but_is_no_baseline() -> None:
    assert make_throttle(ORACLE, 0.3).name == ORACLE
    assert ORACLE not in throttle_names()


@pytest.mark.slow
@pytest.mark.parametrize("name", throttle_names())
def test_each_is_a_throttle_of_its_name_with_commands_of_the_right_shape(name: str) -> None:
    throttle = make_throttle(name)
    assert isinstance(throttle, Throttle)
    assert throttle.name == name
    assert row_of(name).summary
    backend = FakeBackend(vcpu_slots=4)
    run_migrations(backend, [writers(100, vcpus=2), writers(30)], throttle, [0, 1])
    for command in backend.commands:
        for per_vcpu in (command.dirty_limit_bytes_per_s, command.run_share_cap, command.ring_sleep_s):
            assert per_vcpu.shape == (2, 4)
            assert per_vcpu.dtype == np.float32
        assert command.share_unclaimed.shape == command.sync.shape == command.kicks_wake.shape == (2,)


@pytest.mark.slow
def test_what_they_do_to_a_workload_faster_than_the_link() -> None:
    outcomes = {
        name: run_migrations(FakeBackend(), [writers(500)], make_throttle(name), [0]) for name in throttle_names()
    }
    converge = [
        "auto-converge", "current", "dirty-limit", "dirty-quota", "tuned-rule", "contextual-rule", "stop-and-copy",
    ]  # fmt: skip
    assert all(outcomes[name].converged[0] for name in converge)
    assert not outcomes["none"].converged[0]
    times = {name: outcome.time_over_t0[0] for name, outcome in outcomes.items()}
    by_time = ["stop-and-copy", "dirty-quota", "dirty-limit", "current", "auto-converge", "none"]
    assert sorted(by_time, key=times.__getitem__) == by_time
    for tuned in ("tuned-rule", "contextual-rule"):  # at the preference for a short migration
        assert times["stop-and-copy"] < times[tuned] < times["dirty-quota"]
    assert outcomes["none"].guest_runtime[0] == pytest.approx(1)
    assert times["stop-and-copy"] == pytest.approx(1, abs=0.01)
    assert outcomes["stop-and-copy"].guest_runtime[0] == 0


def test_options_reach_the_throttle() -> None:
    throttle = make_throttle("auto-converge", initial_percent=50, tail_slow=True)
    assert isinstance(throttle, AutoConverge)
    assert throttle.options.initial_percent == 50
    assert throttle.options.tail_slow
    assert "ratio" in option_names("dirty-quota")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("auto_converge", {}, "unknown throttle 'auto_converge' .did you mean 'auto-converge'"),
        ("frobnicate", {}, "throttles: none, auto-converge, current, dirty-limit, dirty-quota, tuned-rule, "),
        ("auto-converge", {"increment": 5}, "'increment' .did you mean 'increment_percent'"),
        ("stop-and-copy", {"ratio": 2}, "unknown option of throttle 'stop-and-copy': 'ratio'; known: none"),
        ("auto-converge", {"initial_percent": 100}, "initial_percent=100: .* less than or equal to 99"),
        ("dirty-limit", {"limit_mib_per_s": 0}, "limit_mib_per_s=0: .* greater than or equal to 1"),
        ("dirty-limit", {"bandwidth_share": 0}, "bandwidth_share=0: .* greater than 0"),
        ("dirty-limit", {"period_s": 2}, "period_s=2: .* less than or equal to 1"),
        ("dirty-quota", {"ratio": -1}, "ratio=-1: .* greater than 0"),
        ("dirty-quota", {"ratio": "two"}, "ratio='two'"),
        ("current", {"max_percent": 20}, "throttle 'current': max_percent=20 must not be below initial_percent=30"),
    ],
)
def test_bad_names_and_values_are_explained(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_throttle(name, **options)
