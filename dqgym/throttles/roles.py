"""The throttles that stand for something, by what they stand for; the table says which these are."""

from __future__ import annotations

from dqgym.throttles.rows.row import Role
from dqgym.throttles.table import rows


def _names(role: Role) -> tuple[str, ...]:
    return tuple(row.name for row in rows(role))


def _only(role: Role) -> str:
    (name,) = _names(role)
    return name


ORACLE = _only(Role.BOUND)
RULE = _only(Role.RULE)
FALLBACK = _only(Role.FALLBACK)
USUAL = _only(Role.USUAL)
OPPONENTS = (RULE, FALLBACK)
"""What statistics compare with, unless told otherwise: the first of them that competes."""
MAINLINE = _names(Role.MAINLINE)
