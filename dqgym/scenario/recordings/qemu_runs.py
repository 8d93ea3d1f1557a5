"""Recorded migrations of QEMU 10.0: a folder with an ``index.csv`` and one CSV file a run.

The runs in the package were measured with Debian's QEMU 10.0.2 on a machine of two cores, over a unix socket. The guest
is a kernel of a few kB: each writer stores one word to every page of its part of the working set in a loop, paced by
the time-stamp counter; readers do the same without storing. Host ``loaded`` marks runs on a machine that was busy with
other things.

A run's file is one line of JSON (its parameters and results, after ``# ``), a line of column names, then a row every
100 ms: the answer of ``query-migrate`` and, for each vCPU, what the guest counted.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from dqgym.arrays import FloatArray, IntArray
from dqgym.documents import parse_json
from dqgym.errors import BadInputError
from dqgym.files import read_text
from dqgym.names import did_you_mean
from dqgym.scenario.bounds import MOST_ENTRIES
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.scenario.workload import MAX_VCPUS
from dqgym.units import MIB

INDEX_FILE = "index.csv"
Mode = Literal["none", "auto-converge", "dirty-limit"]
MOST_NUMBER = 1e18
"""Of anything that a cell holds."""
MOST_COUNT = 2.0**53
"""Of anything that is counted."""
MOST_TIME_S = 1e5
"""Length of a recording."""
_SHOWN_CHARACTERS = 60
_SENDING = ("active", "completed")
"""States of a migration in which ``query-migrate`` has counters."""
_YES_NO = {"True": True, "False": False}


class RecordingError(BadInputError):
    """A recording cannot be used; the message names the file, the place in it, and what is wrong."""


@dataclass(frozen=True, eq=False)
class RecordedTimeline:
    """The readings that were made every 100 ms while the migration went on: T rows, W vCPUs.

    Attributes:
        time_s: [T] since the migration began.
        sent_pages: [T] pages sent so far, without zero pages (QEMU: ``normal``).
        zero_pages: [T] zero pages sent so far, 9 bytes each (``duplicate``).
        sent_bytes: [T] bytes on the wire so far (``transferred``).
        remaining_bytes: [T] to send in this round, zero pages included.
        total_bytes: [T] the guest's memory, zero pages included.
        syncs: [T] dirty-log syncs so far (``dirty-sync-count``).
        dirty_pages_per_s: [T] found dirty at the last evaluated sync (``dirty-pages-rate``).
        throttle_percent: [T] ``cpu-throttle-percentage``, 0 where there is none.
        downtime_bytes: [T] sent in the last stage, while the guest stood still.
        written_pages: [T, W] stores so far, counted by the guest.
        run_share: [T - 1, W] share of the time between two rows in which the vCPU ran.
    """

    time_s: FloatArray
    sent_pages: IntArray
    zero_pages: IntArray
    sent_bytes: IntArray
    remaining_bytes: IntArray
    total_bytes: IntArray
    syncs: IntArray
    dirty_pages_per_s: FloatArray
    throttle_percent: IntArray
    downtime_bytes: IntArray
    written_pages: IntArray
    run_share: FloatArray


@dataclass(frozen=True)
class RecordedRun:
    """One recorded migration. Writers are the first vCPUs, readers the last ones.

    Attributes:
        id: its name.
        host: ``quiet`` or ``loaded``.
        accelerator: QEMU's ``-accel``.
        vcpus: how many, readers included.
        readers: vCPUs that only read.
        working_set_bytes: of all writers together.
        demand_bytes_per_s: what each writer was told to write.
        bandwidth_bytes_per_s: QEMU's ``max-bandwidth``.
        downtime_limit_s: QEMU's ``downtime-limit``.
        mode: which of QEMU's throttles was on.
        throttle_initial: auto-converge: ``cpu-throttle-initial``, percent.
        throttle_increment: ``cpu-throttle-increment``, percent.
        max_throttle: ``max-cpu-throttle``, percent.
        trigger_threshold: ``throttle-trigger-threshold``, percent.
        tail_slow: ``cpu-throttle-tailslow``.
        dirty_limit_bytes_per_s: dirty-limit: ``vcpu-dirty-limit``; None in the other modes.
        open_loop: writers make up for the time that was stolen from them.
        limit_s: the run was cancelled when it took longer.
        converged: it completed.
        total_time_s: as QEMU reports it, ``limit_s`` or a little more where it was cancelled.
        downtime_s: as QEMU reports it; NaN where it was cancelled.
        syncs: dirty-log syncs in all.
        max_throttle_percent: the highest ``cpu-throttle-percentage``.
        baseline_bytes_per_s: what each vCPU went through before the migration (readers: what they read).
        guest_runtime: share of the migration in which each vCPU ran.
        timeline: what was read while it went on.
    """

    id: str
    host: str
    accelerator: str
    vcpus: int
    readers: int
    working_set_bytes: int
    demand_bytes_per_s: float
    bandwidth_bytes_per_s: float
    downtime_limit_s: float
    mode: Mode
    throttle_initial: int
    throttle_increment: int
    max_throttle: int
    trigger_threshold: int
    tail_slow: bool
    dirty_limit_bytes_per_s: float | None
    open_loop: bool
    limit_s: float
    converged: bool
    total_time_s: float
    downtime_s: float
    syncs: int
    max_throttle_percent: float
    baseline_bytes_per_s: tuple[float, ...]
    guest_runtime: tuple[float, ...]
    timeline: RecordedTimeline = field(compare=False, repr=False)

    @property
    def writers(self) -> int:
        """VCPUs that write."""
        return self.vcpus - self.readers

    def position(self, vcpu: int) -> float:
        """The place of a writer in its part of the working set when the migration began, 0 to 1.

        The guest of these recordings writes its part page by page, in a loop, and counts.
        """
        pages = self.working_set_bytes // self.writers // BASE_PAGE_BYTES
        return int(self.timeline.written_pages[0, vcpu]) % pages / pages

    @property
    def zero_pages(self) -> int:
        """Pages that the first pass found to be zero.

        A pass leaves up to bandwidth * downtime limit for the next one, so they are counted at the end of the second.
        """
        line = self.timeline
        return int(line.zero_pages[line.syncs <= 2][-1])


def read_qemu_runs(folder: Path | None = None) -> list[RecordedRun]:
    """The runs of a folder, in the order of its index; those of the package where None.

    Raises:
        RecordingError: the folder has no index or no run, a file or a column is missing, or a value cannot be read.
    """
    if folder is None:
        with as_file(files("dqgym.scenario").joinpath("data/qemu_runs")) as shipped:
            return read_qemu_runs(shipped)
    index = folder / INDEX_FILE
    rows = list(_numbered_rows(index, _lines(index)))
    if not rows:
        raise RecordingError(f"{index}: no runs")
    return [_read_run(cells, folder) for cells in rows]


class _Cells:
    """The cells of one line by column; every value that is read is checked, and an error says where it stands."""

    def __init__(self, path: Path, line: int, cells: Mapping[str, str]) -> None:
        self._place = f"{path}, line {line}"
        self._cells = cells

    def text(self, column: str) -> str:
        return self._cells[column]

    def number(self, column: str, if_empty: float | None = None) -> float:
        text = self._cells[column]
        if text == "" and if_empty is not None:
            return if_empty
        return self._finite(column, text)

    def whole(self, column: str, if_empty: int | None = None) -> int:
        number = self.number(column, if_empty)
        if number != int(number) or abs(number) > MOST_COUNT:
            raise self.error(column, self._cells[column], f"a whole number to {MOST_COUNT:g}")
        return int(number)

    def yes_no(self, column: str) -> bool:
        return _YES_NO[self.one_of(column, tuple(_YES_NO))]

    def one_of(self, column: str, allowed: Sequence[str]) -> str:
        text = self._cells[column]
        if text not in allowed:
            raise self.error(column, text, f"one of {', '.join(allowed)}{did_you_mean(text, allowed)}")
        return text

    def numbers(self, column: str, count: int) -> tuple[float, ...]:
        """One for each vCPU, such as ``499.4+500.1``."""
        parts = self._cells[column].split("+")
        if len(parts) != count:
            raise self.error(column, self._cells[column], f"{count} numbers, one for each vCPU, joined by '+'")
        return tuple(self._finite(column, part) for part in parts)

    def error(self, column: str, text: str, allowed: str) -> RecordingError:
        return RecordingError(f"{self._place}, column {column!r}: {text[:_SHOWN_CHARACTERS]!r} is not {allowed}")

    def _finite(self, column: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not abs(number) <= MOST_NUMBER:
            raise self.error(column, text, "a number" if math.isnan(number) else f"a number to {MOST_NUMBER:g}")
        return number


_INDEX_COLUMNS = (
    "id", "host", "accelerator", "vcpus", "readers", "working_set_mib", "demand_mib_per_s", "bandwidth_mib_per_s",
    "downtime_limit_ms", "mode", "throttle_initial", "throttle_increment", "max_throttle", "trigger_threshold",
    "tail_slow", "vcpu_dirty_limit_mib_per_s", "open_loop", "limit_s", "outcome", "total_time_ms", "downtime_ms",
    "dirty_sync_count", "max_throttle_percent", "baseline_mib_per_s", "guest_runtime",
)  # fmt: skip
_RUN_COLUMNS = (
    "t", "status", "transferred", "remaining", "total", "dirty_pages_rate", "dirty_sync_count", "normal", "duplicate",
    "downtime_bytes", "throttle",
)  # fmt: skip
_VCPU_COLUMNS = ("pages", "run", "stolen")


def _read_run(cells: _Cells, folder: Path) -> RecordedRun:
    vcpus, readers = cells.whole("vcpus"), cells.whole("readers")
    if not 1 <= vcpus <= MAX_VCPUS:
        raise cells.error("vcpus", str(vcpus), f"from 1 to {MAX_VCPUS}")
    if not 0 <= readers < vcpus:
        raise cells.error("readers", str(readers), f"below the number of vCPUs, {vcpus}")
    mode: Mode = cells.one_of("mode", get_args(Mode))  # type: ignore[assignment]
    working_set_bytes = round(cells.number("working_set_mib") * MIB)
    if working_set_bytes < (vcpus - readers) * BASE_PAGE_BYTES:
        raise cells.error("working_set_mib", cells.text("working_set_mib"), "at least a page of 4 KiB for each writer")
    limit = cells.number("vcpu_dirty_limit_mib_per_s") if mode == "dirty-limit" else None
    return RecordedRun(
        id=_file_name(cells),
        host=cells.text("host"),
        accelerator=cells.text("accelerator"),
        vcpus=vcpus,
        readers=readers,
        working_set_bytes=working_set_bytes,
        demand_bytes_per_s=cells.number("demand_mib_per_s") * MIB,
        bandwidth_bytes_per_s=cells.number("bandwidth_mib_per_s") * MIB,
        downtime_limit_s=cells.number("downtime_limit_ms") / 1000,
        mode=mode,
        throttle_initial=cells.whole("throttle_initial"),
        throttle_increment=cells.whole("throttle_increment"),
        max_throttle=cells.whole("max_throttle"),
        trigger_threshold=cells.whole("trigger_threshold"),
        tail_slow=cells.yes_no("tail_slow"),
        dirty_limit_bytes_per_s=None if limit is None else limit * MIB,
        open_loop=cells.yes_no("open_loop"),
        limit_s=cells.number("limit_s"),
        converged=cells.text("outcome") == "completed",
        total_time_s=cells.number("total_time_ms") / 1000,
        downtime_s=cells.number("downtime_ms") / 1000 if cells.text("downtime_ms") else math.nan,
        syncs=cells.whole("dirty_sync_count"),
        max_throttle_percent=cells.number("max_throttle_percent"),
        baseline_bytes_per_s=tuple(rate * MIB for rate in cells.numbers("baseline_mib_per_s", vcpus)),
        guest_runtime=cells.numbers("guest_runtime", vcpus),
        timeline=_read_timeline(folder / f"{cells.text('id')}.csv", vcpus),
    )


def _file_name(cells: _Cells) -> str:
    """The id, which names a file in the folder, and a scenario."""
    name = cells.text("id")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,90}", name):
        raise cells.error("id", name, "letters, digits, '.', '_' and '-'")
    return name


def _read_timeline(path: Path, vcpus: int) -> RecordedTimeline:
    lines = _lines(path)
    _check_json_line(path, lines[0] if lines else "")
    per_vcpu = [f"{name}{vcpu}" for name in _VCPU_COLUMNS for vcpu in range(vcpus)]
    rows = _numbered_rows(path, lines, first=1, columns=(*_RUN_COLUMNS, *per_vcpu))
    sending = [row for row in rows if row.text("status") in _SENDING]
    if len(sending) < 2:
        raise RecordingError(f"{path}: {len(sending)} rows of an active or completed migration; at least 2 are needed")
    time_s = np.array([row.number("t") for row in sending])
    if not (time_s[0] >= 0 and time_s[-1] <= MOST_TIME_S and (np.diff(time_s) > 0).all()):
        raise RecordingError(f"{path}, column 't': the times must rise, from 0 or later to {MOST_TIME_S:g} s at most")
    syncs = _whole(sending, "dirty_sync_count")[:, 0]
    if not (syncs <= 2).any():
        raise RecordingError(
            f"{path}, column 'dirty_sync_count': above 2 from the first row on; the beginning is missing"
        )
    run, stolen = (_whole(sending, *(f"{name}{vcpu}" for vcpu in range(vcpus))) for name in ("run", "stolen"))
    ran, all_time = np.diff(run, axis=0), np.diff(run + stolen, axis=0)
    return RecordedTimeline(
        time_s=time_s,
        sent_pages=_whole(sending, "normal")[:, 0],
        zero_pages=_whole(sending, "duplicate")[:, 0],
        sent_bytes=_whole(sending, "transferred")[:, 0],
        remaining_bytes=_whole(sending, "remaining")[:, 0],
        total_bytes=_whole(sending, "total")[:, 0],
        syncs=syncs,
        dirty_pages_per_s=np.array([row.number("dirty_pages_rate") for row in sending]),
        throttle_percent=_whole(sending, "throttle", if_empty=0)[:, 0],
        downtime_bytes=_whole(sending, "downtime_bytes")[:, 0],
        written_pages=_whole(sending, *(f"pages{vcpu}" for vcpu in range(vcpus))),
        run_share=ran / np.maximum(all_time, 1),
    )


def _whole(rows: Sequence[_Cells], *columns: str, if_empty: int | None = None) -> IntArray:
    """[T, len(columns)]."""
    return np.array([[row.whole(column, if_empty) for column in columns] for row in rows], dtype=np.int64)


def _check_json_line(path: Path, line: str) -> None:
    try:
        described = parse_json(line.removeprefix("#"), str(path))
    except BadInputError:
        described = None
    if not (line.startswith("#") and isinstance(described, dict)):
        raise RecordingError(f"{path}, line 1: must be '# ' and a JSON object, not {line[:40]!r}")


def _lines(path: Path) -> list[str]:
    return read_text(path, "the recording", error=RecordingError).splitlines()


def _numbered_rows(
    path: Path, lines: Sequence[str], first: int = 0, columns: Sequence[str] = _INDEX_COLUMNS
) -> Iterable[_Cells]:
    """The rows below the column names in ``lines[first]``; a missing column or cell is an error."""
    try:
        header, *rows = csv.reader(lines[first:]) if len(lines) > first else [[]]
    except csv.Error as error:
        raise RecordingError(f"cannot read the recording {path}: not CSV: {error}") from error
    if len(rows) > MOST_ENTRIES:
        raise RecordingError(f"{path}: {len(rows):,} rows, at most {MOST_ENTRIES:,} are read")
    missing = [column for column in columns if column not in header]
    if missing:
        raise RecordingError(f"{path}, line {first + 1}: missing columns: {', '.join(missing)}")
    for number, row in enumerate(rows, start=first + 2):
        if len(row) != len(header):
            raise RecordingError(f"{path}, line {number}: {len(row)} values for {len(header)} columns")
        yield _Cells(path, number, dict(zip(header, row, strict=True)))
