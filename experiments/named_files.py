"""Training configs and example scenarios that come with dqgym, which commands take by name: ``quickstart``; and
examples of samplers, to copy.

They lie in ``configs/`` beside this package, in a checkout and where a wheel was installed. The folder is found by its
place, not imported: a folder of the user's may well be called ``configs``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dqgym.errors import BadInputError
from dqgym.names import did_you_mean

log = logging.getLogger(__name__)

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SUFFIX = ".yaml"


@dataclass(frozen=True)
class NamedFiles:
    """The files of one folder, by name.

    Attributes:
        kind: what they are, in the singular.
        folder: where they lie.
    """

    kind: str
    folder: Path

    def names(self) -> list[str]:
        """The names, sorted."""
        return sorted(path.stem for path in self.folder.glob(f"*{SUFFIX}"))

    def path(self, name: str) -> Path:
        """The file of that name, whether or not there is one."""
        return self.folder / f"{name}{SUFFIX}"

    def find(self, source: str) -> Path:
        """The file that the user means: one of his own, if it exists, else ours of that name.

        Raises:
            BadInputError: there is neither; the message has the nearest name, and how to list all.
        """
        own, names = Path(source), self.names()
        if _exists(own) and not (source in names and own.is_dir()):
            return own
        if source in names:
            log.debug("%s %s: %s", self.kind, source, self.path(source))
            return self.path(source)
        raise BadInputError(
            f"cannot read {self.kind} {source}: no such file, and no {self.kind} of that name comes with dqgym"
            f"{did_you_mean(own.stem, names)}; `dqgym configs` lists those that do"
        )


TRAINING_CONFIGS = NamedFiles("config", CONFIGS)
SCENARIOS = NamedFiles("scenario", CONFIGS / "scenarios")
SAMPLERS = NamedFiles("sampler", CONFIGS / "suites")
ALL: Sequence[NamedFiles] = (TRAINING_CONFIGS, SCENARIOS, SAMPLERS)


def _exists(path: Path) -> bool:
    """Also where it cannot be looked at: why not is told when it is read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def summary(path: Path) -> str:
    """The first sentence of the comment that a file begins with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    sentence, _, _ = " ".join(lines).partition(". ")
    return sentence.rstrip(".")
