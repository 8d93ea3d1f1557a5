"""One migration as a panel in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

SHOWN_VCPUS = 16
"""Most vCPUs whose guest runtime the panel lists one by one."""


def migration_panel(result: Mapping[str, Any]) -> Panel:
    """What became of one migration (``dqgym simulate --json``), line by line."""
    downtime_s = result["downtime_s"]
    lines = {
        "converged": _verdict(result),
        "migration time": f"{result['total_time_s']:,.1f} s = {result['time_over_t0']:.2f} T0",
        "downtime": "-" if downtime_s is None else f"{downtime_s * 1000:,.0f} ms",
        "guest runtime": f"{result['guest_runtime']:.1%}, worst vCPU {result['worst_vcpu_runtime']:.1%}",
        "per vCPU": _per_vcpu(result["guest_runtime_per_vcpu"]),
        "sent": f"{result['bytes_sent'] / 1e9:,.2f} GB in {result['rounds']} rounds",
        "highest CPU throttle": f"{result['max_throttle_percent']:.0f} %",
        "cost J": ", ".join(f"{cost:.3f} at c = {value}" for value, cost in result["cost"].items()),
        **_evidence_lines(result),
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in lines.items():
        grid.add_row(Text(name, "bold"), Text(value))
    return Panel(grid, title=f"{result['scenario']} under {result['throttle']}", expand=False)


def _verdict(result: Mapping[str, Any]) -> str:
    if result["forced"]:
        return "by force: the guest was paused until all was sent"
    return "yes" if result["converged"] else "NO: it was cancelled, or missed its deadline"


def _evidence_lines(result: Mapping[str, Any]) -> dict[str, str]:
    if "progress_per_vcpu" not in result:
        return {}
    proof = result["proof"]
    proven = (
        f"memory identical ({proof['memory_hash'][:12]}...), {proof['stores']:,} stores exactly once"
        if proof
        else "the guest stayed at the source, every store exactly once"
    )
    return {"progress": _per_vcpu(result["progress_per_vcpu"]), "proven": proven}


def _per_vcpu(runtimes: Sequence[float]) -> str:
    more = len(runtimes) - SHOWN_VCPUS
    return " ".join(f"{runtime:.0%}" for runtime in runtimes[:SHOWN_VCPUS]) + (f" and {more} more" if more > 0 else "")
