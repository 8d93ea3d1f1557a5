"""The cost J of a migration: its definition, the stall of a window, and the meter that adds it up."""

from dqgym.cost.definition import (
    FAST,
    GENTLE,
    LEAST_RUN_SHARE,
    MAX_STALL,
    MISSED_DEADLINE_FACTOR,
    PREFERENCE_RANGE,
    TERMS,
    WINDOW_S,
    migration_cost,
)

__all__ = [
    "FAST",
    "GENTLE",
    "LEAST_RUN_SHARE",
    "MAX_STALL",
    "MISSED_DEADLINE_FACTOR",
    "PREFERENCE_RANGE",
    "TERMS",
    "WINDOW_S",
    "migration_cost",
]
