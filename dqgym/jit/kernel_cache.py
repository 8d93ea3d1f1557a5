"""Where compiled kernels are kept between two processes: the first place that can be written to.

======================================  ==============================================================================
``NUMBA_CACHE_DIR``                     where that variable of the environment says so
``__pycache__`` beside the source file  a checkout, a virtual environment of one's own
``~/.cache/numba``                      a package that somebody else installed
a folder of one's own in ``$TMPDIR``,   the home directory cannot be written to either: services, containers
``/tmp`` or ``/var/tmp``
nowhere                                 a warning says so; every process compiles what it calls, up to a minute
======================================  ==============================================================================

The first three are numba's own. A kernel file is code that is run when it is loaded, and names in ``/tmp`` can be
foreseen: a folder there is used only if it belongs to this user and nobody else may write to it or read it.
"""

from __future__ import annotations

import logging
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache, UserWideCacheLocator

log = logging.getLogger(__name__)

TEMPORARY_FOLDERS = ("/tmp", "/var/tmp")


class _TemporaryFolder(UserWideCacheLocator):
    """Keeps kernels in a folder of this user among the temporary files."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        super().__init__(py_func, py_file)
        self._cache_path = os.fspath(_own_temporary_folder() / self.get_suitable_cache_subpath(py_file))

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        """The locator; None where there is no such folder."""
        try:
            return super().from_function(py_func, py_file)
        except OSError:
            return None


class _Places(CompileResultCacheImpl):
    _locator_classes = (*CompileResultCacheImpl._locator_classes, _TemporaryFolder)


class _KernelCache(FunctionCache):
    """A kernel's cache. Files that cannot be read or written (a full disk) leave the process without it."""

    _impl_class = _Places

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel compiled for these types, if it was kept."""
        kept = super().load_overload(sig, target_context)
        if kept is None:
            log.info("compiling %s, as no compiled one is kept", self._py_func.__qualname__)
        return kept

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:  # around all that numba reads and writes
        try:
            yield
        except OSError:
            self.disable()


def kernel_cache(function: Callable[..., Any], stamp: str) -> Any:
    """The cache of a kernel.

    Args:
        function: the kernel in Python.
        stamp: what was compiled with another stamp is out of date.
    """
    try:
        cache = _KernelCache(function)
    except RuntimeError:  # numba found no place
        warnings.warn(
            "found no folder to keep compiled kernels in: each process compiles those that it calls, which takes up to"
            " a minute; set NUMBA_CACHE_DIR to a folder that can be written to",
            RuntimeWarning,
            stacklevel=2,
        )
        return NullCache()
    cache._cache_file._source_stamp = stamp
    return cache


def _own_temporary_folder() -> Path:
    """A folder that only this user can use; made where it does not exist. OSError where there can be none."""
    reasons = []
    for parent in (os.environ.get("TMPDIR"), *TEMPORARY_FOLDERS):
        if parent:
            folder = Path(parent) / f"dqgym-kernels-{os.getuid()}"
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                _require_own(folder)
                return folder
            except OSError as error:
                reasons.append(str(error))
    raise OSError("; ".join(reasons))


def _require_own(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder that only this user can use")
