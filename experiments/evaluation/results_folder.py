"""An evaluation from beginning to end: it runs, can be resumed, and leaves a folder of results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dqgym.results.rows_file import write_rows
from dqgym.results.schema import stamped
from dqgym.scenario.suites.cover_letter import letter_rows
from experiments.evaluation.evaluation import Evaluation, count_runs, evaluate
from experiments.evaluation.journal import open_journal
from experiments.evaluation.pictures import draw_pictures
from experiments.evaluation.session import Session
from experiments.evaluation.throttle_sources import ThrottleSource
from experiments.folders import FolderKind, filling_folder
from experiments.kept_suites import write_suites
from experiments.reporting.letter_rows import SUITE, LetterComparison, letter_comparison
from experiments.reporting.progress import showing_progress
from experiments.reporting.report import evaluation_tables, markdown_report
from experiments.reporting.tables import Table
from experiments.results.comparisons import Comparisons
from experiments.results.rows import json_safe, strata_of
from experiments.results.statistics import Bootstrap
from experiments.results.summary import SUMMARY_FILE, EvaluationSummary, Origin, summarise_evaluation
from experiments.resuming import saying_how_to_go_on

MOST_ROWS_AS_JSON = 20_000
"""More rows are written as CSV alone."""
RESULTS = FolderKind("folder of `dqgym evaluate`", ("summary.json", "results.json"))


@dataclass(frozen=True)
class Report:
    """The written report: the tables of ``report.md``, the content of ``results.json``."""

    tables: list[Table]
    document: dict[str, Any]


def evaluate_into(folder: Path, session: Session, resume: bool) -> Report:
    """Evaluate, and write the folder as a whole.

    Args:
        folder: a new one, or one to replace.
        session: what is evaluated.
        resume: go on with the runs that an interrupted evaluation into this folder has kept.

    Raises:
        BadInputError: a throttle cannot run there, the folder cannot be written, or there is nothing to resume.
        RunInterruptedError: the user stopped it; the message says what is kept and how to go on.
    """
    for one in session.throttles:
        one.require_runs_on(session.backend)
    runs = count_runs(session.throttles, session.tasks, session.preferences)
    journal = open_journal(folder.parent / f".{folder.name}.journal", session.setting(), resume)

    def how_to_go_on() -> str:
        kept = f"{len(journal)} of {runs} runs are kept; go on with the same command and --out {folder} --resume"
        return kept if len(journal) else ""

    # First, so that a folder that cannot be written costs no evaluation.
    with filling_folder(folder, journal.discard) as draft, saying_how_to_go_on(how_to_go_on):
        with showing_progress(runs) as on_run:
            evaluation = evaluate(
                session.throttles, session.tasks, session.preferences, session.make_backend, on_run, journal
            )
        return _write_results(draft, session, evaluation)


def _write_results(folder: Path, session: Session, evaluation: Evaluation) -> Report:
    """All files of an evaluation, into a folder that is there."""
    throttles = session.throttles
    origin = Origin(session.command, session.backend, f"{datetime.now(UTC):%Y-%m-%d}")
    learned = list(dict.fromkeys(one.name for one in throttles if one.learned))
    comparisons = Comparisons(strata_of(evaluation.rows), Bootstrap())
    summary = summarise_evaluation(comparisons, session.opponent, learned, origin)
    paired = comparisons.policies_against_baselines(learned)
    comparison = _letter_comparison(evaluation, throttles)
    document = _document(evaluation, summary)
    tables = evaluation_tables(summary, paired, evaluation.takeovers, comparison)

    for task in session.tasks:
        write_suites(folder, task.files)
    write_rows(folder, evaluation.rows)
    (folder / SUMMARY_FILE).write_text(summary.compact(), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    pictures = draw_pictures(folder, session, evaluation, summary, comparison)
    report = markdown_report(origin.command, tables, pictures)
    (folder / "report.md").write_text(report, encoding="utf-8")
    return Report(tables, document)


def _letter_comparison(evaluation: Evaluation, throttles: Sequence[ThrottleSource]) -> LetterComparison | None:
    """The letter's configurations, where they were migrated; of a policy with several training seeds, the first."""
    in_the_letter = letter_rows()
    if not any(row.suite == SUITE and row.scenario in in_the_letter for row in evaluation.rows):
        return None
    first: dict[str, int | None] = {}
    for one in throttles:
        first.setdefault(one.name, one.training_seed)
    rows = [row for row in evaluation.rows if row.training_seed == first[row.throttle]]
    return letter_comparison(rows, list(dict.fromkeys(one.name for one in throttles if one.learned)))


def _document(evaluation: Evaluation, summary: EvaluationSummary) -> dict[str, Any]:
    """The content of ``results.json``: means, statistics, takeovers and, unless they are too many, the rows."""
    statistics = summary.document()
    document = stamped({"summary": statistics.pop("means"), "statistics": statistics})
    if len(evaluation.rows) <= MOST_ROWS_AS_JSON:
        document["rows"] = [json_safe(vars(row)) for row in evaluation.rows]
    document["takeovers"] = [asdict(takeover) for takeover in evaluation.takeovers]
    return document
