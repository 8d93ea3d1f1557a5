"""Whether a package is installed that dqgym can do without."""

from __future__ import annotations

from importlib.util import find_spec


def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported; it is not imported for this."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # an import hook forbids it; it stands in sys.modules without a specification
        return False
