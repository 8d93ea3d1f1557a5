"""Folders of reported migrations: what is read, and what is refused."""

import math
from pathlib import Path

import pytest

from dqgym.errors import BadInputError
from dqgym.scenario.recordings.field_reports import COLUMNS, read_field_reports

SCENARIO = """
name: small
vm: {memory: 64 MiB}
workload: [{vcpus: 1, pattern: idle}]
link: {kind: constant, bandwidth: 100 MB/s}
"""


def folder_of(tmp_path: Path, *rows: str, header: str = ",".join(COLUMNS)) -> Path:
    (tmp_path / "small.yaml").write_text(SCENARIO)
    (tmp_path / "index.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path


def test_a_row_is_read_with_its_scenario(tmp_path: Path) -> None:
    rows = ('small.yaml,auto-converge,"qemu=9.1,max=92 %",12.5,30,1,a list,two runs', "small.yaml,none,,,,0,,")
    first, second = read_field_reports(folder_of(tmp_path, *rows))
    assert (first.throttle, first.options) == ("auto-converge", "qemu=9.1,max=92 %")
    assert (first.total_time_s, first.downtime_s, first.converged) == (12.5, 0.03, True)
    assert first.scenario.vm.memory_bytes == 64 * 2**20
    assert math.isnan(second.total_time_s)
    assert math.isnan(second.downtime_s)
    assert not second.converged


@pytest.mark.parametrize(
    ("options", "note", "lacks"),
    [("", "two runs", False), ("1 GB/s assumed", "", True), ("", "limit Assumed", True), ("", "not stated", True)],
)
def test_a_row_that_assumes_something_says_so(tmp_path: Path, options: str, note: str, lacks: bool) -> None:
    (report,) = read_field_reports(folder_of(tmp_path, f"small.yaml,none,{options},1,,1,,{note}"))
    assert report.lacks_something == lacks


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "small.yaml,none,,soon,,1,,",
            "line 2: reported_total_time_s: 'soon' must be a number, not negative, or empty",
        ),
        ("small.yaml,none,,-1,,1,,", "reported_total_time_s: '-1'"),
        ("small.yaml,none,,1,nan,1,,", "reported_downtime_ms: 'nan'"),
        ("small.yaml,none,,1,,yes,,", "line 2: converged: 'yes' must be 0 or 1"),
        ("other.yaml,none,,1,,1,,", "other.yaml"),
        ("small.yaml,none", "converged: '' must be 0 or 1"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        read_field_reports(folder_of(tmp_path, row))


def test_a_folder_without_an_index_its_columns_or_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"index\.csv"):
        read_field_reports(tmp_path)
    with pytest.raises(BadInputError, match=r"without the columns options, .*note; needed: file, "):
        read_field_reports(folder_of(tmp_path, "small.yaml,none", header="file,throttle"))
    with pytest.raises(BadInputError, match="no rows"):
        read_field_reports(folder_of(tmp_path))


def test_the_package_has_reports_each_with_a_source() -> None:
    reports = read_field_reports()
    assert len(reports) >= 24
    assert all(report.source for report in reports)
