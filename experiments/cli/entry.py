"""The entry point of the console command: it has the signals in hand before it imports anything else."""

from __future__ import annotations

import os
import sys

from experiments.cli import kept_pages, signals


def main() -> None:
    """Entry point of the console command; ends without a word where nobody reads on (``dqgym suites | head -1``)."""
    signals.install()
    try:
        try:
            if not kept_pages.kept_page_shown(sys.argv[1:]):
                _run()
        finally:
            sys.stdout.flush()  # here, where the error can be caught: the interpreter's own flush would report it
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:  # `--help` and wrong usage run no command
        signals.ignore()
        # A KeyboardInterrupt that passed through an `exec` of text (numba has some) makes the interpreter end by the
        # signal, though it was caught; the next one that ends well makes it forget.
        exec("")


def _run() -> None:
    """Import what finds the command, and run it."""
    from experiments.cli.app import app, require_own_packages

    require_own_packages()
    with kept_pages.KeepingPage(sys.argv[1:]):
        app()


if __name__ == "__main__":
    main()
