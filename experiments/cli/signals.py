"""Ctrl-C, SIGTERM and SIGHUP of the console command, handled before anything else is imported.

Until a command begins there is nothing to wind up, and such a signal ends the process at once. A command that runs is
interrupted by a KeyboardInterrupt. Once it has ended, signals come too late: the interpreter winds up undisturbed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
"""The word for each signal in the line that says how a command ended."""
SAME_REQUEST_S = 0.5
"""A signal so soon after another is the same request: shells and wrappers pass on what their child has got already."""


class _Signals:
    """The signals of this process, from ``install`` on."""

    def __init__(self) -> None:
        self.handled: list[signal.Signals] = []
        self._told, self._raised_at_s = -1, -SAME_REQUEST_S

    def install(self) -> None:
        """Handle all but those that are ignored, as Ctrl-C is in a shell's background job."""
        self.handled = [number for number in WORDS if signal.getsignal(number) is not signal.SIG_IGN]
        self.set_handlers(_end_at_once)
        # The interpreter itself writes down which signals come, whoever handles them or swallows what they raise.
        self._told, tell = os.pipe()
        os.set_blocking(self._told, False)
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        sys.unraisablehook = self._raise_later

    def set_handlers(self, handler: Callable[[int, object], object] | signal.Handlers) -> None:
        """Of all signals that are handled."""
        for number in self.handled:
            signal.signal(number, handler)

    def interrupt(self, number: int, frame: object) -> None:
        """Raise KeyboardInterrupt, once for each request."""
        now_s = time.monotonic()
        if now_s - self._raised_at_s >= SAME_REQUEST_S:
            self._raised_at_s = now_s
            raise KeyboardInterrupt

    def first(self) -> signal.Signals | None:
        """The one that came first; forgets all."""
        try:
            came = os.read(self._told, 4096) if self.handled else b""
        except BlockingIOError:
            came = b""
        return next((signal.Signals(number) for number in came if number in self.handled), None)

    def _raise_later(self, unraisable: sys.UnraisableHookArgs) -> None:
        """A KeyboardInterrupt in a destructor or a callback of C code would be lost, and a traceback shown."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)
            return

        def interrupt(number: int, frame: object) -> None:
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.01)


_signals = _Signals()


def install() -> None:
    """From here on signals end the process at once, until ``InterruptingSignals``."""
    _signals.install()


def ignore() -> None:
    """From here on signals come too late."""
    _signals.set_handlers(signal.SIG_IGN)


class InterruptingSignals:
    """Within the block, signals raise KeyboardInterrupt; from its end on, they are ignored.

    Where ``install`` was not called, it leaves them alone.
    """

    def __enter__(self) -> None:
        _signals.set_handlers(_signals.interrupt)

    def __exit__(self, *_: object) -> None:
        _signals.set_handlers(signal.SIG_IGN)


def first_signal() -> signal.Signals | None:
    """The signal that came first since the process began, or since this was asked."""
    return _signals.first()


def _end_at_once(number: int, frame: object) -> None:
    """Imports would swallow a KeyboardInterrupt, or turn it into an error of their own."""
    _signals.set_handlers(signal.SIG_IGN)
    try:
        os.write(2, f"{WORDS[signal.Signals(number)]}\n".encode())
    finally:
        os._exit(128 + number)
