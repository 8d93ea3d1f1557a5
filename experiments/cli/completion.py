"""What a shell may complete: the names that a value of an option or argument may have, by that option's name.

Files are completed by the shell itself, wherever no name fits. The modules of a kind of name are imported when such a
name is asked for, and none of them loads a heavy library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Names = Callable[[], Iterable[str]]


def suites() -> Iterable[str]:
    """Names of suites."""
    from dqgym.scenario.suites import suite_names

    return suite_names()


def throttles() -> Iterable[str]:
    """Names of throttles, without options."""
    from dqgym.throttles.table import known_names

    return known_names()


def policies_and_throttles() -> Iterable[str]:
    """The shipped policy and the throttles; runs and bundles are folders."""
    return ["default", *throttles()]


def backends() -> Iterable[str]:
    """Names of backends."""
    from dqgym.backends.registry import BACKENDS

    return BACKENDS.names()


def configs() -> Iterable[str]:
    """Configs that come with dqgym."""
    from experiments.named_files import TRAINING_CONFIGS

    return TRAINING_CONFIGS.names()


def scenarios() -> Iterable[str]:
    """Scenarios that come with dqgym."""
    from experiments.named_files import SCENARIOS

    return SCENARIOS.names()


OF_PARAMETERS: dict[str, Names] = {
    "backend": backends,
    "bundle": lambda: ["default"],
    "config": configs,
    "fallback": throttles,
    "opponent": throttles,
    "other": policies_and_throttles,
    "own": policies_and_throttles,
    "policy": lambda: ["default"],
    "scenario": scenarios,
    "suite": suites,
    "throttle": policies_and_throttles,
    "throttles": policies_and_throttles,
}
"""By the name of an option or argument, in every command that has one of that name."""
OF_COMMANDS: dict[tuple[str, str], Names] = {
    ("calibrate", "backend"): lambda: ["model", "kvm"],
    ("configs", "name"): lambda: [*configs(), *scenarios()],
    ("suites", "name"): suites,
    ("throttles", "name"): throttles,
    ("tune", "throttle"): throttles,
}
"""By command and name, where a command means something else by it."""


def complete(parameter: Any, command: str) -> Any:
    """Let a shell complete the parameter's value, where names of it are known; returns the same parameter."""
    names = OF_COMMANDS.get((command, parameter.name)) or OF_PARAMETERS.get(parameter.name)
    if names is not None:
        # What `shell_complete=` of Click sets. Typer takes it no more, and `autocompletion=` not after the fact.
        parameter._custom_shell_complete = lambda ctx, _, begun: [name for name in names() if name.startswith(begun)]
    return parameter
