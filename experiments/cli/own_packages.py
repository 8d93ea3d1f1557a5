"""Whether ``agents``, ``configs`` and ``dqgym`` are those that this command line belongs to.

Such names are common: a folder ``agents`` of the user's, in the folder in which Python was started, comes before ours.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds ``experiments``, and must hold the others."""
NAMES = ("dqgym", "agents")


def shadowed() -> str | None:
    """A message where another package would be imported in place of one of ours; None where all is well."""
    for name in NAMES:
        places = _places(name)
        if ROOT / name not in places:
            found = f"finds {places[0]}" if places else "finds none"
            return (
                f"dqgym needs its own package {name!r} in {ROOT}, but Python {found}: rename that or take it from the"
                " path (PYTHONPATH, or the folder in which Python was started), or install dqgym in an environment of"
                " its own and run the command `dqgym`"
            )
    return None


def _places(name: str) -> list[Path]:
    """The folders, or the file, that an import of a top-level name would take; nothing is imported for this."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place).resolve() for place in spec.submodule_search_locations]
    return [Path(spec.origin or name).resolve()]
