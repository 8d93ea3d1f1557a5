import numpy as np
import pytest

from dqgym.backends.base import Outcomes


def outcomes(*runtimes: tuple[float, ...]) -> Outcomes:
    """One migration for each tuple of its vCPUs' runtimes."""
    n = len(runtimes)
    per_vcpu = np.array(runtimes)
    return Outcomes(
        converged=np.ones(n, dtype=bool),
        total_time_s=np.arange(1.0, n + 1) * 30.0,
        downtime_s=np.full(n, 0.1),
        guest_runtime_per_vcpu=per_vcpu,
        guest_runtime=np.nanmean(per_vcpu, axis=1),
        bytes_sent=np.full(n, 2e9),
        rounds=np.full(n, 4),
        max_throttle_percent=np.zeros(n),
        stall_s=np.zeros(n),
        pass_time_s=np.full(n, 10.0),
        deadline_s=np.full(n, 200.0),
        forced=np.zeros(n, dtype=bool),
    )


def test_outcomes_of_different_widths_lie_side_by_side_with_absent_vcpus_in_new_slots():
    both = Outcomes.concatenated([outcomes((0.5,), (0.6,)), outcomes((0.9, 0.2, 0.4))])
    np.testing.assert_array_equal(
        both.guest_runtime_per_vcpu, [[0.5, np.nan, np.nan], [0.6, np.nan, np.nan], [0.9, 0.2, 0.4]]
    )
    assert both.guest_runtime == pytest.approx([0.5, 0.6, 0.5])
    assert both.total_time_s == pytest.approx([30.0, 60.0, 30.0])


def test_the_worst_vcpu_is_one_that_exists():
    assert outcomes((0.9, np.nan), (0.8, 0.3)).worst_vcpu_runtime == pytest.approx([0.9, 0.3])


def test_times_in_units_of_the_pass_time():
    assert outcomes((1.0,), (1.0,)).time_over_t0 == pytest.approx([3.0, 6.0])
