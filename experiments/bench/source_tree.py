"""Another revision of this checkout, in a temporary folder."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dqgym
from dqgym.errors import BadInputError

CHECKOUT = Path(dqgym.__file__).parents[1]


def revision_of(name: str, checkout: Path = CHECKOUT) -> str:
    """The full hash of a commit, a branch, a tag, ``HEAD~3``.

    Raises:
        BadInputError: the package does not run from a Git checkout, Git is not installed, or there is no such revision.
    """
    if not (checkout / ".git").exists():
        raise BadInputError(f"--against {name}: only for dqgym that runs from a Git checkout, and {checkout} is none")
    try:
        found = _git(checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except FileNotFoundError:
        raise BadInputError(f"--against {name}: Git is not installed") from None
    except subprocess.CalledProcessError:
        raise BadInputError(
            f"--against {name}: no commit of {checkout}; allowed: a hash, a branch, a tag, HEAD~3, as `git log` shows"
            " them (a shallow clone has few: `git fetch --unshallow`)"
        ) from None
    return found.decode().strip()


def describe_checkout(checkout: Path = CHECKOUT) -> str:
    """Its revision in short, with ``-dirty`` where files have been changed since."""
    return _git(checkout, "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*").decode().strip()


@contextmanager
def tree_of(revision: str, checkout: Path = CHECKOUT) -> Iterator[Path]:
    """The files of a revision in a folder that is removed at the end; the repository is only read."""
    with tempfile.TemporaryDirectory(prefix="dqgym-against-", ignore_cleanup_errors=True) as folder:
        tree = Path(folder).resolve() / "tree"
        with tarfile.open(fileobj=io.BytesIO(_git(checkout, "archive", "--format=tar", revision))) as archive:
            archive.extractall(tree, filter="data")
        yield tree


def _git(checkout: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", checkout, *arguments], check=True, capture_output=True).stdout
