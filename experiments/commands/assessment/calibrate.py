"""``dqgym calibrate``: the model against measurements; fits its parameters, or measures those of this host.

* ``--backend model``: against the letter's tables and recorded QEMU migrations.
* ``--backend kvm``: against this host. Measures what it costs a migration, writes parameters for the model, and
  compares real migrations (``dqgym evaluate --backend kvm``) with the same ones on the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dqgym.errors import BadInputError
from experiments.folders import FORCE_HELP, FolderKind, filling_folder, require_free

if TYPE_CHECKING:
    from rich.console import Console

    from dqgym.backends.kvm.host.measure import HostCosts
    from experiments.calibration.fit import OnEvaluation
    from experiments.calibration.host import HostCalibration
    from experiments.calibration.report import Calibration

PARAMETERS_FILE = "parameters.yaml"
RESULTS = FolderKind("folder of `dqgym calibrate`", ("calibration.json",))


def calibrate_command(
    backend: Annotated[str, typer.Option(help="What the model is compared with: model (records) or kvm.")] = "model",
    results: Annotated[
        list[Path] | None,
        typer.Option(
            help="With kvm: folder of `dqgym evaluate --backend kvm` to compare with; repeat for more.", file_okay=False
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN|BUNDLE", help="With --results: a policy that is in them; repeat for more."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of recorded QEMU runs; else those of the package.", file_okay=False)
    ] = None,
    parameters: Annotated[
        Path | None, typer.Option(help="File of model parameters; else those of the package.", dir_okay=False)
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help=f"Fit the global parameters to Table A; writes {PARAMETERS_FILE}.")
    ] = False,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Fit without each shape of machine in Table A, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for tables, CSV, JSON and picture, a new or an empty one; with --fit or kvm else"
            " results/<time>-calibration.",
            file_okay=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help=FORCE_HELP)] = False,
    update: Annotated[
        Path | None,
        typer.Option(help="Page of Markdown whose calibration tables are replaced; the rest stays.", dir_okay=False),
    ] = None,
) -> None:
    """Compare the model with what was measured, and fit its parameters to Table A, or measure those of this host."""
    if out is not None:
        require_free(out, force, RESULTS)
    if backend == "kvm":
        if fit or leave_one_out or runs:
            raise BadInputError("--fit, --leave-one-out and --runs go with --backend model")
        _calibrate_host(results or [], policy or [], parameters, as_json, out, update)
        return
    if backend != "model":
        raise BadInputError(f"unknown backend {backend!r}; the model can be compared with: model (its records), kvm")
    if results or policy:
        raise BadInputError("--results and --policy go with --backend kvm")
    from dqgym.files import read_text, write_text
    from dqgym.scenario.recordings.qemu_runs import read_qemu_runs
    from experiments.calibration.fit import TableFit
    from experiments.calibration.letter import table_a, table_b
    from experiments.calibration.qemu import compare_runs
    from experiments.calibration.report import Calibration, with_tables
    from experiments.calibration.settings import load_settings

    settings, recorded = load_settings(parameters), read_qemu_runs(runs)
    page = read_text(update, "page") if update else ""
    if update:
        with_tables(page, [], str(update))  # first, so that a page without the marks costs no fit
    held_out = []
    if fit or leave_one_out:
        with _progress() as on_evaluation:
            fitter = TableFit(settings, on_evaluation)
            settings = fitter.fit() if fit else settings
            held_out = fitter.leave_one_out(settings) if leave_one_out else []
    calibration = Calibration(
        settings, table_a(settings), table_b(settings), compare_runs(settings, recorded), tuple(held_out)
    )

    console = _show(calibration, as_json)
    if update:
        write_text(update, with_tables(page, calibration.tables(), str(update)))
        console.print(f"tables: {update}", soft_wrap=True, markup=False)
    if out or fit:
        folder = out or Path("results") / f"{datetime.now():%Y%m%d-%H%M%S}-calibration"
        _write(folder, calibration, fitted=fit)
        console.print(f"results: {folder}", soft_wrap=True, markup=False)


def _show(calibration: Calibration | HostCalibration, as_json: bool) -> Console:
    """Print it as JSON or as tables; returns the console for what else there is to say."""
    from experiments.reporting.tables import terminal

    console = terminal(stderr=as_json)
    if as_json:
        print(json.dumps(calibration.document(), indent=2))
    else:
        for table in calibration.tables():
            table.print(console)
    return console


def _calibrate_host(
    results: Sequence[Path],
    policies: Sequence[str],
    parameters: Path | None,
    as_json: bool,
    out: Path | None,
    update: Path | None,
) -> None:
    """Measure this host, or take its parameters from a file, and compare real migrations with the model."""
    from dqgym.files import read_text, write_text
    from dqgym.model.parameters import load_parameters
    from dqgym.throttles.registry import throttle_names
    from experiments.calibration.host import HostCalibration, compare, read_rows
    from experiments.calibration.report import with_tables
    from experiments.evaluation.throttle_sources import line_up

    page = read_text(update, "page") if update else ""
    if update:
        with_tables(page, [], str(update))  # first, so that a page without the marks costs no measurement
    rows = [row for folder in results for row in read_rows(folder)]
    named = {row.throttle for row in rows}
    contenders = line_up([*policies, *(name for name in throttle_names() if name in named)], False) if rows else []
    costs = None if parameters else _measured_costs()
    if costs is not None:
        host, sources = costs.parameters()
    else:
        assert parameters is not None
        host, sources = load_parameters(parameters), {}
    calibration = HostCalibration(host, costs, *compare(rows, contenders, host))

    console = _show(calibration, as_json)
    folder = out or Path("results") / f"{datetime.now():%Y%m%d-%H%M%S}-calibration"
    _write_host(folder, calibration, sources)
    if update:
        write_text(update, with_tables(page, calibration.tables(), str(update)))
        console.print(f"tables: {update}", soft_wrap=True, markup=False)
    console.print(f"results: {folder}", soft_wrap=True, markup=False)


def _measured_costs() -> HostCosts:
    from dqgym.backends.kvm.host.measure import measure_costs
    from dqgym.backends.kvm.host.probe import KvmUnavailableError, probe, require_kvm
    from experiments.reporting.tables import terminal

    require_kvm()
    console = terminal(stderr=True)
    with console.status("probing this host") as status:
        report = probe()
        if not report.usable or report.rates is None:
            raise KvmUnavailableError(report.problem or "the probe came to no rates")
        return measure_costs(report.rates, on_step=lambda what: status.update(f"measuring {what}"))


def _write_host(folder: Path, calibration: HostCalibration, sources: Mapping[str, str]) -> None:
    from dqgym.model.parameters import save_parameters
    from experiments.calibration.report import markdown

    with filling_folder(folder) as draft:
        (draft / "calibration.json").write_text(json.dumps(calibration.document(), indent=1), encoding="utf-8")
        (draft / "calibration.md").write_text(f"# This host\n\n{markdown(calibration.tables())}", encoding="utf-8")
        save_parameters(calibration.parameters, draft / PARAMETERS_FILE, sources)


def _write(folder: Path, calibration: Calibration, fitted: bool) -> None:
    """All files of a calibration; with the parameters where they are new."""
    from dqgym.model.parameters import save_parameters
    from experiments.calibration.figure import calibration_figure
    from experiments.calibration.fit import sources
    from experiments.calibration.report import calibration_csv, markdown
    from experiments.reporting.plots import save_figure

    with filling_folder(folder) as draft:
        document = json.dumps(calibration.document(), indent=1)
        (draft / "calibration.json").write_text(document, encoding="utf-8")
        (draft / "calibration.csv").write_text(calibration_csv(calibration), encoding="utf-8")
        picture = "![The model against what was measured](calibration.png)"
        page = f"# Calibration\n\n{picture}\n\n{markdown(calibration.tables())}"
        (draft / "calibration.md").write_text(page, encoding="utf-8")
        save_figure(calibration_figure(calibration), draft / "calibration.png")
        if fitted:
            settings = calibration.settings
            save_parameters(settings.parameters, draft / PARAMETERS_FILE, sources(), settings.throttle_options)


@contextmanager
def _progress() -> Iterator[OnEvaluation]:
    """A line on standard error that counts evaluations of Table A and shows how far off the last one was."""
    from experiments.reporting.tables import terminal

    console = terminal(stderr=True)
    if not console.is_terminal:
        yield lambda evaluations, error: None
        return
    with console.status("fitting to Table A") as status:
        yield lambda evaluations, error: status.update(
            f"fitting to Table A: evaluation {evaluations}, mean error {error:.1%}"
        )
