"""What is typed into a shell: the statements of a block, their commands, and whether each would be understood."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import typer

from experiments.cli.app import COMMANDS, app

SHELL = ("", "sh", "bash", "shell")
"""Languages of blocks that are typed into a shell."""
PROGRAMS = ("dqgym", "make", "pytest", "tensorboard")
KVM_COMMANDS = ("migrate", "receive", "probe")
"""These need KVM unless they are given another backend."""

BIN = Path(sys.executable).parent
"""Where the programs are that belong to this Python."""

_LOOP = re.compile(r"for (\w+) in (\S+).*; do$")
_COMMENT = re.compile(r"\s+#.*$")
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer has it from click, or brings its own


@dataclass(frozen=True)
class Statement:
    """What is typed at once: a command, or a loop; ``lines`` have no comments and no continuations."""

    lines: tuple[str, ...]
    line: int

    @property
    def text(self) -> str:
        """As one types it."""
        return "\n".join(self.lines)

    def commands(self) -> tuple[str, ...]:
        """The lines that are commands, with the loop's variable at its first value."""
        if (loop := _LOOP.match(self.lines[0])) is None:
            return self.lines
        variable, value = loop.groups()
        return tuple(re.sub(rf"\$({variable}\b|{{{variable}}})", value, line.strip()) for line in self.lines[1:-1])


def statements(text: str, first_line: int) -> tuple[Statement, ...]:
    """The statements of a block whose text begins in that line."""
    found: list[Statement] = []
    loop: list[str] = []
    at = start = first_line
    for raw in re.split(r"(?<!\\)\n", text):
        line = _COMMENT.sub("", re.sub(r"\s*\\\n\s*", " ", raw).rstrip())
        start, at = start if loop else at, at + raw.count("\n") + 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if loop or _LOOP.match(line):
            loop.append(line)
            if line != "done":
                continue
        found.append(Statement(tuple(loop) or (line,), start))
        loop = []
    return (*found, Statement(tuple(loop), start)) if loop else tuple(found)


def pipeline(command: str) -> Iterator[list[str]]:
    """The words of each command in a line; variables that it sets and redirections are left out."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;"):
            yield words
            words = []
        elif set(word) <= set("<>"):
            next(lexer, None)
        elif words or not re.match(r"\w+=", word):
            words.append(word)
    yield words


def problem(command: str, root: Path) -> str | None:
    """Why a line of shell would not be understood, without running it; None if it would."""
    try:
        parts = list(pipeline(command))
    except ValueError as error:
        return str(error)
    return next(filter(None, (_problem(words, root) for words in parts)), None)


def _problem(words: list[str], root: Path) -> str | None:
    match words:
        case ["dqgym", *rest]:
            return _dqgym_problem([word for word in rest if word != "..."])
        case ["make", *rest]:
            targets = [word for word in rest if "=" not in word and not word.startswith("-")]
            known = re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            unknown = [target for target in targets if target not in known]
            return f"no such target: {', '.join(unknown)}" if unknown else None
        case ["pytest", *rest]:
            missing = [word for word in rest if word.startswith("tests") and not (root / word.split("::")[0]).exists()]
            return f"no such test: {', '.join(missing)}" if missing else None
        case ["tensorboard", *_]:
            return None if shutil.which("tensorboard", path=BIN) else "tensorboard is not installed"
        case _:
            return f"not a known program: {' '.join(words)!r}; known: {', '.join(PROGRAMS)}"


def _dqgym_problem(words: list[str]) -> str | None:
    """What the command line's own parser says."""
    try:
        with redirect_stdout(StringIO()):
            _parse(words)
    except typer.Exit:
        pass  # --help and --version
    except _UsageError as error:
        return error.format_message()  # type: ignore[attr-defined]
    return None


def _parse(words: list[str]) -> None:
    """Parse a command's words as ``dqgym`` does, and do nothing with them."""
    command, rest = typer.main.get_command(app), words
    if words and words[0] in COMMANDS:
        command, rest = COMMANDS[words[0]].load(), words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            raise typer.BadParameter(f"no such command: {rest[0]!r}")
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(words[0] if words else "dqgym", rest)


def needs_kvm(command: str) -> bool:
    """Whether a line migrates real guests, or asks about them."""
    for words in pipeline(command):
        options = " ".join(words).replace("=", " ")
        if "--backend kvm" in options:
            return True
        if words[:1] == ["dqgym"] and words[1:2] and words[1] in KVM_COMMANDS and "--backend" not in options:
            return "--help" not in words
    return False
