"""Which texts on a command line name a policy of another library: ``my_ppo.zip``, ``module:factory``."""

from __future__ import annotations

from inspect import Parameter, isclass, isroutine, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dqgym.errors import BadInputError
from dqgym.references import is_reference, load_reference

if TYPE_CHECKING:  # it loads numba, which no `--help` may wait for
    from experiments.foreign.policy import ForeignPolicy


def is_zip(source: str) -> bool:
    """Whether a text names a zip that is there."""
    return source.endswith(".zip") and Path(source).is_file()


def foreign_policy(source: str) -> ForeignPolicy | None:
    """The policy that a text names; None where it names something else, a throttle for example.

    Raises:
        BadInputError: it names a policy that cannot be read, or a module that cannot be imported.
    """
    if is_zip(source):
        from experiments.foreign.sb3_zip import read_zip

        return read_zip(Path(source))
    if not is_reference(source):
        return None
    found = _made(source, load_reference(source))
    if not hasattr(found, "predict") or hasattr(found, "act"):
        return None
    from experiments.foreign.predicting import predicting_policy

    return predicting_policy(source, found)


def _made(source: str, found: Any) -> Any:
    """The object, or what a class with ``predict`` or a function without arguments makes."""
    makes = hasattr(found, "predict") if isclass(found) else isroutine(found)
    if not makes or hasattr(found, "act"):
        return found
    needed = [one for one in signature(found).parameters.values() if one.default is Parameter.empty]
    if any(one.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for one in needed):
        return found
    try:
        return found()
    except Exception as error:  # whatever the code of others raises
        raise BadInputError(f"{source} cannot be made: {type(error).__name__}: {error}") from error
