"""``dqgym import``: a log becomes a scenario file, with what was inferred and how well it replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dqgym.scenario import save_scenario
from dqgym.scenario.recordings.formats.table import read_log
from dqgym.scenario.recordings.log_scenario import Finding, Imported, Told, import_log, refound
from dqgym.scenario.recordings.migration_log import MigrationLog
from experiments.importing.replays import Played, refined
from experiments.reporting.tables import Table

NO_THROTTLE = "none"


@dataclass(frozen=True)
class ImportReport:
    """What came of an import.

    Attributes:
        imported: the scenario and its findings.
        throttle: that the replay ran under.
        played: the replay; None where the guest never wrote.
        findings: all that is worth knowing, the replay's included.
    """

    imported: Imported
    throttle: str
    played: Played | None
    findings: tuple[Finding, ...]

    def tables(self) -> Sequence[Table]:
        """As shown in a terminal."""
        rows = [(one.what, one.value, one.sure, one.why) for one in self.findings]
        title = f"Scenario {self.imported.scenario.name!r}, as the log shows it"
        notes = (*self.imported.log.remarks,)
        return [Table.of(title, ("what", "value", "how sure", "from"), rows, notes=notes, text_columns=4)]

    def document(self, path: Path) -> dict[str, Any]:
        """As JSON."""
        log, played = self.imported.log, self.played
        return {
            "scenario": str(path),
            "findings": [{"what": f.what, "value": f.value, "how_sure": f.sure, "from": f.why} for f in self.findings],
            "remarks": list(log.remarks),
            "log": {"converged": log.converged, "total_time_s": log.total_time_s, "throttle": self.throttle},
            "replay": None
            if played is None
            else {"converged": played.converged, "total_time_s": played.total_time_s, "miss": played.miss},
        }


def import_file(log_format: str, path: Path, told: Told, throttle: str | None) -> ImportReport:
    """Read a log, infer its guest, and replay it.

    Args:
        log_format: a name of ``dqgym.scenario.recordings.formats.table``.
        path: of the log.
        told: what the user says.
        throttle: that was on; None: what the log says, else none.

    Raises:
        BadInputError: the log, or what the user says, cannot be used.
    """
    log = read_log(log_format, path)
    imported = import_log(log, told)
    on = throttle or log.throttle or NO_THROTTLE
    played = refined(imported, on)
    if played is not None:
        imported = refound(imported, played.demand, told)
    findings = (*imported.findings, *_of_replay(log, on, throttle, played))
    return ImportReport(imported, on, played, findings)


def write(report: ImportReport, out: Path) -> None:
    """Write the scenario file, trace and all."""
    save_scenario(report.imported.scenario, out)


def _of_replay(log: MigrationLog, on: str, wanted: str | None, played: Played | None) -> list[Finding]:
    if wanted is not None:
        throttle = Finding("throttle", on, "told", "--throttle")
    elif log.throttle is not None:
        throttle = Finding("throttle", on, "told", "by the log")
    else:
        throttle = Finding("throttle", on, "assumed", "the log does not say it; --throttle does")
    if played is None:
        return [throttle]
    ended = "converges" if played.converged else "does not converge"
    before = {True: "converged", False: "did not converge", None: "had not ended"}[log.converged]
    value = f"{ended}, {played.total_time_s:.1f} s"
    replay = Finding("replay", value, "sure", f"on the model; the log's {before}, {log.total_time_s:.1f} s")
    return [throttle, replay]
