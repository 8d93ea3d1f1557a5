"""The log: every command and block of every page, what was run, and how."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.docs.checks import run_checks, run_slow_checks
from tests.docs.pages import Page
from tests.docs.runner import Entry, Outcome, lay_out, parse_inline, run_page

SHOWN_WIDTH = 110


def run_pages(pages: Iterable[Page], base: Path) -> Iterator[tuple[Page, list[Entry]]]:
    """Run the pages one after another, each in a folder of its own under ``base``; all others build on the first."""
    first: Path | None = None
    for number, page in enumerate(pages):
        folder = base / f"{number}-{Path(page.name).stem}"
        lay_out(folder, first)
        first = first or folder
        yield page, [*run_page(page, folder), *run_checks(page, folder), *parse_inline(page)]


def run_slowly(pages: Iterable[Page], run: Path) -> Iterator[Entry]:
    """The slow checks of all pages."""
    base = Path(tempfile.mkdtemp(prefix="dqgym-docs-"))
    try:
        for number, page in enumerate(pages):
            yield from run_slow_checks(page, base / str(number), run)
    finally:
        shutil.rmtree(base)


def log_line(entry: Entry) -> str:
    """One line: where, what became of it, exit code, seconds, what, and the note."""
    what = " ".join(entry.what.split())
    shown = what if len(what) <= SHOWN_WIDTH else what[: SHOWN_WIDTH - 3] + "..."
    ran = "         " if entry.code is None else f"{entry.code:>2} {entry.seconds:4.1f} s"
    note = f"  [{entry.note}]" if entry.note else ""
    return f"{entry.page + ':' + str(entry.line):<22} {entry.outcome.value:<9} {ran}  {shown}{note}"


def failures(entries: Iterable[Entry]) -> list[str]:
    """The entries that failed, each with the end of its output."""
    failed = [entry for entry in entries if entry.outcome is Outcome.FAILED]
    return [f"{log_line(entry)}\n{entry.output[-2000:]}".rstrip() for entry in failed]


def summary(entries: Iterable[Entry]) -> str:
    """How many became what, and how long it took."""
    listed = list(entries)
    counts = Counter(entry.outcome for entry in listed)
    parts = [f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome]]
    return f"README and docs: {', '.join(parts)}; {sum(entry.seconds for entry in listed):.0f} s"
