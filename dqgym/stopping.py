"""Ctrl-C, SIGTERM and SIGHUP where they must wait: in blocks that are completed first, in loops that end by themselves.

What such a signal does elsewhere is the program's choice; under ``dqgym`` each raises KeyboardInterrupt
(``experiments/cli/entry.py``). A signal that is ignored, as Ctrl-C is in a shell's background job, stays ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handlers = Mapping[signal.Signals, Any]
"""Arguments of ``signal.signal``, by signal."""


def replace_handlers(handler: Callable[[int, FrameType | None], object]) -> Handlers:
    """Let a function handle the stopping signals; returns what did so before. Threads but the main one have none."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in STOPPING_SIGNALS}
    # None: set by something other than Python.
    replaced = {number: was for number, was in before.items() if was not in (signal.SIG_IGN, None)}
    for number in replaced:
        signal.signal(number, handler)
    return replaced


def restore_handlers(handlers: Handlers) -> None:
    """Undo ``replace_handlers``."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """The block is completed first; a stopping signal that came in the meantime has its effect at the end of it."""
    came: list[int] = []
    handlers = replace_handlers(lambda number, _: came.append(number))
    try:
        yield
    finally:
        restore_handlers(handlers)
        if came:
            signal.raise_signal(came[0])
