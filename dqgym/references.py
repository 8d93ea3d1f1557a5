"""What a text names: ``module:name`` is the attribute of that name in a module, which is imported when it is needed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from importlib import import_module
from typing import Any

from dqgym.errors import BadInputError
from dqgym.names import did_you_mean

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_REFERENCE = re.compile(rf"({_DOTTED}:{_DOTTED})(?::(.*))?", re.DOTALL)


def on_first_call(reference: str) -> Callable[..., Any]:
    """What calls the ``name`` of ``module:name``, with the same arguments; the module is imported then, not before."""
    module, _, name = reference.partition(":")

    def call(*arguments: Any, **keywords: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **keywords)

    return call


def split_reference(text: str) -> tuple[str, str] | None:
    """``module:name`` and what stands after another colon; None where a text does not begin so."""
    match = _REFERENCE.fullmatch(text)
    return None if match is None else (match[1], match[2] or "")


def is_reference(text: str) -> bool:
    """Whether a text is ``module:name`` and no more: ``package.module:Class.attribute``, for example."""
    match = _REFERENCE.fullmatch(text)
    return match is not None and match[2] is None


def load_reference(reference: str) -> Any:
    """The object that ``module:name`` stands for; modules of the current folder are found, as with ``python -m``.

    Raises:
        BadInputError: the module cannot be imported, whatever it raises, or has no such attribute.
    """
    module_name, _, name = reference.partition(":")
    try:
        with _current_folder_first():
            module = import_module(module_name)
    except Exception as error:  # whatever the code of others raises
        if isinstance(error, ModuleNotFoundError) and error.name in (module_name, module_name.partition(".")[0]):
            raise NoSuchModuleError(f"{reference}: {_nowhere(module_name)}") from error
        problem = f"{type(error).__name__}: {error}"
        raise BadInputError(f"{reference}: cannot import {module_name!r}: {problem}") from error
    try:
        return reduce(getattr, name.split("."), module)
    except AttributeError as error:
        hint = did_you_mean(name, [one for one in vars(module) if not one.startswith("_")])
        raise BadInputError(f"{reference}: module {module_name!r} has no {name!r}{hint}") from error


def _nowhere(module: str) -> str:
    file = module.removesuffix(".py")
    hint = f"; the file {module} is written as {file!r}" if file != module else ""
    return f"there is no module {module!r} in {os.getcwd()} or among what is installed{hint}"


class NoSuchModuleError(BadInputError):
    """The module of a reference is nowhere to be found."""


@contextmanager
def _current_folder_first() -> Iterator[None]:
    """While a module is imported the current folder comes first, as with ``python -m``.

    Afterwards it comes last: what the module imports later is found, and no folder there hides one of ours.
    """
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
