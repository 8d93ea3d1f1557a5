"""``python -m tests.docs``: run everything in README and docs, and print the log; with ``figures RUN``, slow checks.

``figures RUN`` compares what needs the whole quickstart, which `make quickstart` has left in the folder ``RUN``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.docs.log import failures, log_line, run_pages, run_slowly, summary
from tests.docs.pages import all_pages
from tests.docs.runner import ROOT, Entry


def _entries(arguments: list[str]) -> Iterator[Entry]:
    pages = all_pages(ROOT)
    if arguments[:1] == ["figures"]:
        yield from run_slowly(pages, Path(arguments[1]))
        return
    base = Path(tempfile.mkdtemp(prefix="dqgym-docs-"))
    try:
        for _, entries in run_pages(pages, base):
            yield from entries
    finally:
        shutil.rmtree(base)


def main(arguments: list[str]) -> int:
    """Print the log as it grows, then what failed; 1 if something did."""
    entries = []
    for entry in _entries(arguments):
        print(log_line(entry), flush=True)
        entries.append(entry)
    failed = failures(entries)
    print(*failed, summary(entries), sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
