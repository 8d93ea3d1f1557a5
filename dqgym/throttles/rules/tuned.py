"""Options of throttles that were tuned: found by ``dqgym tune``, kept in ``data/tuned.yaml`` or a file of the user's.

For each throttle and each distribution of migrations there are options for some preferences; between these they are
interpolated over the preference's logarithm, beyond them the nearest hold. An entry says how it came about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dqgym.documents import read_yaml
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.throttles.options import TunedValue

TUNED_FILE = Path(__file__).parent / "data" / "tuned.yaml"
TRAINING = "training"
"""The distribution that policies are trained on."""


class TunedEntry(BaseModel):
    """The best options found for one preference.

    Attributes:
        preference: what guest runtime is worth against time.
        options: of the throttle.
        cost: mean J over the migrations that they were tuned on.
        suites: what these were drawn from, with weights.
        scenarios: how many.
        seed: of the draw and of the search.
        trials: how many sets of options were tried.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preference: Annotated[float, Field(gt=0)]
    options: dict[str, TunedValue]
    cost: float
    suites: dict[str, float]
    scenarios: int
    seed: int
    trials: int


TunedFile = dict[str, dict[str, list[TunedEntry]]]
"""By throttle and distribution, each in the order of the preferences."""


def read_tuned(path: Path = TUNED_FILE) -> TunedFile:
    """The entries of a file. BadInputError where it does not hold such; a missing file has none."""
    content = read_yaml(path, "tuned options") if path.exists() else None
    try:
        return TypeAdapter(TunedFile).validate_python(content or {})
    except ValueError as error:
        raise BadInputError(f"{path}: {error}") from error


def distributions(throttle: str) -> list[str]:
    """The distributions that a throttle was tuned for."""
    return list(_shipped().get(throttle, {}))


def tuned_options(throttle: str, distribution: str, preference: float) -> dict[str, TunedValue]:
    """The options of a throttle for a preference. BadInputError where it was not tuned for that distribution."""
    return interpolated(tuned_entries(throttle, distribution), preference)


def tuned_entries(throttle: str, distribution: str) -> list[TunedEntry]:
    """The entries that are shipped for a throttle, in the order of the preferences.

    Raises:
        BadInputError: it was not tuned for that distribution; the message has those that it was tuned for.
    """
    known = _shipped().get(throttle, {})
    if distribution not in known:
        raise BadInputError(
            f"throttle {throttle!r} is not tuned for {distribution!r}{did_you_mean(distribution, known)};"
            f" it is for: {', '.join(known) or 'nothing'}"
        )
    return known[distribution]


def entries_of(path: Path, throttle: str, distribution: str | None = None) -> list[TunedEntry]:
    """The entries of a throttle in a file that ``dqgym tune`` wrote, in the order of the preferences.

    Raises:
        BadInputError: it has none, or none for that distribution, or for several while none is named.
    """
    content = read_tuned(path)
    if throttle not in content:
        raise BadInputError(
            f"{path}: has no options of {throttle!r}; it has those of: {', '.join(content) or 'nothing'}"
        )
    of_throttle = content[throttle]
    if distribution is None and len(of_throttle) == 1:
        (distribution,) = of_throttle
    if distribution not in of_throttle:
        problem = "is tuned for several" if distribution is None else f"is not tuned for {distribution!r}"
        hint = "" if distribution is None else did_you_mean(distribution, of_throttle)
        known = ", ".join(f"{throttle}:{path}:{name}" for name in of_throttle)
        raise BadInputError(f"{path}: {throttle!r} {problem}{hint}; write one of: {known}")
    if not of_throttle[distribution]:
        raise BadInputError(f"{path}: {throttle!r} has no options for {distribution!r}")
    return of_throttle[distribution]


def interpolated(entries: Sequence[TunedEntry], preference: float) -> dict[str, TunedValue]:
    """Options at a preference above 0, for entries in the order of their preferences.

    They are linear in its logarithm. Whole numbers stay whole; of switches the nearest holds.
    """
    if preference <= 0:
        raise BadInputError(f"tuned options are for preferences above 0, not {preference!r}")
    at = [math.log(entry.preference) for entry in entries]
    wanted = math.log(preference)
    nearest = entries[min(range(len(at)), key=lambda index: abs(at[index] - wanted))]
    found: dict[str, TunedValue] = {}
    for name, value in nearest.options.items():
        values = [entry.options[name] for entry in entries]
        between = float(np.interp(wanted, at, [float(one) for one in values]))
        if isinstance(value, bool):
            found[name] = value
        elif all(isinstance(one, int) for one in values):
            found[name] = round(between)
        else:
            found[name] = between
    return found


def dump_tuned(content: Mapping[str, Mapping[str, list[TunedEntry]]]) -> str:
    """The file's text."""
    plain = {
        throttle: {name: [entry.model_dump() for entry in entries] for name, entries in of_throttle.items()}
        for throttle, of_throttle in content.items()
    }
    head = "# Options found by `dqgym tune`; each entry says on what and how. Read by dqgym/throttles/rules/tuned.py.\n"
    return head + yaml.safe_dump(plain, sort_keys=False, width=120)


@cache
def _shipped() -> TunedFile:
    return read_tuned()
