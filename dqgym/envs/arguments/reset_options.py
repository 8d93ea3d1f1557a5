"""The seeds and the ``options`` that a reset takes, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from dqgym.arrays import BoolArray, FloatArray
from dqgym.envs.arguments.checks import preferences_of
from dqgym.envs.errors import refuse_unknown
from dqgym.errors import BadInputError

SINGLE = ("scenario", "preference")
VECTOR = ("reset_mask", "preference")


def checked_options(options: Mapping[str, Any] | None, known: Sequence[str]) -> Mapping[str, Any]:
    """The options; BadInputError for one that is not known, with the nearest one that is."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise BadInputError(f"options={options!r} must be a mapping; known: {', '.join(known)}")
    refuse_unknown("reset option", options, known)
    return options


def checked_seed(seed: Any, name: str = "seed") -> int:
    """A whole number that is not negative."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise BadInputError(f"{name}: {seed!r} must be a whole number from 0")
    return int(seed)


def one_preference(given: Any) -> float:
    """The preference of one episode."""
    if isinstance(given, tuple | list):
        raise BadInputError(f"options['preference']={given!r} must be one positive number")
    return preferences_of(given)[0]


def preferences_of_each(given: Any, num_envs: int) -> FloatArray:
    """[N] the preference of each environment, from one for all or a list with one for each."""
    if isinstance(given, tuple | list | np.ndarray) and np.ndim(given) == 1:
        if len(given) != num_envs:
            raise BadInputError(f"options['preference']: {len(given)} preferences for {num_envs} environments")
        return np.array([one_preference(each) for each in given])
    return np.full(num_envs, one_preference(given))


def mask_of(options: Mapping[str, Any], num_envs: int) -> BoolArray:
    """[N] which environments ``options["reset_mask"]`` says are to be reset; all without one."""
    if "reset_mask" not in options:
        return np.ones(num_envs, dtype=bool)
    mask = np.asarray(options["reset_mask"])
    if not is_mask(mask, num_envs) or not mask.any():
        raise BadInputError(f"options['reset_mask'] must be bool [{num_envs}] with at least one True, not {mask!r}")
    return mask


def is_mask(given: Any, num_envs: int) -> bool:
    """Whether it is an array, bool [N]."""
    return isinstance(given, np.ndarray) and given.shape == (num_envs,) and given.dtype == np.bool_
