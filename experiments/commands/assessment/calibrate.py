"""``dqgym calibrate``: the model against measurements; fits its parameters, or measures those of this host.

* ``--backend model``: against the letter's tables and recorded QEMU migrations, or, with ``field``, public reports.
* ``--backend kvm``: against this host. Measures what it costs, and compares real migrations with the model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dqgym.errors import BadInputError
from dqgym.names import unknown
from experiments.commands.options import AsJson, Force

BACKENDS, AGAINST = ("model", "kvm"), ("records", "field")


def calibrate_command(
    against: Annotated[
        str, typer.Argument(metavar="[records|field]", help="Letter and QEMU recordings, or public reports.")
    ] = "records",
    backend: Annotated[str, typer.Option(help="What the model is compared with: model (records) or kvm.")] = "model",
    results: Annotated[
        list[Path] | None,
        typer.Option(help="With kvm: folder of `dqgym evaluate --backend kvm`; repeat for more.", file_okay=False),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN|BUNDLE", help="With --results: a policy that is in them; repeat for more."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of recorded QEMU runs; else those of the package.", file_okay=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With field: folder of scenario files and index.csv; else the package's.", file_okay=False),
    ] = None,
    parameters: Annotated[
        Path | None, typer.Option(help="File of model parameters; else those of the package.", dir_okay=False)
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Fit the global parameters to Table A; writes parameters.yaml.")
    ] = False,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Fit without each shape of machine in Table A, too.")
    ] = False,
    as_json: AsJson = False,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for tables and JSON; with --fit or kvm else results/<time>.", file_okay=False),
    ] = None,
    force: Force = False,
    update: Annotated[
        Path | None,
        typer.Option(help="Page of Markdown whose calibration tables are replaced; the rest stays.", dir_okay=False),
    ] = None,
) -> None:
    """Compare the model with what was measured, and fit its parameters to Table A, or measure those of this host."""
    from experiments.calibration.output import FIELD_MARKS, MARKS, RESULTS, Output
    from experiments.folders import default_results, require_free

    if out is not None:
        require_free(out, force, RESULTS)
    of_records, of_host = fit or leave_one_out or bool(runs), bool(results or policy)
    _require_fitting(against, backend, of_records, of_host, of_field=data is not None)
    folder = out or (default_results("-calibration") if fit or backend == "kvm" else None)
    output = Output(as_json, folder, update, FIELD_MARKS if against == "field" else MARKS)
    if against == "field":
        from experiments.calibration.on_field import calibrate_on_field

        calibrate_on_field(data, parameters, output)
    elif backend == "kvm":
        from experiments.calibration.on_host import calibrate_on_host

        calibrate_on_host(results or [], policy or [], parameters, output)
    else:
        from experiments.calibration.on_records import Fitting, calibrate_on_records

        calibrate_on_records(runs, parameters, Fitting(fit, leave_one_out), output)


def _require_fitting(against: str, backend: str, of_records: bool, of_host: bool, of_field: bool) -> None:
    """Raise a BadInputError for options of another comparison."""
    if against not in AGAINST:
        raise BadInputError(unknown("comparison:", against, AGAINST))
    if backend not in BACKENDS:
        raise BadInputError(f"unknown backend {backend!r}; the model can be compared with: model (its records), kvm")
    if against == "field" and (backend == "kvm" or of_records):
        raise BadInputError("--backend kvm, --fit, --leave-one-out and --runs do not go with field")
    if against != "field" and of_field:
        raise BadInputError("--data goes with field: dqgym calibrate field --data DIR")
    if backend == "kvm" and of_records:
        raise BadInputError("--fit, --leave-one-out and --runs go with --backend model")
    if backend == "model" and of_host:
        raise BadInputError("--results and --policy go with --backend kvm")
