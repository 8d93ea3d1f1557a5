"""The model against public reports."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dqgym.errors import BadInputError
from dqgym.scenario.recordings.field_reports import read_field_reports
from experiments.calibration.field import FieldComparison, compare_reports, throttle_name
from experiments.calibration.output import FIELD_MARKS
from experiments.calibration.settings import Settings
from experiments.cli.app import app
from tests.scenario.recordings.test_field_reports import folder_of

DIRTY_LIMIT_VERDICTS, VERDICTS = 8, 22
"""At least as many are right."""


@pytest.mark.parametrize(
    ("throttle", "options", "name"),
    [
        ("none", "", "none"),
        ("auto-converge", "qemu=9.1", "auto-converge:qemu=9.1"),
        ("auto-converge", "qemu=9.1; 1 GB/s a vCPU assumed", "auto-converge:qemu=9.1"),
        ("auto-converge", "qemu=2.8, max 92 %", "auto-converge:qemu=2.8,max=92 %"),
        ("auto-converge", "qemu=2.6, 20/10", "auto-converge:qemu=2.6"),
        ("dirty-limit", "limit 1 MiB/s, period 500 ms", "dirty-limit:limit=1 MiB/s,period=500 ms"),
    ],
)
def test_options_are_told_from_remarks(tmp_path: Path, throttle: str, options: str, name: str) -> None:
    (report,) = read_field_reports(folder_of(tmp_path, f'small.yaml,{throttle},"{options}",1,,1,,'))
    assert throttle_name(report) == name


def test_a_misspelt_option_is_no_remark(tmp_path: Path) -> None:
    reports = read_field_reports(folder_of(tmp_path, "small.yaml,auto-converge,maximum=92 %,1,,1,,"))
    with pytest.raises(BadInputError, match=r"small\.yaml: .*'maximum'"):
        compare_reports(Settings(), reports)


def calibrate(*arguments: object):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


@pytest.mark.slow
def test_a_folder_of_one_s_own_is_compared(tmp_path: Path) -> None:
    rows = ("small.yaml,none,,0.7,300,1,me,", "small.yaml,auto-converge,qemu=9.1,,,0,me,limit assumed")
    folder = folder_of(tmp_path, *rows)
    document = json.loads(calibrate("field", "--data", folder, "--json").stdout)
    first, second = document["rows"]
    # Nobody writes, and 64 MiB take 0.67 s at 100 MB/s; nothing is left after the last whole window but one.
    assert first["model_s"] == pytest.approx(64 * 2**20 / 100e6, abs=0.2)
    assert (first["reported_s"], first["converged_reported"], first["converged_model"]) == (0.7, True, True)
    assert first["error"] == pytest.approx(first["model_s"] / 0.7 - 1)
    assert second["lacks_something"]
    assert (second["reported_s"], second["error"], second["converged_reported"]) == (None, None, False)
    assert document["right_verdicts"] == 1
    assert document["median_error"] == pytest.approx(abs(first["error"]))


@pytest.mark.slow
def test_a_page_gets_the_table_between_its_marks(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "small.yaml,none,,0.7,,1,me,")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{FIELD_MARKS[0]}\nold\n{FIELD_MARKS[1]}\nafter\n")
    assert calibrate("field", "--data", folder, "--update", page).exit_code == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| small | none | 0.7 s |" in text
    assert "old" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fields",), "did you mean 'field'"),
        (("--data", "."), "--data goes with field"),
        (("field", "--fit"), "do not go with field"),
        (("field", "--backend", "kvm"), "do not go with field"),
    ],
)
def test_options_of_another_comparison_are_refused(arguments: tuple[str, ...], message: str) -> None:
    result = calibrate(*arguments)
    assert isinstance(result.exception, BadInputError) or result.exit_code == 2
    assert message in str(result.exception) + result.output


@pytest.mark.slow
def test_the_verdicts_on_the_shipped_reports_are_right() -> None:
    rows = compare_reports(Settings(), read_field_reports())
    limited = [row for row in rows if row.report.throttle == "dirty-limit"]
    assert sum(row.right for row in limited) >= DIRTY_LIMIT_VERDICTS
    assert sum(row.right for row in rows) >= VERDICTS
    assert FieldComparison(tuple(rows)).document()["right_verdicts"] == sum(row.right for row in rows)
