"""The pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dqgym.throttles.roles import FALLBACK
from experiments.evaluation.evaluation import Evaluation, trace_migration
from experiments.evaluation.session import Session
from experiments.evaluation.throttle_sources import ThrottleSource
from experiments.reporting.letter_rows import LetterComparison
from experiments.reporting.plots import (
    cover_letter_figure,
    fronts_figure,
    save_figure,
    timeline_figure,
    tradeoff_figure,
)
from experiments.reporting.report import Picture
from experiments.results.rows import typical_row
from experiments.results.summary import EvaluationSummary


def draw_pictures(
    folder: Path,
    session: Session,
    evaluation: Evaluation,
    summary: EvaluationSummary,
    comparison: LetterComparison | None,
) -> list[Picture]:
    """Fronts, a trade-off and a time line for each suite, and the letter's bars; written into the folder."""
    shown = _featured(session.throttles)
    fronts = Picture("fronts.png", "Time against guest runtime over the preferences: means of every throttle")
    save_figure(fronts_figure(summary.fronts, summary.learned), folder / fronts.file)
    pictures = [fronts]
    for task in session.tasks:
        tradeoff = Picture(f"tradeoff-{task.suite}.png", f"{task.suite}: migration time against guest runtime")
        save_figure(tradeoff_figure(evaluation.rows, task.suite, summary.learned), folder / tradeoff.file)

        example = typical_row(evaluation.rows, task.suite, shown.name, shown.training_seed)
        trace = trace_migration(shown, task, task.seeds.index(example.seed), example.preference, session.make_backend)
        caption = f"{task.suite}: {example.scenario} under {example.throttle}, the migration of median cost"
        timeline = Picture(f"timeline-{task.suite}.png", caption)
        save_figure(timeline_figure(trace, f"{example.scenario}, {example.throttle}"), folder / timeline.file)
        pictures += [tradeoff, timeline]
    if comparison is not None:
        bars = Picture("cover-letter-rows.png", "Migration time of the letter's configurations")
        save_figure(cover_letter_figure(comparison), folder / bars.file)
        pictures.append(bars)
    return pictures


def _featured(throttles: Sequence[ThrottleSource]) -> ThrottleSource:
    """The one whose time line is worth a picture: the first policy, else dirty quota, else the first."""
    policies = [one for one in throttles if one.learned]
    return next((one for one in [*policies, *throttles] if one.learned or one.name == FALLBACK), throttles[0])
