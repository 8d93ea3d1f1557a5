"""What a host offers for migrations under KVM, as tables."""

from __future__ import annotations

from dqgym.backends.kvm.host.probe import ProbeReport, rate_lines
from dqgym.backends.kvm.host.probe_guest import Rates
from experiments.reporting.tables import Table


def check_table(report: ProbeReport) -> Table:
    """What was checked, and what to do where it is missing."""
    verdict = "Migrations under KVM can run here." if report.usable else "What comes after the last check needs it."
    return Table.of(
        title="What this host offers for migrations under KVM",
        header=("check", "state", "detail", "what to do"),
        rows=[(check.name, check.state.value, check.detail, check.remedy) for check in report.checks],
        notes=(verdict,),
        text_columns=4,
        expendable=("what to do",) if report.usable else (),
    )


def rate_table(rates: Rates) -> Table:
    """How fast it is."""
    return Table.of(title="Its speed, measured once", header=("what", "measured"), rows=rate_lines(rates))
