"""What an evaluation found, without its rows: ``summary.json``, small enough to be kept in a repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from experiments.errors import BadInputError
from experiments.evaluation import Evaluation
from experiments.results import Summary, summarise
from experiments.standings import Front, Standing, fronts, standings, strata_of

SUMMARY_FILE = "summary.json"
BASELINE_TO_BEAT = "auto-converge"
"""No policy may be worse than this in both time and guest runtime."""


class EvaluationSummary(BaseModel):
    """The statistics of one evaluation.

    Attributes:
        command: what made it.
        learned: the policies among the throttles.
        opponent: what the standings compare with; None where there is none.
        summaries: means by suite, throttle and preference.
        standings: against the opponent.
        against_auto_converge: the same against auto-converge, where it competed.
        fronts: over the preferences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    command: str
    learned: tuple[str, ...]
    opponent: str | None
    summaries: tuple[Summary, ...]
    standings: tuple[Standing, ...]
    against_auto_converge: tuple[Standing, ...]
    fronts: tuple[Front, ...]


def summarise_evaluation(
    evaluation: Evaluation, learned: Sequence[str], opponent: str | None, command: str
) -> EvaluationSummary:
    """All statistics of an evaluation."""
    strata = strata_of(evaluation.rows)
    throttles = {throttle for _, _, throttle in strata}
    beaten = tuple(standings(strata, BASELINE_TO_BEAT)) if BASELINE_TO_BEAT in throttles else ()
    return EvaluationSummary(
        command=command,
        learned=tuple(dict.fromkeys(learned)),
        opponent=opponent,
        summaries=tuple(summarise(evaluation.rows)),
        standings=() if opponent is None else tuple(standings(strata, opponent)),
        against_auto_converge=tuple(one for one in beaten if one.throttle in learned),
        fronts=tuple(fronts(strata)),
    )


def read_summary(folder: Path) -> EvaluationSummary:
    """The summary that `dqgym evaluate` left in a folder.

    Raises:
        BadInputError: there is none, or the file is no summary.
    """
    path = folder / SUMMARY_FILE
    try:
        return EvaluationSummary.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise BadInputError(f"{path} is no summary of an evaluation: {error}") from error
