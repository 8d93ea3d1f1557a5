"""What options and arguments want, in a user's words instead of Python's types: ``FOLDER``, ``N``, ``SUITE``."""

from __future__ import annotations

import re
from typing import Any

MORE = "repeat for more"
WANTED = {
    "as_json": "",
    "backend": "BACKEND",
    "bundle": "BUNDLE",
    "decision_deadline_s": "SECONDS",
    "destination": "HOST:PORT",
    "fallback": "THROTTLE",
    "listen": "HOST:PORT",
    "name": "NAME",
    "opponent": "THROTTLE",
    "page": "PAGE.md",
    "plot": "FILE.png",
    "run": "RUN",
    "run_dir": "FOLDER",
    "sample_s": "SECONDS",
    "suite": "SUITE",
    "survey": "LENGTH",
    "throttle": "THROTTLE",
    "trace": "FILE.json",
    "update": "PAGE.md",
}
"""By the name of an option or argument; one that says itself what it wants (``metavar``) is left alone."""
KINDS = {
    "bool": "",  # before the others: a switch takes nothing
    "int": "N",
    "float": "NUMBER",
    "dir": "FOLDER",
    "file": "FILE",
    "path": "PATH",
}
"""By what Typer calls the type, or how that begins."""
OTHERWISE = "TEXT"
SPOKEN = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
}
"""In messages about wrong values: what Pydantic says, and what people say."""


def say_what_is_wanted(parameter: Any) -> Any:
    """Name what an option or argument takes, and that it may be repeated; returns the same one."""
    if parameter.metavar is None:
        parameter.metavar = _wanted(parameter)
    if parameter.param_type_name == "argument":
        parameter.metavar = parameter.metavar.removesuffix("...")  # Typer adds its own
        parameter.display_type_rich = lambda ctx: None  # Typer would show a type beside the name
    said = parameter.help or ""
    if getattr(parameter, "multiple", False) and MORE not in said.lower():
        parameter.help = f"{said} {MORE.capitalize()}."
    return parameter


def _wanted(parameter: Any) -> str:
    if parameter.name in WANTED:
        return WANTED[parameter.name]
    kind = _kind(parameter)
    return next((wanted for name, wanted in KINDS.items() if name in kind), OTHERWISE)


def _kind(parameter: Any) -> str:
    """The type as Typer calls it; older versions have Click's types, with names alike."""
    if getattr(parameter, "is_flag", False):
        return "bool"
    known = getattr(parameter, "type_descriptor", None)
    name = parameter.type.name if known is None else parameter.display_type(None)
    return re.sub(r"[^a-z ]", " ", str(name).lower())


def what_is_wrong(error: Any) -> str:
    """What a wrong value is, and what it must be; Typer itself says neither the value, nor what to call a number."""
    details: list[Any] = getattr(error.__cause__, "errors", list)()
    if not details:
        return str(error.message)
    said = re.sub(r", unable to parse .*", "", details[0]["msg"]).replace("Input should be", "must be")
    for typed, spoken in SPOKEN.items():
        said = said.replace(typed, spoken)
    value = details[0]["input"]
    return f"{value} {said}" if said.startswith("must be") and isinstance(value, str | int | float) else said
