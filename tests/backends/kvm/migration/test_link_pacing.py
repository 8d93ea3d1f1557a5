import numpy as np
import pytest

from dqgym.backends.kvm.migration.link_pacing import DEPTH_S, BandwidthPath, TokenBucket

MB = 1e6


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_bandwidth_holds_from_each_time_to_the_next():
    path = BandwidthPath(np.array([0.0, 2.0, 5.0]), np.array([10.0, 20.0, 5.0]))
    assert [path.at(time_s) for time_s in (0.0, 1.99, 2.0, 4.9, 5.0, 100.0)] == [10.0, 10.0, 20.0, 20.0, 5.0, 5.0]


def test_the_last_stage_goes_at_line_speed_where_there_is_one():
    steps = np.array([0.0, 2.0]), np.array([10.0, 20.0])
    assert BandwidthPath(*steps).line_speed_at(3.0) == 20.0
    assert BandwidthPath(*steps, line_speed_bytes_per_s=70.0).line_speed_at(3.0) == 70.0


def test_a_sender_that_waits_as_told_keeps_to_the_rate():
    clock = Clock()
    bucket, sent = TokenBucket(clock), 0
    while clock.now_s < 10.0:
        bucket.spend(65536, 5 * MB)
        sent += 65536
        clock.now_s += bucket.wait_s()
    assert sent == pytest.approx(5 * MB * clock.now_s, rel=1e-6)


def test_a_late_sender_makes_up_what_the_depth_allows_and_no_more():
    clock = Clock()
    bucket = TokenBucket(clock)
    clock.now_s = 10 * DEPTH_S
    sent = 0
    while bucket.wait_s() == 0.0:
        bucket.spend(1000, MB)
        sent += 1000
    assert sent == pytest.approx(MB * DEPTH_S, abs=2000)


def test_an_idle_line_makes_up_for_nothing():
    clock = Clock()
    bucket = TokenBucket(clock)
    clock.now_s = 1.0
    bucket.empty()
    bucket.spend(1000, MB)
    assert bucket.wait_s() == pytest.approx(1e-3)
