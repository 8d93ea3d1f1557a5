"""Folders of results: one never mixes with what lay there before, and replaces it as a whole, when asked to.

Every command that writes a folder (``evaluate``, ``calibrate``, ``export``) asks ``require_free`` first, then fills it
with ``filling_folder``. Single files that a command writes anew are replaced without being asked
(``dqgym.files.write_text``).
"""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dqgym.errors import BadInputError
from dqgym.files import writing
from dqgym.stopping import uninterrupted

log = logging.getLogger(__name__)

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Of Linux's renameat2."""


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder: a name for messages, and the files by which such a folder is known (one is enough)."""

    name: str
    marks: tuple[str, ...]


def default_results(suffix: str = "") -> Path:
    """``results/<time><suffix>``, for a command that was given no folder."""
    return Path("results") / f"{datetime.now():%Y%m%d-%H%M%S}{suffix}"


def require_free(folder: Path, force: bool, kind: FolderKind) -> None:
    """Raise a BadInputError unless a folder is new or empty, or of this kind and may be replaced.

    What is of another kind is never replaced: a slip of the keyboard must not delete anybody's files.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not any((folder / mark).is_file() for mark in kind.marks):
        raise BadInputError(f"{folder} exists and is not a {kind.name}: choose another --out")
    if not force:
        raise BadInputError(f"{folder} exists: choose another --out, or replace it with --force")


@contextmanager
def filling_folder(folder: Path, when_filled: Callable[[], object] = lambda: None) -> Iterator[Path]:
    """Yield an empty folder; it takes the place of ``folder`` when the block succeeds, or vanishes.

    Until then ``folder`` is as it was; after it, nothing is left of what it held. Whatever interrupts this, one of the
    two is there, and whole.

    Args:
        folder: a new one, or one to replace.
        when_filled: called at the end, before a signal can interrupt.

    Raises:
        BadInputError: the folder cannot be written.
    """
    place = folder.resolve()  # so that a link goes on leading there
    if place in (Path.cwd(), *Path.cwd().parents) or place.is_mount():
        raise BadInputError(f"cannot replace {folder}: it is in use; name a folder inside it")
    # The name is chosen before there is such a folder: an interruption in between leaves none.
    scratch = place.parent / f".{place.name}-{secrets.token_hex(4)}"
    try:
        draft = scratch / "new"
        with writing(folder):
            draft.mkdir(parents=True)
        yield draft
        with uninterrupted():
            with writing(folder):
                _take_place(draft, place, scratch / "old")
            when_filled()
            log.info("wrote the folder %s", place)
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _take_place(draft: Path, place: Path, old: Path) -> None:
    """Rename ``draft`` to ``place``; what was there has the name ``draft`` or ``old`` afterwards."""
    if not place.exists():
        draft.rename(place)
    elif not _exchanged(draft, place):
        place.rename(old)
        try:
            draft.rename(place)
        except BaseException:
            old.rename(place)
            raise


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system has no such step."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)
