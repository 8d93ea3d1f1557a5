"""The model against the migration times of the cover letter's Table A."""

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario.suites import get_suite
from dqgym.scenario.suites.cover_letter import letter_rows
from dqgym.scenario.suites.guest_runtime import recorded_runtimes
from dqgym.throttles.registry import make_throttle


@pytest.mark.slow
@pytest.mark.parametrize(
    ("throttle", "recorded", "median", "largest"),
    [("current", "current_time_s", 0.04, 0.10), ("dirty-quota", "dirty_quota_time_s", 0.04, 0.18)],
)
def test_the_model_reproduces_table_a(throttle, recorded, median, largest):
    scenarios, rows = get_suite("cover-letter").scenarios(), list(letter_rows().values())
    outcomes = run_migrations(ModelBackend(vcpu_slots=32), scenarios, make_throttle(throttle), [0] * len(scenarios))
    letter_s = np.array([getattr(row, recorded) for row in rows])
    np.testing.assert_array_equal(outcomes.converged, np.isfinite(letter_s))
    # Row 9 as printed contradicts its own times; the likely reading beside it counts.
    counted = outcomes.converged & [not row.likely_misprint for row in rows]
    error = np.abs(outcomes.total_time_s / letter_s - 1.0)[counted]
    assert np.median(error) < median
    assert error.max() < largest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("throttle", "recorded", "points"),
    [("current", "current_percent", 8.0), ("dirty-quota", "dirty_quota_percent", 8.0)],
)
def test_guest_runtimes_are_near_those_of_table_b(throttle, recorded, points):
    scenarios = get_suite("guest-runtime").scenarios()
    # In the slots of the table above, so that no more kernels are compiled.
    outcomes = run_migrations(ModelBackend(vcpu_slots=32), scenarios, make_throttle(throttle), [0] * len(scenarios))
    letter_percent = [getattr(recorded_runtimes()[each.name], recorded) for each in scenarios]
    np.testing.assert_allclose(100.0 * outcomes.guest_runtime, letter_percent, atol=points)
