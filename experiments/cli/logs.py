"""``-v`` and ``-vv``: what the packages log, on standard error. Only the command line sets this up, never a library."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

PACKAGES = ("dqgym", "agents", "experiments")
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
"""By the number of ``-v``."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what is standard error at that time: a progress bar puts itself in between."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard error."""
        return sys.stderr


def show_logs(verbosity: int) -> None:
    """Show what is logged: with 1 what is done, with 2 and more details, too; with 0 warnings, as Python shows them."""
    if not verbosity:
        return
    level = LEVELS[min(verbosity, len(LEVELS) - 1)]
    handler = _StandardError()
    handler.setFormatter(logging.Formatter(FORMAT, "%H:%M:%S"))
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers[:] = [handler]
        logger.propagate = False
