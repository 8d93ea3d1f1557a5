import math
from types import SimpleNamespace

import pytest

from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.throttling import QuotaLedger
from dqgym.backends.kvm.machine.vcpu_throttle import QUOTA_LOOK_S, VcpuThrottle

GRANULE_PAGES = 10
EXIT_REASON = 42


class FakeField:
    """A kernel's quota: says what was used up."""

    exit_reason = EXIT_REASON

    def __init__(self) -> None:
        self.granted: list[float] = []
        self.used_pages = 0

    def grant(self, limit_bytes_per_s: float) -> None:
        self.granted.append(limit_bytes_per_s)

    def used_bytes(self) -> int:
        return self.used_pages * PAGE_BYTES


class Case:
    """One vCPU under a limit of so many pages/s, whose account is empty at 0."""

    def __init__(self, pages_per_s: float, field: FakeField | None = None) -> None:
        self.ledger = QuotaLedger(1, GRANULE_PAGES * PAGE_BYTES)
        self.ledger.command([pages_per_s * PAGE_BYTES], False, 0.0)
        self.log = SimpleNamespace(first_writes=[0])
        self.throttle = VcpuThrottle(0, self.ledger, self.log, field)

    def wait_s(self, now_s: float) -> float:
        return self.throttle.wait_s(now_s, now_s)


def test_a_vcpu_in_debt_looks_again_after_the_quota_interval_and_runs_when_the_debt_is_paid():
    case = Case(pages_per_s=100.0)
    assert case.wait_s(0.0) == 0.0
    case.log.first_writes[0] = 5
    assert case.wait_s(0.001) == QUOTA_LOOK_S
    assert case.wait_s(0.045) == pytest.approx(0.005)
    assert case.wait_s(0.06) == 0.0
    assert case.throttle.quota_exits == 1


def test_first_writes_of_the_time_before_a_command_are_charged_to_the_limit_of_that_time():
    case = Case(pages_per_s=math.inf)
    case.log.first_writes[0] = 500
    case.throttle.charge_first_writes(1.0)
    case.ledger.command([100.0 * PAGE_BYTES], False, 1.0)
    assert case.wait_s(1.0) == 0.0
    assert case.throttle.quota_exits == 0


def test_where_the_kernel_has_quotas_the_ring_is_none():
    field = FakeField()
    case = Case(100.0, field)
    case.log.first_writes[0] = 50
    assert case.wait_s(0.0) == 0.0
    case.throttle.before_entry()
    assert field.granted == [100.0 * PAGE_BYTES]
    assert case.throttle.is_quota_exit(EXIT_REASON)
    assert not case.throttle.is_quota_exit(EXIT_REASON + 1)
    field.used_pages = 5
    case.throttle.after_quota_exit(0.0)
    assert case.throttle.quota_exits == 1
    assert case.wait_s(0.0) == QUOTA_LOOK_S


def test_without_such_quotas_no_exit_is_one():
    assert not Case(100.0).throttle.is_quota_exit(EXIT_REASON)


def test_a_sleep_follows_a_full_ring_until_a_command_without_one():
    case = Case(math.inf)
    case.throttle.after_full_ring(1.0)
    assert case.wait_s(1.0) == 0.0
    case.throttle.command(1.0, 0.5, 1.0, 1.0)
    case.throttle.after_full_ring(1.0)
    assert case.wait_s(1.2) == pytest.approx(0.3)
    case.throttle.command(1.0, 0.0, 1.2, 1.2)
    assert case.wait_s(1.2) == 0.0


def test_a_cap_makes_it_sleep_first():
    case = Case(math.inf)
    case.throttle.command(0.25, 0.0, 2.0, 2.0)
    assert case.wait_s(2.0) == pytest.approx(0.03)
    assert case.throttle.wait_s(2.03, 2.0) == 0.0  # it has not run meanwhile
