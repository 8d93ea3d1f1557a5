"""``python -m tests.docs``: run everything in README and docs, and print the log; with ``figures RUN``, slow checks.

``figures RUN`` compares what needs the whole quickstart, which `make quickstart` has left in the folder ``RUN``.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from tests.docs.log import failures, log_line, run_pages, run_slowly, summary
from tests.docs.pages import all_pages
from tests.docs.runner import ROOT


def main(arguments: list[str]) -> int:
    """Print the log as it grows, then what failed; 1 if something did."""
    pages = all_pages(ROOT)
    entries = []
    for entry in run_slowly(pages, Path(arguments[1])) if arguments[:1] == ["figures"] else run_pages(pages):
        print(log_line(entry), flush=True)
        entries.append(entry)
    failed = failures(entries)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(*failed, f"{summary(entries)}, {used.ru_utime + used.ru_stime:.0f} s of processor time", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
