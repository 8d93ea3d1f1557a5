"""What the guard makes of telemetry that is not complete."""

from dataclasses import replace

import numpy as np
import pytest

from dqgym.controller.guard_estimates import DemandEstimate
from dqgym.telemetry.telemetry import Facts, VcpuField, VmField, first_telemetry

FACTS = Facts(
    present=np.array([[True, True]]), memory_bytes=np.array([1e9]), bandwidth_bytes_per_s=np.array([1e8]),
    downtime_limit_s=np.array([0.3]), deadline_s=np.array([200.0]), ring_bytes=np.array([1e6]),
)  # fmt: skip


def telemetry(dirtied_bytes: float, run_s: float):
    """Of an interval of two seconds in the second round."""
    start = first_telemetry(FACTS)
    vm, vcpu = start.vm.copy(), start.vcpu.copy()
    vm[:, VmField.INTERVAL_S], vm[:, VmField.ROUND], vm[:, VmField.SENT_BYTES] = 2.0, 2, 1e9
    vcpu[:, VcpuField.DIRTIED_BYTES], vcpu[:, VcpuField.RUN_S] = dirtied_bytes, run_s
    return replace(start, vm=vm, vcpu=vcpu)


def test_a_run_time_that_is_not_measured_counts_as_the_whole_interval():
    measured, unmeasured = (DemandEstimate(FACTS).observe(telemetry(4e6, run_s)) for run_s in (2.0, np.nan))
    assert measured == pytest.approx(2 * 4e6 / 2.0)
    assert unmeasured == pytest.approx(measured)


def test_bytes_that_are_not_measured_give_no_estimate():
    assert np.isnan(DemandEstimate(FACTS).observe(telemetry(np.nan, 2.0))).all()
