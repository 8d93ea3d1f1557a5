"""Reading files that a user names, with bounds, and writing files that are whole or not there.

A reader here never waits for a pipe, never fills the memory, and raises ``BadInputError`` (or the subclass that it is
given) with the file's name. A writer writes under another name and renames, so that no reader and no interruption ever
sees half of a file.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dqgym.errors import BadInputError

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 2**20
"""Of a file that is read whole, unless the reader says otherwise."""


@contextmanager
def opened(path: str | Path, what: str = "", error: type[BadInputError] = BadInputError) -> Iterator[BinaryIO]:
    """A regular file, to read in the block; what the operating system says of it becomes ``error``.

    Args:
        path: the file.
        what: what it holds, for messages: ``cannot read WHAT PATH: ...``.
        error: raised where the file cannot be used.
    """
    cannot = _cannot_read(path, what)
    try:
        # Opening a pipe without O_NONBLOCK waits for its writer.
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    except ValueError as failure:  # a NUL in the name
        raise error(f"{cannot!r}: {failure}") from failure
    except OSError as failure:
        raise error(f"{cannot}: {failure.strerror or failure}") from failure
    with file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise error(f"{cannot}: it is {_kind(mode)}, not a regular file")
        log.debug("reading %s", path)
        try:
            yield file
        except OSError as failure:
            raise error(f"{cannot}: {failure.strerror or failure}") from failure


def read_bytes(
    path: str | Path, what: str = "", most_bytes: int = MOST_BYTES, error: type[BadInputError] = BadInputError
) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        what: what it holds, for messages: ``cannot read WHAT PATH: ...``.
        most_bytes: a larger file is refused.
        error: raised where the file cannot be used.
    """
    with opened(path, what, error) as file:
        content = file.read(most_bytes + 1)
        size_bytes = os.fstat(file.fileno()).st_size
    if len(content) > most_bytes:
        raise error(f"{_cannot_read(path, what)}: {size_bytes:,} bytes, at most {most_bytes:,} are read")
    return content


def read_text(
    path: str | Path, what: str = "", most_bytes: int = MOST_BYTES, error: type[BadInputError] = BadInputError
) -> str:
    """The content of a regular text file in UTF-8; see ``read_bytes``."""
    try:
        return read_bytes(path, what, most_bytes, error).decode("utf-8")
    except UnicodeDecodeError as failure:
        raise error(f"{path}: not UTF-8 text: {failure.reason} at byte {failure.start}") from failure


def _cannot_read(path: str | Path, what: str) -> str:
    return f"cannot read {what} {path}" if what else f"cannot read {path}"


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device"}
    return kinds.get(stat.S_IFMT(mode), "a device")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system says about a temporary name into a message about ``path``.

    Raises:
        BadInputError: the block could not write.
    """
    try:
        yield
    except OSError as error:
        raise BadInputError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, same suffix; rename it to ``path`` when the block succeeds.

    Raises:
        BadInputError: the file cannot be written there.
    """
    # The name is chosen before there is such a file: an interruption in between leaves none.
    temporary = path.parent / f".{path.stem}.{secrets.token_hex(4)}{path.suffix}"
    with writing(path):
        _require_no_device(path)
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            temporary.replace(path)
            log.info("wrote %s", path)
        finally:
            temporary.unlink(missing_ok=True)


def _require_no_device(path: Path) -> None:
    """Refuse to replace anything but a file: a rename over /dev/null would take it away from everybody."""
    if path.exists() and not path.is_file():
        raise BadInputError(f"cannot write {path}: it is {_kind(path.stat().st_mode)}, not a regular file")


def require_place(path: Path) -> None:
    """Raise a BadInputError where a file cannot be written: asked before the work whose result goes there."""
    with writing(path), tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}."):
        _require_no_device(path)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, or leave the old one as it is. BadInputError where it cannot be written."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_binary(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file with a function that is given the open file, in a folder that is made where it is missing."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        write(file)
