"""``dqgym probe``: what this host offers for migrations under KVM, and what to do where something is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from dqgym.errors import RunFailedError

if TYPE_CHECKING:
    from dqgym.backends.kvm.host.probe import ProbeReport
    from dqgym.backends.kvm.host.probe_guest import Rates
    from experiments.reporting.tables import Table


def probe_command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Find out whether this host can run migrations under KVM: what it has, a self-test with a small guest, its speed.

    Exit code 0: it can; 1: it cannot, and the last line says what to do about it.
    """
    from dqgym.backends.kvm.host.probe import probe
    from experiments.reporting.tables import terminal

    report = probe()
    if as_json:
        print(json.dumps(report.document(), indent=2))
    else:
        _check_table(report).print(terminal())
        if report.rates is not None:
            _rate_table(report.rates).print(terminal())
    if not report.usable:
        raise RunFailedError(f"migrations under KVM cannot run here: {report.problem}")


def _check_table(report: ProbeReport) -> Table:
    from experiments.reporting.tables import Table

    verdict = "Migrations under KVM can run here." if report.usable else "What comes after the last check needs it."
    return Table.of(
        title="What this host offers for migrations under KVM",
        header=("check", "state", "detail", "what to do"),
        rows=[(check.name, check.state.value, check.detail, check.remedy) for check in report.checks],
        notes=(verdict,),
        text_columns=4,
        expendable=("what to do",) if report.usable else (),
    )


def _rate_table(rates: Rates) -> Table:
    from dqgym.backends.kvm.host.probe import rate_lines
    from experiments.reporting.tables import Table

    return Table.of(title="Its speed, measured once", header=("what", "measured"), rows=rate_lines(rates))
