"""Packages that only some commands need, and what to say where one of them is not installed.

Which they are stands in ``pyproject.toml``, under ``optional-dependencies``; read here from what was installed.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from importlib import metadata

from dqgym.errors import BadInputError

MODULES = {"export": ("onnx", "onnxscript"), "tune": ("optuna",)}
"""The modules of each extra; packages and modules have the same names."""


def require_extra(extra: str, command: str) -> None:
    """Raise a BadInputError with a remedy where a package of an extra is missing.

    Args:
        extra: a key of ``MODULES``.
        command: who needs it: ``"dqgym tune"``.
    """
    missing = [module for module in MODULES[extra] if not _is_installed(module)]
    if missing:
        wanted = requirements(extra)
        packages = shlex.join(wanted[module] for module in missing)
        raise BadInputError(
            f"{command} needs {' and '.join(missing)}, not installed here; install with:"
            f" {shlex.quote(sys.executable)} -m pip install {packages}"
        )


def requirements(extra: str) -> dict[str, str]:
    """Requirements for pip, one for each module of an extra: its name and the versions that dqgym takes."""
    wanted = {module: module for module in MODULES[extra]}
    try:
        required = metadata.requires("dqgym") or []
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        required = []
    for requirement in required:
        specifier, _, marker = requirement.partition(";")
        name = re.split(r"[^A-Za-z0-9._-]", specifier.strip())[0]
        if name in wanted and re.search(rf"""extra == ['"]{extra}['"]""", marker):
            wanted[name] = specifier.strip()
    return wanted


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # an import hook forbids it; it stands in sys.modules without a specification
        return False
