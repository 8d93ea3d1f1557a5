"""How kernels are compiled: one set of flags, and a cache that notices changes in what a kernel calls.

numba keeps compiled code on disk and takes it for up to date while the file of the kernel itself is unchanged; the
functions that were compiled into it may lie in other files. Kernels made by ``kernel`` carry the stamp of all files of
this package instead: after any change they are compiled anew, once. Where they are kept: ``dqgym.jit.kernel_cache``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from dqgym.jit.kernel_cache import kernel_cache

FAST = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""LLVM fast-math flags: reordering, but NaN and infinity keep their meaning."""


def _package_stamp() -> str:
    """Digest of the name, size and modification time of every source file of the package."""
    package = Path(__file__).parents[1]
    stats = ((path, path.stat()) for path in sorted(package.rglob("*.py")))
    files = [f"{path.relative_to(package)} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
    return hashlib.sha256("\n".join(files).encode()).hexdigest()


_STAMP = _package_stamp()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, on its first call; the next process finds it in the cache."""
    return _kept(njit(fastmath=FAST, error_model="numpy")(function))


def exact_kernel(function: Callable[..., Any]) -> Any:
    """A kernel that computes in the order in which it is written: its sums are those that Python would get."""
    return _kept(njit(function))


def _kept(dispatcher: Any) -> Any:
    dispatcher._cache = kernel_cache(dispatcher.py_func, _STAMP)
    return dispatcher


def part(function: Callable[..., Any]) -> Any:
    """Compile a function into the functions that call it, as if it were written there.

    Neither it nor a ``routine`` counts references to arrays, which would often cost more than the work that is done:
    they make none, and those that they are given are kept by a kernel.
    """
    return njit(forceinline=True, fastmath=FAST, error_model="numpy", _nrt=False)(function)


def routine(function: Callable[..., Any]) -> Any:
    """Compile a function that is large or seldom needed, as a function of its own. Like a ``part`` otherwise."""
    return njit(fastmath=FAST, error_model="numpy", _nrt=False)(function)
