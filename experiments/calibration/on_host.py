"""The model against this host: measures what it costs a migration, and compares real migrations with the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dqgym.backends.kvm.host import probe
from dqgym.backends.kvm.host.measure import HostCosts, measure_costs
from dqgym.model.parameters import load_parameters, save_parameters
from dqgym.results.rows_file import read_rows
from dqgym.throttles.registry import throttle_names
from experiments.calibration.host_comparison import HostCalibration, host_comparison
from experiments.calibration.output import PARAMETERS_FILE, Output
from experiments.evaluation.throttle_sources import line_up
from experiments.kept_suites import kept_suites
from experiments.reporting.progress import showing_status
from experiments.reporting.tables import markdown


def calibrate_on_host(
    results: Sequence[Path], policies: Sequence[str], parameters: Path | None, output: Output
) -> None:
    """Measure this host, or take its parameters from a file, and compare real migrations with the model.

    Args:
        results: folders of ``dqgym evaluate --backend kvm``.
        policies: runs or bundles that are in them; baselines are known by their names.
        parameters: file of this host's parameters; None: they are measured.
        output: where the comparison goes.

    Raises:
        BadInputError: a file or folder cannot be used.
        KvmUnavailableError: nothing can be measured here; the message has the remedy.
    """
    output.require_marks()
    rows = [row for folder in results for row in read_rows(folder)]
    own_suites = {name: suite for folder in results for name, suite in kept_suites(folder).items()}
    named = {row.throttle for row in rows}
    throttles = line_up([*policies, *(name for name in throttle_names() if name in named)], False) if rows else []
    costs = None if parameters else _measured_costs()
    if costs is not None:
        host, sources = costs.parameters()
    else:
        assert parameters is not None
        host, sources = load_parameters(parameters), {}
    calibration = HostCalibration(host, costs, *host_comparison(rows, throttles, host, own_suites))
    output.publish(calibration, lambda folder: _fill(folder, calibration, sources))


def _measured_costs() -> HostCosts:
    probe.require_kvm()
    with showing_status("probing this host") as say:
        report = probe.probe()
        if not report.usable or report.rates is None:
            raise probe.KvmUnavailableError(report.problem or "the probe came to no rates")
        return measure_costs(report.rates, on_step=lambda what: say(f"measuring {what}"))


def _fill(folder: Path, calibration: HostCalibration, sources: Mapping[str, str]) -> None:
    (folder / "calibration.md").write_text(f"# This host\n\n{markdown(calibration.tables())}", encoding="utf-8")
    save_parameters(calibration.parameters, folder / PARAMETERS_FILE, sources)
