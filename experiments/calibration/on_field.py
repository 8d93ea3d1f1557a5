"""The model against public reports, on the command line."""

from __future__ import annotations

from pathlib import Path

from dqgym.scenario.recordings.field_reports import read_field_reports
from experiments.calibration.field import FieldComparison, compare_reports
from experiments.calibration.output import Output
from experiments.calibration.settings import load_settings
from experiments.reporting.progress import showing_status
from experiments.reporting.tables import markdown


def calibrate_on_field(data: Path | None, parameters: Path | None, output: Output) -> None:
    """Compare the model with the reports of a folder.

    Args:
        data: the folder; None: that of the package.
        parameters: file of the model's parameters; None: those of the package.
        output: where the comparison goes.

    Raises:
        BadInputError: a file cannot be used.
    """
    settings, reports = load_settings(parameters), read_field_reports(data)
    output.require_marks()
    with showing_status(f"{len(reports)} reported migrations"):
        comparison = FieldComparison(tuple(compare_reports(settings, reports)))

    def fill(folder: Path) -> None:
        (folder / "calibration.md").write_text(f"# Field reports\n\n{markdown(comparison.tables())}", encoding="utf-8")

    output.publish(comparison, fill)
