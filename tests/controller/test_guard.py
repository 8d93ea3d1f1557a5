"""What the guard lets through, what it does not, and what it never lets happen to a guest."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dqgym.arrays import FloatArray
from dqgym.backends.base import Outcomes
from dqgym.backends.model import ModelBackend
from dqgym.controller.guard import Guard, GuardOptions, Reason, Takeover
from dqgym.controller.loop import run_migrations
from dqgym.scenario import ConstantLink, DirtyLog, Scenario, VcpuGroup, VirtualMachine
from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import BASELINE_INTERVAL
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField
from dqgym.throttles.base import Throttle
from dqgym.throttles.dirty_quota import DirtyQuotaOptions
from dqgym.throttles.registry import make_throttle
from tests.controller.fakes import MIB, FakeBackend, FakeMigration, writers

SHARE = 1 / DirtyQuotaOptions().ratio
"""Of the bandwidth that the VM may dirty under dirty-quota."""
FAST = writers(500, vcpus=2)


class Policy:
    """A throttle out of a function of (facts, telemetry)."""

    def __init__(self, command: Callable[[Facts, Telemetry], Command]) -> None:
        self.name = "policy"
        self.control_interval = BASELINE_INTERVAL
        self.asked = 0
        self._command = command

    def reset(self, facts: Facts) -> None:
        self._facts = facts

    def act(self, telemetry: Telemetry) -> Command:
        self.asked += 1
        return self._command(self._facts, telemetry)


def limit_of(share: float) -> Callable[[Facts, Telemetry], Command]:
    """All vCPUs together may dirty this share of the nominal bandwidth."""

    def command(facts: Facts, telemetry: Telemetry) -> Command:
        limit = share * facts.bandwidth_bytes_per_s / facts.vcpus
        return replace(
            free_command(facts),
            dirty_limit_bytes_per_s=np.broadcast_to(limit[:, None], facts.present.shape).astype(np.float32),
        )

    return command


def free(facts: Facts, telemetry: Telemetry) -> Command:
    return free_command(facts)


def guarded(
    policy: Throttle,
    scenarios: list[FakeMigration],
    options: GuardOptions | None = None,
    clock: Callable[[], float] | None = None,
) -> tuple[Guard, FakeBackend, Outcomes]:
    extra = {} if clock is None else {"clock": clock}
    guard = Guard(policy, make_throttle("dirty-quota"), options, **extra)
    backend = FakeBackend(vcpu_slots=3)
    return guard, backend, run_migrations(backend, scenarios, guard, list(range(len(scenarios))))


def spoilt(field: str, value: float, row: int, column: int, from_s: float) -> Callable[[Facts, Telemetry], Command]:
    """A sound command, but for one entry from some time on."""

    def command(facts: Facts, telemetry: Telemetry) -> Command:
        sound = limit_of(0.5)(facts, telemetry)
        if telemetry.per_vm(VmField.TIME_S)[row] >= from_s:
            getattr(sound, field)[row, column] = value
        return sound

    return command


def test_it_is_a_throttle_that_goes_by_the_name_and_interval_of_the_one_it_guards() -> None:
    policy = Policy(free)
    guard = Guard(policy, make_throttle("none"))
    assert isinstance(guard, Throttle)
    assert guard.name == "policy"
    assert guard.control_interval == policy.control_interval


def test_a_sound_policy_passes_through_unchanged() -> None:
    plain = FakeBackend(vcpu_slots=3)
    expected = run_migrations(plain, [FAST, writers(200)], Policy(limit_of(0.5)), [0, 1])
    guard, backend, outcome = guarded(Policy(limit_of(0.5)), [FAST, writers(200)])
    assert guard.takeovers == ()
    assert np.array_equal(outcome.total_time_s, expected.total_time_s)
    for ours, theirs in zip(backend.commands, plain.commands, strict=True):
        present = backend.facts.present
        assert np.array_equal(ours.dirty_limit_bytes_per_s[present], theirs.dirty_limit_bytes_per_s[present])
        assert np.array_equal(ours.run_share_cap, theirs.run_share_cap)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dirty_limit_bytes_per_s", np.nan),
        ("dirty_limit_bytes_per_s", -1.0),
        ("dirty_limit_bytes_per_s", -np.inf),
        ("run_share_cap", np.nan),
        ("run_share_cap", 1.5),
        ("run_share_cap", -0.1),
        ("run_share_cap", np.inf),
    ],
)
def test_a_bad_number_hands_that_migration_and_no_other_to_the_fallback_for_good(field: str, value: float) -> None:
    policy = Policy(spoilt(field, value, row=1, column=1, from_s=1.0))
    guard, backend, outcome = guarded(policy, [FAST, FAST])
    (takeover,) = guard.takeovers
    assert takeover.migration == 1
    assert takeover.reason is Reason.INVALID_COMMAND
    assert takeover.time_s == pytest.approx(1.0)
    assert guard.in_fallback.tolist() == [False, True]
    assert outcome.converged.all()
    limits = np.array([command.dirty_limit_bytes_per_s[:, 0] for command in backend.commands])[:25] / (64 * MIB)
    assert limits[:, 0] == pytest.approx(0.5 / 2)
    assert limits[11:, 1] == pytest.approx(SHARE / 2, rel=1e-3)
    for command in backend.commands:
        assert (command.dirty_limit_bytes_per_s >= 0).all()
        assert ((command.run_share_cap >= 0) & (command.run_share_cap <= 1)).all()


def test_absent_slots_and_ended_migrations_may_hold_anything() -> None:
    def command(facts: Facts, telemetry: Telemetry) -> Command:
        sound = limit_of(0.5)(facts, telemetry)
        sound.dirty_limit_bytes_per_s[~facts.present] = np.nan
        sound.run_share_cap[~facts.present] = np.nan
        sound.run_share_cap[telemetry.done] = np.nan
        return sound

    guard, backend, outcome = guarded(Policy(command), [writers(100), writers(500, deadline_pass_times=8)])
    assert guard.takeovers == ()
    assert outcome.converged.all()
    assert np.isfinite(np.array([c.run_share_cap for c in backend.commands])).all()


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda c: replace(c, run_share_cap=np.ones((1, 2), np.float32)), "run_share_cap has shape"),
        (lambda c: replace(c, sync=np.zeros((1, 1), dtype=bool)), "sync has shape"),
        (lambda c: replace(c, dirty_limit_bytes_per_s=np.float32(1)), "dirty_limit_bytes_per_s has shape"),
    ],
)
def test_a_misshapen_command_is_not_carried_out(change: Callable[[Command], Command], detail: str) -> None:
    guard, _, outcome = guarded(Policy(lambda facts, telemetry: change(free_command(facts))), [FAST])
    assert outcome.converged.all()
    assert guard.takeovers[0].reason is Reason.INVALID_COMMAND
    assert detail in guard.takeovers[0].detail


def fail(facts: Facts, telemetry: Telemetry) -> Command:
    raise RuntimeError("no network")


@pytest.mark.parametrize("command", [fail, lambda facts, telemetry: None])
def test_a_policy_that_fails_is_not_asked_again(command: Callable[[Facts, Telemetry], Command]) -> None:
    policy = Policy(command)
    guard, _, outcome = guarded(policy, [FAST, writers(200)])
    assert outcome.converged.all()
    assert policy.asked == 1
    assert [(i.migration, i.reason) for i in guard.takeovers] == [(n, Reason.POLICY_FAILED) for n in (0, 1)]


def test_a_policy_that_fails_at_the_start_is_out_of_charge_from_the_start() -> None:
    class Unready(Policy):
        def reset(self, facts: Facts) -> None:
            raise ValueError("too many vCPUs")

    policy = Unready(free)
    guard, _, outcome = guarded(policy, [FAST])
    assert outcome.converged.all()
    assert policy.asked == 0
    assert guard.takeovers == (Takeover(0, 0.0, Reason.POLICY_FAILED, "ValueError: too many vCPUs"),)


def test_ctrl_c_is_not_a_failing_policy() -> None:
    def interrupted(facts: Facts, telemetry: Telemetry) -> Command:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(Policy(interrupted), [FAST])


def test_a_decision_after_the_deadline_of_the_loop_is_the_last() -> None:
    now_s = [0.0]

    def slower_and_slower(facts: Facts, telemetry: Telemetry) -> Command:
        now_s[0] += 0.01 * policy.asked
        return limit_of(0.5)(facts, telemetry)

    policy = Policy(slower_and_slower)
    guard, _, _ = guarded(policy, [FAST], GuardOptions(decision_deadline_s=0.055), clock=lambda: now_s[0])
    assert policy.asked == 6
    assert guard.takeovers[0].reason is Reason.LATE_DECISION
    assert guard.takeovers[0].detail == "0.06 s instead of 0.055 s"


@pytest.mark.slow
def test_a_migration_without_progress_goes_to_the_fallback_which_ends_it_in_time() -> None:
    guard, _, outcome = guarded(Policy(free), [FAST, writers(20)])
    assert outcome.converged.all(), "free vCPUs alone would never converge"
    (takeover,) = guard.takeovers
    assert (takeover.migration, takeover.reason) == (0, Reason.NO_PROGRESS)
    t0 = outcome.pass_time_s[0]
    assert takeover.time_s == pytest.approx((1 + 0.4 * 20) * t0, abs=t0)


@pytest.mark.slow
def test_progress_that_comes_too_slowly_ends_near_the_deadline() -> None:
    # Of what is sent, 4 to 5 % less comes back: more than 20 pass times.
    slow = Policy(limit_of(0.98))
    guard, _, outcome = guarded(slow, [replace(FAST, downtime_limit_s=0.05)])
    (takeover,) = guard.takeovers
    assert takeover.reason is Reason.NEAR_DEADLINE
    assert takeover.time_s == pytest.approx(0.7 * 20 * outcome.pass_time_s[0], abs=0.2)
    assert outcome.converged.all()


def test_no_vcpu_gets_less_than_its_floor() -> None:
    def nothing(facts: Facts, telemetry: Telemetry) -> Command:
        shape = facts.present.shape
        return replace(
            free_command(facts),
            dirty_limit_bytes_per_s=np.zeros(shape, np.float32),
            run_share_cap=np.zeros(shape, np.float32),
        )

    _, backend, outcome = guarded(Policy(nothing), [FAST])
    for command in backend.commands:
        assert command.run_share_cap[0, :2] == pytest.approx(0.01)
        assert command.dirty_limit_bytes_per_s[0, :2] == pytest.approx(0.002 * 64 * MIB / 2, rel=1e-3)
    assert outcome.guest_runtime[0] > 0


def test_the_floor_holds_for_the_fallback_too() -> None:
    guard = Guard(Policy(fail), make_throttle("stop-and-copy"))
    backend = FakeBackend()
    run_migrations(backend, [FAST], guard, [0])
    assert all((command.run_share_cap == np.float32(0.01)).all() for command in backend.commands)


def throttled_share(scenario: FakeMigration, policy: Policy) -> float:
    """Share of the control intervals after the first two in which the guard let a limit through."""
    _, backend, _ = guarded(policy, [scenario])
    present = backend.facts.present
    return float(np.mean([np.isfinite(c.dirty_limit_bytes_per_s[present]).any() for c in backend.commands[2:]]))


class Watched(ModelBackend):
    """The model, which counts in the first round only stores to pages that are sent; keeps what reached it."""

    def __init__(self) -> None:
        super().__init__()
        self.throttled: list[bool] = []
        self.sent_share: list[float] = []

    def step(self, command: Command, interval_s: FloatArray) -> Telemetry:
        self.throttled.append(bool(np.isfinite(command.dirty_limit_bytes_per_s[self.facts.present]).any()))
        telemetry = super().step(command, interval_s)
        self.sent_share.append(float(telemetry.per_vm(VmField.SENT_BYTES)[0] / self.facts.memory_bytes[0]))
        return telemetry


def throttled_from_a_tenth_on(link_share: float) -> NDArray[np.bool_]:
    """Of a writer of this share of the link's speed under a policy that always throttles it, for each interval."""
    group = VcpuGroup(
        vcpus=1, pattern="uniform", working_set_bytes=3 * 2**30, write_rate_bytes_per_s=link_share * 100 * MIB
    )
    vm, link = VirtualMachine(memory_bytes=4 * 2**30), ConstantLink(bandwidth_bytes_per_s=100 * MIB)
    backend = Watched()
    guard = Guard(Policy(limit_of(0.01)), make_throttle("dirty-quota"))
    # The estimate is for a log that is cleared page by page: in the first round only stores to what was sent count.
    log = DirtyLog(clear_chunk_bytes=4096)
    scenario = Scenario(name="writer", vm=vm, workload=(group,), link=link, dirty_log=log)
    run_migrations(backend, [scenario], guard, [0])
    return np.array(backend.throttled[1:])[np.array(backend.sent_share[:-1]) >= 0.1]


@pytest.mark.slow
def test_a_workload_slower_than_the_link_is_not_throttled() -> None:
    assert not throttled_from_a_tenth_on(0.03).any()


@pytest.mark.slow
def test_a_workload_that_is_not_is_throttled_in_the_first_round_already() -> None:
    # When a tenth of the memory is sent, a tenth of the stores counts: 3 % of the link.
    assert throttled_from_a_tenth_on(0.3).all()


def test_a_throttled_workload_is_not_mistaken_for_a_slow_one() -> None:
    # Held to 1 % of the link, a workload of 8 times its speed dirties less than a slow one would.
    assert throttled_share(FAST, Policy(limit_of(0.01))) == 1

    def capped(facts: Facts, telemetry: Telemetry) -> Command:
        return replace(limit_of(1.0)(facts, telemetry), run_share_cap=np.full(facts.present.shape, 0.02, np.float32))

    assert throttled_share(FAST, Policy(capped)) == 1


@pytest.mark.slow
def test_a_writer_that_saturates_a_small_working_set_is_not_mistaken_for_a_slow_one() -> None:
    # It dirties 24 MiB, more than the downtime limit allows, in the first tenth of a second of each round; the other
    # vCPU makes the rounds last, so that the fast one looks idle most of the time.
    saturating = FakeMigration((240 * MIB, 20 * MIB), (24 * MIB, 128 * MIB), memory_bytes=512 * MIB)
    assert throttled_share(saturating, Policy(limit_of(0.3))) == 1


def test_reset_forgets_the_takeovers_of_the_last_run() -> None:
    policy = Policy(spoilt("run_share_cap", np.nan, row=0, column=0, from_s=0.0))
    guard, _, _ = guarded(policy, [FAST])
    assert guard.takeovers
    policy._command = limit_of(0.5)
    run_migrations(FakeBackend(), [FAST], guard, [0])
    assert guard.takeovers == ()
