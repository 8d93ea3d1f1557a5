import signal
import threading

import pytest

from dqgym.backends.kvm.host import signal_free_thread
from dqgym.backends.kvm.host.signal_free_thread import in_signal_free_thread


def blocked_signals() -> set[signal.Signals]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_every_signal_that_can_be_blocked_is_blocked_in_the_thread_and_none_more_in_the_callers():
    before = blocked_signals()
    inside = in_signal_free_thread(blocked_signals, "test")
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1} <= inside
    assert blocked_signals() == before


def test_an_error_of_the_work_is_raised_in_the_callers_thread():
    def fail() -> None:
        raise OSError("no such device")

    with pytest.raises(OSError, match="no such device"):
        in_signal_free_thread(fail, "test")


def test_work_that_takes_too_long_is_given_up_and_its_result_still_counts():
    over = threading.Event()
    given_up = []

    def give_up(thread: threading.Thread) -> None:
        given_up.append(thread.name)
        over.set()

    assert in_signal_free_thread(lambda: over.wait(60), "slow", 0.01, give_up) is True
    assert given_up == ["slow"]


def test_work_that_does_not_end_even_then_is_a_timeout(monkeypatch):
    monkeypatch.setattr(signal_free_thread, "LEAVES_WITHIN_S", 0.01)
    over = threading.Event()
    try:
        with pytest.raises(TimeoutError, match="stuck"):
            in_signal_free_thread(lambda: over.wait(60), "stuck", 0.01)
    finally:
        over.set()
