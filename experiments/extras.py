"""Packages that only some commands need, and what to say where one of them is not installed.

A light installation has what runs a policy's controller; the rest are extras of ``pyproject.toml``. A command that is
sure to need one asks before it begins (``require_extra``); anything else that finds a package missing ends with the
same advice, since the command line takes its ``ModuleNotFoundError`` to ``missing_module``.
"""

from __future__ import annotations

from dqgym.installed import advice, require_installed

MODULES = {
    "train": ("gymnasium", "matplotlib", "numba", "scipy", "stable_baselines3", "tensorboard", "torch"),
    "export": ("onnx",),
    "tune": ("optuna",),
    "pandas": ("pandas",),
}
"""The modules of each extra; ``export`` and ``tune`` bring ``train`` with them."""


def require_extra(extra: str, command: str) -> None:
    """Raise a BadInputError with a remedy where a package of an extra is missing.

    Args:
        extra: a key of ``MODULES``.
        command: who needs it: ``"dqgym tune"``.
    """
    require_installed(command, MODULES[extra], extra)


def missing_module(error: BaseException) -> str | None:
    """What to say of an import that failed because an extra is not installed; None for every other error."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    module = error.name.partition(".")[0]
    extra = next((extra for extra, modules in MODULES.items() if module in modules), None)
    return None if extra is None else advice("this", [module], extra)
