"""What is installed: dqgym's own version, and packages that it can do without."""

from __future__ import annotations

from importlib.util import find_spec

NOT_INSTALLED = "0+not.installed"
"""The version of a checkout that is on Python's path but was never installed: a valid one, below every release."""


def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported; it is not imported for this."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # an import hook forbids it; it stands in sys.modules without a specification
        return False


def version() -> str:
    """The version of the dqgym that was installed, or ``NOT_INSTALLED``."""
    from importlib import metadata  # slow to import, and seldom needed

    try:
        return metadata.version("dqgym")
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED
