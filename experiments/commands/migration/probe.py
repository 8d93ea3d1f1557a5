"""``dqgym probe``: what this host offers for migrations under KVM, and what to do where something is missing."""

from __future__ import annotations

from experiments.commands.options import AsJson


def probe_command(as_json: AsJson = False) -> None:
    """Find out whether this host can run migrations under KVM: what it has, a self-test with a small guest, its speed.

    Exit code 0: it can; 1: it cannot, and the last line says what to do about it.
    """
    from dqgym.backends.kvm.host.probe import probe
    from dqgym.errors import RunFailedError
    from experiments.reporting.probe_tables import check_table, rate_table
    from experiments.reporting.tables import show

    report = probe()
    tables = [check_table(report), *([] if report.rates is None else [rate_table(report.rates)])]
    show(tables, report.document(), as_json)
    if not report.usable:
        raise RunFailedError(f"migrations under KVM cannot run here: {report.problem}")
