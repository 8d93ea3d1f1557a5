import threading

import pytest

from dqgym.backends.kvm.machine.thread_control import ThreadControl

SOON_S = 5.0


@pytest.mark.parametrize(
    ("at_boundary", "after_ring_sleep", "in_batch", "sleeps", "parks"),
    [
        (False, False, True, True, True),
        (True, False, True, False, False),
        (True, False, False, True, True),
        (False, True, False, True, False),
        (False, True, True, False, True),
    ],
)
def test_a_thread_parks_only_where_it_may(at_boundary, after_ring_sleep, in_batch, sleeps, parks):
    control = ThreadControl()
    assert not control.must_park(in_batch, sleeps)
    control.park(at_boundary, after_ring_sleep)
    assert control.must_park(in_batch, sleeps) is parks


@pytest.mark.parametrize("release", ["resume", "end"])
def test_a_parked_thread_stays_until_it_is_released(release):
    control = ThreadControl()
    control.park(False, False)
    assert not control.await_parked(0.0)
    thread = threading.Thread(target=control.stay_parked, daemon=True)
    thread.start()
    assert control.await_parked(SOON_S)
    assert thread.is_alive()
    getattr(control, release)()
    thread.join(SOON_S)
    assert not thread.is_alive()


def test_a_thread_that_was_resumed_just_before_it_parks_does_not_park():
    control = ThreadControl()
    control.park(False, False)
    control.resume()
    control.stay_parked()
    assert not control.await_parked(0.0)


def test_a_thread_that_ends_counts_as_parked():
    control = ThreadControl()
    control.has_ended()
    assert control.await_parked(0.0)
