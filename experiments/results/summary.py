"""The findings of an evaluation, without its rows: ``summary.json``, small enough to be kept in a repository.

Every table in it is ``{"columns": [...], "rows": [[...], ...]}``, an estimate in a cell is ``[value, low, high]``, and
numbers have six digits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dqgym.documents import read_json
from dqgym.errors import BadInputError
from dqgym.results.rows import Summary
from dqgym.results.schema import require_known, stamped
from dqgym.throttles.roles import ORACLE, RULE
from experiments.errors import describe_validation_error
from experiments.results.comparisons import Comparisons, Front, Group, Standing
from experiments.results.rows import json_safe, summarise_strata

SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class Origin:
    """The origin of an evaluation.

    Attributes:
        command: what repeats it.
        backend: where the migrations happened.
        date: ISO 8601, UTC.
    """

    command: str
    backend: str
    date: str


@dataclass(frozen=True)
class EvaluationSummary:
    """The statistics of one evaluation.

    Attributes:
        training_seeds: of each policy.
        migrations: how many in each suite.
        opponent: what the standings compare with; None where only policies competed, and none of them was chosen.
        means: by suite, throttle and preference.
        standings: every throttle against the opponent, in every group.
        against_baselines: the policies and tuned-rule against every baseline, over all preferences.
        fronts: over the preferences.
    """

    origin: Origin
    training_seeds: dict[str, tuple[int | None, ...]]
    migrations: dict[str, int]
    opponent: str | None
    means: tuple[Summary, ...]
    standings: tuple[Standing, ...]
    against_baselines: tuple[Standing, ...]
    fronts: tuple[Front, ...]

    @property
    def learned(self) -> list[str]:
        """The policies among the throttles."""
        return list(self.training_seeds)

    def document(self) -> dict[str, Any]:
        """As JSON, each standing, mean and front an object."""
        document: dict[str, Any] = json_safe(asdict(self))
        return document

    def compact(self) -> str:
        """The content of ``summary.json``."""
        tables = {name: _columns(getattr(self, name)) for name in _TABLES}
        return json.dumps(_rounded(stamped({**self.document(), **tables})), separators=(",", ":")) + "\n"


_TABLES = ("means", "standings", "against_baselines", "fronts")


def summarise_evaluation(
    comparisons: Comparisons, opponent: str | None, learned: Sequence[str], origin: Origin
) -> EvaluationSummary:
    """All statistics of an evaluation; ``learned``: the policies among its throttles."""
    strata = comparisons.strata
    own = [*learned, *(name for name in comparisons.throttles if name == RULE)]
    baselines = [name for name in comparisons.throttles if name not in (*learned, ORACLE)]
    return EvaluationSummary(
        origin=origin,
        training_seeds={key.throttle: one.training_seeds for key, one in strata.items() if key.throttle in learned},
        migrations={key.suite: len(one.migrations) for key, one in strata.items()},
        opponent=opponent,
        means=tuple(summarise_strata(strata, comparisons.bootstrap)),
        standings=()
        if opponent is None
        else tuple(comparisons.against(opponent, comparisons.throttles, comparisons.groups)),
        against_baselines=tuple(
            standing
            for baseline in baselines
            for standing in comparisons.against(
                baseline, [name for name in own if name != baseline], _widest(comparisons)
            )
        ),
        fronts=tuple(comparisons.fronts()),
    )


def _widest(comparisons: Comparisons) -> list[Group]:
    """Every suite, and all of them, over all preferences."""
    preference = None if len(comparisons.preferences) > 1 else comparisons.preferences[0]
    return [group for group in comparisons.groups if group.preference == preference]


def read_summary(folder: Path) -> EvaluationSummary:
    """The summary that `dqgym evaluate` left in a folder.

    Raises:
        BadInputError: there is none, or the file is not one; the message names the field and what is allowed.
    """
    path = folder / SUMMARY_FILE
    content = read_json(path, "summary")
    require_known(content, path)
    try:
        tables = {name: _records(content[name]) for name in _TABLES}
        return TypeAdapter(EvaluationSummary).validate_python({**content, **tables})
    except ValidationError as error:
        raise BadInputError("\n".join(f"{path}: {line}" for line in describe_validation_error(error))) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInputError(f"{path}: not what `dqgym evaluate` writes: {error!r}") from error


def _columns(items: Sequence[Any]) -> dict[str, list[Any]]:
    records = [asdict(item) for item in items]
    return {
        "columns": [field.name for field in fields(items[0])] if items else [],
        "rows": [json_safe(list(record.values())) for record in records],
    }


def _records(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def _rounded(value: Any) -> Any:
    """The same with six digits of each number."""
    match value:
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list():
            return [_rounded(item) for item in value]
        case float():
            return float(f"{value:.6g}")
        case _:
            return value
