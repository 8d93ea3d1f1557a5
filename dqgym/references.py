"""What a table names without importing it: ``module:name``, imported when it is first called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def on_first_call(reference: str) -> Callable[..., Any]:
    """What calls the ``name`` of ``module:name``, with the same arguments; the module is imported then, not before."""
    module, _, name = reference.partition(":")

    def call(*arguments: Any, **keywords: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **keywords)

    return call
