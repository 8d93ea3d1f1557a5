"""The comparison of the model with what was measured: as JSON, as tables and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from dqgym.scenario.recordings.qemu_scenario import dirty_log
from dqgym.units import MIB
from experiments.calibration.fit import HeldOut, fitted_values
from experiments.calibration.letter_tables import LetterTable, LetterTime, RuntimeTable
from experiments.calibration.qemu import QUIET, SUMMARISED_MODES, QemuSummary, RunPair, summarise_runs
from experiments.calibration.settings import Settings
from experiments.reporting.letter_rows import configuration, row_label
from experiments.reporting.report import CONFIGURATION_HEADER
from experiments.reporting.tables import Table
from experiments.results.rows import json_safe

ROW_9 = (
    "* Row 9 as printed: its bandwidth contradicts both of its times. ** Read as 128 MiB/s it fits both; this reading"
    " counts. No source confirms the misprint."
)


@dataclass(frozen=True)
class Calibration:
    """Everything that was compared with one set of parameters.

    Attributes:
        settings: the parameters.
        table_a: by throttle.
        table_b: guest runtimes.
        runs: recorded QEMU migrations.
        held_out: fits without one shape each; empty unless asked for.
    """

    settings: Settings
    table_a: dict[str, LetterTable]
    table_b: RuntimeTable
    runs: tuple[RunPair, ...]
    held_out: tuple[HeldOut, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON; times and errors of what did not converge are null."""
        document: dict[str, Any] = {
            "parameters": self.settings.parameters._asdict(),
            "throttle_options": {name: dict(options) for name, options in self.settings.throttle_options.items()},
            "table_a": {name.replace("-", "_"): _letter_document(table) for name, table in self.table_a.items()},
            "table_b": _runtime_document(self.table_b),
            "qemu": _qemu_document(self.runs),
        }
        if self.held_out:
            document["leave_one_out"] = _held_out_document(self.held_out)
        safe: dict[str, Any] = json_safe(document)
        return safe

    def tables(self) -> list[Table]:
        """In the order in which they are shown."""
        tables = [
            _summary_table(self),
            _letter_table(self.table_a),
            _runtime_table(self.table_b),
            _qemu_table(self.runs),
        ]
        return [*tables, _held_out_table(self.held_out)] if self.held_out else tables


@dataclass(frozen=True)
class Line:
    """One number of the model beside the measured one, for CSV; empty where a migration did not converge.

    Attributes:
        source: ``table-a``, ``table-b`` or ``qemu``.
        name: row, mix or run.
        throttle: under which.
        quantity: ``time_s``, ``guest_runtime`` or ``throttle_percent``.
        counts: whether it is part of the summary.
    """

    source: str
    name: str
    throttle: str
    quantity: str
    measured: float
    model: float
    counts: bool


def calibration_csv(calibration: Calibration) -> str:
    """Every number that was compared, one a line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Line)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(json_safe(vars(line)) for line in comparison_lines(calibration))
    return text.getvalue()


def _letter_document(table: LetterTable) -> dict[str, Any]:
    return {
        "median_error": table.summary.median,
        "max_error": table.summary.largest,
        "structure_ok": table.structure_ok,
        "wrong_verdicts": table.summary.wrong_verdicts,
        "rows": [
            {
                "scenario": time.row.scenario,
                "row": time.row.row,
                "measured_s": time.measured_s,
                "model_s": time.model_s,
                "error": time.error,
                "counts": time.counts,
            }
            for time in table.times
        ],
    }


def _runtime_document(table: RuntimeTable) -> dict[str, Any]:
    return {
        "rmse_points": table.rmse_points,
        "max_points": table.max_points,
        "rows": [
            {
                "mix": pair.mix,
                "throttle": pair.throttle,
                "measured_percent": pair.measured_percent,
                "model_percent": pair.model_percent,
                "error_points": pair.error_points,
            }
            for pair in table.pairs
        ],
    }


def _qemu_document(pairs: Sequence[RunPair]) -> dict[str, Any]:
    return {
        **_summary_document(summarise_runs(pairs)),
        "dirty_limit": _summary_document(summarise_runs(pairs, ["dirty-limit"])),
        "runs": [
            {
                "id": pair.run.id,
                "host": pair.run.host,
                "mode": pair.run.mode,
                "converged_measured": pair.run.converged,
                "converged_model": pair.model_converged,
                "measured_s": pair.run.total_time_s,
                "model_s": pair.model_s,
                "error": pair.error,
                "fluid_s": pair.fluid_s,
                "fluid_error": pair.fluid_error,
                "throttle_measured": pair.run.max_throttle_percent,
                "throttle_model": pair.throttle_model,
                "runtime_measured": np.mean(pair.run.guest_runtime),
                "runtime_model": np.mean(pair.runtime_model),
                "runtime_measured_per_vcpu": pair.run.guest_runtime,
                "runtime_model_per_vcpu": pair.runtime_model,
            }
            for pair in pairs
        ],
    }


def _summary_document(summary: QemuSummary) -> dict[str, Any]:
    return {
        "median_error": summary.median_error,
        "max_error": summary.max_error,
        "counted_runs": summary.runs,
        "wrong_verdicts": summary.wrong_verdicts,
    }


def _held_out_document(folds: Sequence[HeldOut]) -> dict[str, Any]:
    return {
        **{name.replace("-", "_"): _held_out_summary(folds, name) for name in folds[0].errors},
        "folds": [
            {
                "memory_gb": fold.shape[0],
                "threads": fold.shape[1],
                "fitted": fitted_values(fold.settings),
                "errors": {name.replace("-", "_"): errors for name, errors in fold.errors.items()},
            }
            for fold in folds
        ],
    }


def _held_out_summary(folds: Sequence[HeldOut], throttle: str) -> dict[str, float]:
    errors = np.abs([error for fold in folds for error in fold.errors[throttle].values()])
    return {"median_error": float(np.median(errors)), "max_error": float(errors.max())}


def _summary_table(calibration: Calibration) -> Table:
    rows = [
        (f"Table A, {name}: migration time", f"{table.summary.rows} rows", f"{table.summary.median:.1%}",
         f"{table.summary.largest:.1%}", _verdict(table.summary.wrong_verdicts))
        for name, table in calibration.table_a.items()
    ]  # fmt: skip
    if calibration.held_out:
        rows += [
            (f"Table A, {name}: rows of a shape that the fit had not seen", f"{len(calibration.held_out)} shapes",
             f"{summary['median_error']:.1%}", f"{summary['max_error']:.1%}", "")
            for name in calibration.table_a
            for summary in [_held_out_summary(calibration.held_out, name)]
        ]  # fmt: skip
    for modes in (SUMMARISED_MODES, ("dirty-limit",)):
        summary = summarise_runs(calibration.runs, modes)
        errors = _percent(summary.median_error, ".1%"), _percent(summary.max_error, ".1%")
        verdict = _verdict(summary.wrong_verdicts)
        rows.append((f"QEMU, {' and '.join(modes)}: migration time", f"{summary.runs} runs", *errors, verdict))
    table_b = calibration.table_b
    return Table.of(
        title="The model against what was measured",
        header=("what", "of", "median error", "largest error", "convergence"),
        rows=rows,
        notes=[
            f"Table B, guest runtime: {table_b.rmse_points:.1f} points rms, {table_b.max_points:.1f} points at most.",
            "Errors are |model / measured - 1| over migrations that converge in both; of the QEMU runs those on a quiet"
            " host count.",
        ],
    )


def _verdict(wrong: Sequence[str]) -> str:
    return f"wrong in {', '.join(wrong)}" if wrong else "right in all"


def _letter_table(tables: dict[str, LetterTable]) -> Table:
    names = list(tables)
    header = [f"{name}:\n{what}" for name in names for what in ("letter", "model", "error")]
    return Table.of(
        title="Table A: migration time",
        header=("row", *CONFIGURATION_HEADER, *header),
        rows=[
            (row_label(times[0].row), *configuration(times[0].row), *(cell for time in times for cell in _cells(time)))
            for times in zip(*(tables[name].times for name in names), strict=True)
        ],
        notes=[ROW_9],
        expendable=("writers", "memory", "dirty rate", "bandwidth"),
    )


def _cells(time: LetterTime) -> tuple[str, str, str]:
    return _time(time.measured_s), _time(time.model_s), _percent(time.error)


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "unconverged"
    return f"{seconds:.1f} s" if seconds < 1000 else f"{seconds:.0f} s"


def _percent(share: float, form: str = "+.1%") -> str:
    return "" if math.isnan(share) else format(share, form)


def _runtime_table(table: RuntimeTable) -> Table:
    return Table.of(
        title="Table B: guest runtime in per cent",
        header=("mix", "throttle", "letter", "model", "error"),
        rows=[
            (pair.mix, pair.throttle, f"{pair.measured_percent:.1f}", f"{pair.model_percent:.1f}",
             f"{pair.error_points:+.1f}")
            for pair in table.pairs
        ],
        text_columns=2,
    )  # fmt: skip


def _qemu_table(pairs: Sequence[RunPair]) -> Table:
    return Table.of(
        title="Recorded QEMU migrations",
        header=(
            "run", "mode", "host", "dirty log", "working set", "vCPUs: demand", "bandwidth", "QEMU", "model", "error",
            "fluid", "throttle:\nQEMU", "throttle:\nmodel", "runtime:\nQEMU", "runtime:\nmodel",
        ),
        rows=[_run_cells(pair) for pair in pairs],
        notes=[
            "Model: the page-exact reference, which knows where the guest was writing when the migration began; fluid:"
            " the error of the vectorised model, which does not. Demand: of each writing vCPU; after a plus, vCPUs that"
            " only read. Throttle: highest percentage of auto-converge. Runtime: share of the time in which a vCPU ran,"
            " mean over the vCPUs. The summary counts runs on a quiet host."
        ],
        text_columns=4,
        expendable=("working set", "vCPUs: demand", "bandwidth", "dirty log", "fluid"),
    )  # fmt: skip


def _run_cells(pair: RunPair) -> tuple[str, ...]:
    run = pair.run
    vcpus = f"{run.writers}" + (f" + {run.readers}" if run.readers else "")
    return (
        run.id,
        run.mode,
        run.host,
        dirty_log(run).kind,
        f"{run.working_set_bytes / MIB:.0f} MiB",
        f"{vcpus}: {run.demand_bytes_per_s / MIB:.0f} MiB/s" + (", open" if run.open_loop else ""),
        f"{run.bandwidth_bytes_per_s / MIB:.0f} MiB/s",
        _time(run.total_time_s if run.converged else math.inf),
        _time(pair.model_s if pair.model_converged else math.inf),
        _percent(pair.error),
        _percent(pair.fluid_error),
        f"{run.max_throttle_percent:.0f} %",
        f"{pair.throttle_model:.0f} %",
        f"{np.mean(run.guest_runtime):.1%}",
        f"{np.mean(pair.runtime_model):.1%}",
    )


def _held_out_table(folds: Sequence[HeldOut]) -> Table:
    names = list(folds[0].errors)
    fitted = [fitted_values(fold.settings) for fold in folds]
    return Table.of(
        title="Table A: fits that have not seen a shape, on its rows",
        header=("memory and threads held out", *names, *fitted[0]),
        rows=[
            (
                f"{fold.shape[0]} GB, {fold.shape[1]}",
                *(", ".join(f"{error:+.1%}" for error in fold.errors[name].values()) for name in names),
                *(f"{value:.3g}" for value in values.values()),
            )
            for fold, values in zip(folds, fitted, strict=True)
        ],
        notes=["A row that converges in the letter each, row 9 as the misprint reads it."],
        expendable=tuple(fitted[0]),
    )


def comparison_lines(calibration: Calibration) -> list[Line]:
    """Every number that was compared."""
    lines = [
        Line("table-a", time.row.scenario, name, "time_s", time.measured_s, time.model_s, time.counts)
        for name, table in calibration.table_a.items()
        for time in table.times
    ]
    lines += [
        Line("table-b", pair.mix, pair.throttle, "guest_runtime", pair.measured_percent / 100, pair.model_percent / 100,
             True)
        for pair in calibration.table_b.pairs
    ]  # fmt: skip
    for pair in calibration.runs:
        run, counts = pair.run, pair.run.host == QUIET
        measured_s = run.total_time_s if run.converged else math.inf
        model_s = pair.model_s if pair.model_converged else math.inf
        measured, model = float(np.mean(run.guest_runtime)), float(np.mean(pair.runtime_model))
        lines += [
            Line("qemu", run.id, run.mode, "time_s", measured_s, model_s, counts),
            Line("qemu", run.id, run.mode, "throttle_percent", run.max_throttle_percent, pair.throttle_model, counts),
            Line("qemu", run.id, run.mode, "guest_runtime", measured, model, counts),
        ]
    return lines
