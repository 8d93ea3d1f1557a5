"""Writing files so that a reader, or an interruption, never sees half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.errors import BadInputError


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
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with writing(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, or leave the old one as it is."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
