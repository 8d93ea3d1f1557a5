"""The log: every command and block of every page, what was run, and how."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.docs.checks import run_checks, run_slow_checks
from tests.docs.pages import Page, all_pages
from tests.docs.runner import ROOT, Entry, Outcome, lay_out, parse_inline, rewritten_pages, run_page

SHOWN_WIDTH = 110


def run_all(page: Page, folder: Path, earlier: Path | None) -> Iterator[Entry]:
    """All of a page in a new folder, which begins with what an earlier page left."""
    lay_out(folder, earlier)
    yield from run_page(page, folder)
    yield from run_checks(page, folder)
    yield from rewritten_pages(page, all_pages(ROOT), folder)
    yield from parse_inline(page)


def run_pages(pages: Iterable[Page]) -> Iterator[Entry]:
    """The pages one after another, each in a folder of its own; all others build on the first."""
    base = Path(tempfile.mkdtemp(prefix="dqgym-docs-"))
    try:
        for number, page in enumerate(pages):
            yield from run_all(page, base / str(number), base / "0" if number else None)
    finally:
        shutil.rmtree(base)


class PageRuns:
    """Runs each page when it is first asked for, README before all others."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._log: list[Entry] = []
        self._entries: dict[str, list[Entry]] = {}

    def entries(self, page: Page, readme: Page) -> list[Entry]:
        """What running the page came to."""
        if page.name not in self._entries:
            if page is not readme:
                self.entries(readme, readme)
            earlier = None if page is readme else self._folder(readme)
            self._entries[page.name] = list(run_all(page, self._folder(page), earlier))
            self._log.extend(self._entries[page.name])
        return self._entries[page.name]

    def take_log(self) -> list[Entry]:
        """Everything since the last call, of all pages that were run."""
        taken, self._log = self._log, []
        return taken

    def _folder(self, page: Page) -> Path:
        return self._base / page.name.replace("/", "-").removesuffix(".md")


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
