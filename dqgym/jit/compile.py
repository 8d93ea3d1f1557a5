"""How kernels are compiled: one set of flags, and a cache that notices changes in what a kernel calls.

numba keeps compiled code on disk and takes it for up to date while the file of the kernel itself is unchanged; the
functions that were compiled into it may lie in other files. Kernels made by ``kernel`` carry the stamp of all files of
this package instead: after any change they are compiled anew, once. Where they are kept: ``dqgym.jit.kernel_cache``.

Where numba is not installed (it comes with ``dqgym[train]``), or with ``NUMBA_DISABLE_JIT=1`` in the environment,
nothing is compiled and numba is not imported: kernels are Python functions that a debugger can step through. Their
numbers are the same but for rounding in float32. They are some thousand times slower, which one migration hardly
notices: loading numba and compiled code takes longer.

Every decorator keeps the type of its function, so that mypy checks its callers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from dqgym.installed import is_installed

COMPILES = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0") and is_installed("numba")
"""Whether kernels are compiled; otherwise they are plain Python."""
if COMPILES:  # only then: it takes a third of a second to load
    from numba import njit
    from numba.extending import intrinsic

    from dqgym.jit.kernel_cache import kernel_cache
FAST = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""LLVM fast-math flags: reordering, but NaN and infinity keep their meaning."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _package_stamp() -> str:
    """Digest of the name, size and modification time of every source file of the package."""
    package = Path(__file__).parents[1]
    stats = ((path, path.stat()) for path in sorted(package.rglob("*.py")))
    files = [f"{path.relative_to(package)} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
    return hashlib.sha256("\n".join(files).encode()).hexdigest()


_STAMP = _package_stamp() if COMPILES else ""


def kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function that Python calls, on its first call; the next process finds it in the cache."""
    return _kept(function, fastmath=FAST, error_model="numpy")


def exact_kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A kernel that computes in the order in which it is written: its sums are those that Python would get."""
    return _kept(function)


def part(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function into the functions that call it, as if it were written there.

    Neither it nor a ``routine`` counts references to arrays, which would often cost more than the work that is done:
    they make none, and those that they are given are kept by a kernel.
    """
    return _compiled(function, forceinline=True, fastmath=FAST, error_model="numpy", _nrt=False)


def routine(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function that is large or seldom needed, as a function of its own. Like a ``part`` otherwise."""
    return _compiled(function, fastmath=FAST, error_model="numpy", _nrt=False)


def exact_part(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A ``part`` that computes what is written: for lanes (``dqgym.jit.lanes``), whose sums say what is fused."""
    return _compiled(function, forceinline=True, error_model="numpy", _nrt=False)


def exact_routine(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A ``routine`` of that kind."""
    return _compiled(function, error_model="numpy", _nrt=False)


def generated(
    generator: Callable[..., Any],
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Say how to make a function's code for the compiler, in place of compiling what it says in Python.

    Args:
        generator: ``(typing context, *types of the arguments)`` to the signature and the code, as numba's ``intrinsic``
            takes it.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        made: Any = intrinsic(generator) if COMPILES else function
        return made

    return decorate


def _compiled(function: Callable[Arguments, Result], **flags: Any) -> Callable[Arguments, Result]:
    dispatcher: Any = njit(**flags)(function) if COMPILES else function
    return dispatcher


def _kept(function: Callable[Arguments, Result], **flags: Any) -> Callable[Arguments, Result]:
    if not COMPILES:
        return _without_warnings(function)
    dispatcher: Any = njit(**flags)(function)
    dispatcher._cache = kernel_cache(function, _STAMP)
    return dispatcher


def _without_warnings(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compiled code divides by 0 and lets hashes overflow without a word."""

    @wraps(function)
    def quiet(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        with np.errstate(all="ignore"):
            return function(*arguments, **keywords)

    return quiet
