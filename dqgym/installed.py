"""What is installed: dqgym's own version, and packages that it can do without."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from importlib.util import find_spec

from dqgym.errors import BadInputError

NOT_INSTALLED = "0+not.installed"
"""The version of a checkout that is on Python's path but was never installed: a valid one, below every release."""


def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported; it is not imported for this."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # an import hook forbids it; it stands in sys.modules without a specification
        return False


def require_installed(who: str, modules: Iterable[str], extra: str) -> None:
    """Raise a BadInputError with a remedy where modules of an extra are missing.

    Args:
        who: needs them: ``"dqgym tune"``.
        modules: of the extra.
        extra: of dqgym, which pip is to install.
    """
    missing = [module for module in modules if not is_installed(module)]
    if missing:
        raise BadInputError(advice(who, missing, extra))


def advice(who: str, missing: list[str], extra: str) -> str:
    """What to say where modules are missing: who needs them, and how to install them."""
    named = f"{', '.join(missing[:-1])} and {missing[-1]}" if len(missing) > 1 else missing[0]
    return (
        f"{who} needs {named}, not installed here; install with:"
        f" {shlex.quote(sys.executable)} -m pip install {shlex.quote(f'dqgym[{extra}]')}"
    )


def version() -> str:
    """The version of the dqgym that was installed, or ``NOT_INSTALLED``."""
    from importlib import metadata  # slow to import, and seldom needed

    try:
        return metadata.version("dqgym")
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED
