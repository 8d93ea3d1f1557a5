"""A thread that blocks all signals, as whoever resets dirty rings must (``dqgym.backends.kvm.machine.api``)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
LEAVES_WITHIN_S = 1.0
"""Work that was given up has ended after this time, or never will."""


def in_signal_free_thread(
    work: Callable[[], Result],
    name: str,
    timeout_s: float | None = None,
    give_up: Callable[[threading.Thread], None] = lambda thread: None,
) -> Result:
    """The result of ``work``, done in such a thread; what it raises is raised here.

    Args:
        work: to do.
        name: of the thread.
        timeout_s: after this time the work is given up; None: it may take any time.
        give_up: makes the work in the thread end soon.

    Raises:
        TimeoutError: the work was given up and did not end.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def main() -> None:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=main, name=name, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        give_up(thread)
        thread.join(LEAVES_WITHIN_S)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"{name}: did not end")
    return results[0]
