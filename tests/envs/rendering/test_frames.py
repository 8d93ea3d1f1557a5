from dataclasses import replace

import numpy as np
import pytest

from dqgym.controller.timeline import Timeline
from dqgym.envs.rendering.frames import _headline, draw_migration, time_columns
from dqgym.telemetry.telemetry import Facts

BANDWIDTH = 1e8


def make_trace(steps, vcpus=4, limit_share=None, dirty_share=0.5):
    """A migration of 2 GB at 100 MB/s in steps of 0.1 s; vCPU 0 limited to a share of the bandwidth, others free."""
    limits = np.full((steps, vcpus), np.inf)
    if limit_share is not None:
        limits[:, 0] = limit_share * BANDWIDTH
    time_s = 0.1 * np.arange(1, steps + 1)
    facts = Facts(
        present=np.ones((1, vcpus), dtype=bool),
        memory_bytes=np.array([2e9]),
        bandwidth_bytes_per_s=np.array([BANDWIDTH]),
        downtime_limit_s=np.array([0.3]),
        deadline_s=np.array([400.0]),
        ring_bytes=np.array([4096.0 * 4096]),
    )
    return Timeline(
        facts=facts,
        time_s=time_s,
        remaining_bytes=np.maximum(2e9 - BANDWIDTH * time_s, 0),
        dirty_rate_bytes_per_s=np.full(steps, dirty_share * BANDWIDTH),
        bandwidth_bytes_per_s=np.full(steps, BANDWIDTH),
        dirty_limit_bytes_per_s=limits,
        run_share=np.ones((steps, vcpus)),
        run_share_cap=np.ones((steps, vcpus)),
        round=np.ones(steps, dtype=np.int64),
        downtime_limit_s=np.full(steps, 0.3),
        paused=np.zeros(steps),
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [(800, 600), (640, 480)])
def test_frame_has_the_size_asked_for(size):
    frame = draw_migration(make_trace(50), size)
    assert frame.shape == (size[1], size[0], 3)
    assert frame.dtype == np.uint8


@pytest.mark.parametrize("steps", [0, 1])
def test_a_migration_that_has_hardly_started_can_be_drawn(steps):
    frame = draw_migration(make_trace(steps))
    assert 0.3 < (frame == 255).mean() < 1.0


@pytest.mark.slow
def test_frames_do_not_share_memory_and_the_same_trace_gives_the_same_frame():
    first = draw_migration(make_trace(50))
    kept = first.copy()
    other = draw_migration(make_trace(80, vcpus=2, limit_share=0.01))
    assert (other != kept).any()
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(draw_migration(make_trace(50)), kept)


@pytest.mark.slow
def test_each_quantity_shows_in_the_picture():
    base = draw_migration(make_trace(50))
    limited = draw_migration(make_trace(50, limit_share=0.01))
    dirtier = draw_migration(make_trace(50, dirty_share=0.9))
    rows_of_limits, rows_of_rates = (
        np.flatnonzero((limited != base).any(axis=(1, 2))),
        np.flatnonzero((dirtier != base).any(axis=(1, 2))),
    )
    # The panels stand below one another: rates in the second quarter, limits in the third.
    assert 150 <= rows_of_rates.min() <= rows_of_rates.max() < 300 <= rows_of_limits.min() <= rows_of_limits.max() < 450


def test_heat_map_columns_are_time_means_of_intervals_of_any_length():
    values, time_s = np.array([[1.0], [4.0], [10.0]]), np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(time_columns(values, time_s, 4)[:, 0], [1.0, 4.0, 10.0, 10.0])
    np.testing.assert_allclose(time_columns(values, time_s, 1)[:, 0], [(1 + 4 + 20) / 4])
    np.testing.assert_allclose(time_columns(values, time_s, 400).mean(), (1 + 4 + 20) / 4)


def test_a_trace_of_thousands_of_steps_can_be_drawn():
    assert draw_migration(make_trace(5000)).shape == (600, 800, 3)


def test_a_paused_guest_is_told_of_and_marked():
    trace = make_trace(40)
    paused = replace(trace, paused=(np.arange(40) >= 20) * 1.0)
    assert np.abs(draw_migration(paused).astype(int) - draw_migration(trace)).sum() > 0
    assert _headline(paused, "") == _headline(trace, "") + ", paused since 2.1 s"
