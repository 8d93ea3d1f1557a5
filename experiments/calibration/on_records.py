"""The model against records: the letter's tables and recorded QEMU migrations; fits its parameters to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dqgym.model.parameters import save_parameters
from dqgym.scenario.recordings.qemu_runs import read_qemu_runs
from experiments.calibration.figure import calibration_figure
from experiments.calibration.fit import HeldOut, OnEvaluation, TableFit, sources
from experiments.calibration.letter_tables import table_a, table_b
from experiments.calibration.output import PARAMETERS_FILE, Output
from experiments.calibration.qemu import compare_runs
from experiments.calibration.report import Calibration, calibration_csv
from experiments.calibration.settings import Settings, load_settings
from experiments.reporting.plots import save_figure
from experiments.reporting.progress import showing_status
from experiments.reporting.tables import markdown


@dataclass(frozen=True)
class Fitting:
    """What is fitted to Table A: the global parameters, and once more without each shape of machine."""

    parameters: bool = False
    leave_one_out: bool = False


def calibrate_on_records(runs: Path | None, parameters: Path | None, fitting: Fitting, output: Output) -> None:
    """Compare the model with the records.

    Args:
        runs: folder of recorded QEMU runs; None: those of the package.
        parameters: file of the model's parameters; None: those of the package.
        fitting: what is fitted first.
        output: where the comparison goes.

    Raises:
        BadInputError: a file cannot be used.
    """
    settings, recorded = load_settings(parameters), read_qemu_runs(runs)
    output.require_marks()
    settings, held_out = _fitted(settings, fitting)
    calibration = Calibration(
        settings, table_a(settings), table_b(settings), compare_runs(settings, recorded), tuple(held_out)
    )
    output.publish(calibration, lambda folder: _fill(folder, calibration, fitting.parameters))


def _fitted(settings: Settings, fitting: Fitting) -> tuple[Settings, list[HeldOut]]:
    if not (fitting.parameters or fitting.leave_one_out):
        return settings, []
    with _showing_evaluations() as on_evaluation:
        fitter = TableFit(settings, on_evaluation)
        settings = fitter.fit() if fitting.parameters else settings
        return settings, fitter.leave_one_out(settings) if fitting.leave_one_out else []


@contextmanager
def _showing_evaluations() -> Iterator[OnEvaluation]:
    """Count evaluations of Table A and show how far off the last one was."""
    with showing_status("fitting to Table A") as say:
        yield lambda evaluations, error: say(f"fitting to Table A: evaluation {evaluations}, mean error {error:.1%}")


def _fill(folder: Path, calibration: Calibration, fitted: bool) -> None:
    """The other files of a calibration; with the parameters where they are new."""
    (folder / "calibration.csv").write_text(calibration_csv(calibration), encoding="utf-8")
    picture = "![The model against what was measured](calibration.png)"
    page = f"# Calibration\n\n{picture}\n\n{markdown(calibration.tables())}"
    (folder / "calibration.md").write_text(page, encoding="utf-8")
    save_figure(calibration_figure(calibration), folder / "calibration.png")
    if fitted:
        settings = calibration.settings
        save_parameters(settings.parameters, folder / PARAMETERS_FILE, sources(), settings.throttle_options)
