import numpy as np
import pytest

from dqgym.backends.base import Capabilities
from dqgym.backends.model import ModelBackend
from dqgym.controller.guard import Guard, GuardOptions, Reason
from dqgym.controller.run import run_all
from dqgym.scenario.suites import get_suite
from dqgym.throttles.registry import make_throttle

SCENARIOS = get_suite("mixed").scenarios(5, seed=3, max_vcpus=4)
SEEDS = list(range(5))
SLOTS = 4


class OneAtATime(ModelBackend):
    """The model, as if it ran one migration at a time."""

    capabilities = Capabilities(dirty_limit=True, run_share_cap=True, ring_sleep=True, max_migrations=1)


class TwoAtATime(ModelBackend):
    capabilities = Capabilities(dirty_limit=True, run_share_cap=True, ring_sleep=True, max_migrations=2)


@pytest.mark.parametrize("backend", [OneAtATime, TwoAtATime])
def test_migrations_in_turn_come_out_as_side_by_side(backend):
    together = run_all(ModelBackend(vcpu_slots=SLOTS), SCENARIOS, make_throttle("dirty-quota"), SEEDS)
    in_turn = run_all(backend(vcpu_slots=SLOTS), SCENARIOS, make_throttle("dirty-quota"), SEEDS)
    for name in ("total_time_s", "guest_runtime_per_vcpu", "rounds", "stall_s", "converged"):
        np.testing.assert_array_equal(getattr(in_turn.outcomes, name), getattr(together.outcomes, name), err_msg=name)


def test_migrations_of_different_widths_in_turn_have_absent_vcpus_where_others_have_more():
    scenarios = [pick(SCENARIOS, key=lambda one: one.vcpus) for pick in (min, max)]
    outcomes = run_all(OneAtATime(), scenarios, make_throttle("dirty-quota"), [0, 1]).outcomes
    present = ~np.isnan(outcomes.guest_runtime_per_vcpu)
    assert present.sum(axis=1).tolist() == [one.vcpus for one in scenarios]
    assert scenarios[0].vcpus < scenarios[1].vcpus


def test_takeovers_count_through_all_migrations():
    class Faulty:
        """Gives no command at all."""

        name = "faulty"
        control_interval = make_throttle("none").control_interval

        def reset(self, facts):
            pass

        def act(self, telemetry):
            raise ValueError("no command")

    guard = Guard(Faulty(), make_throttle("dirty-quota"), GuardOptions())
    run = run_all(OneAtATime(vcpu_slots=SLOTS), SCENARIOS, guard, SEEDS)
    assert [one.migration for one in run.takeovers] == [0, 1, 2, 3, 4]
    assert {one.reason for one in run.takeovers} == {Reason.POLICY_FAILED}


def test_progress_goes_up_to_all_migrations():
    seen = []
    throttle = make_throttle("stop-and-copy")
    run_all(OneAtATime(vcpu_slots=SLOTS), SCENARIOS, throttle, SEEDS, on_progress=lambda *said: seen.append(said))
    assert seen[-1] == (5, 5)
    assert all(total == 5 for _, total in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_no_scenarios_and_too_few_seeds_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        run_all(OneAtATime(), [], make_throttle("none"), [])
    with pytest.raises(ValueError, match="seeds"):
        run_all(ModelBackend(), SCENARIOS, make_throttle("none"), [0])
