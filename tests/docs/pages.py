"""A page of documentation as records: its blocks, its inline code, and the marks that say how tests treat them.

Marks are HTML comments, which no reader sees. Before a block, what to do differently with it in tests, a rule a line::

    <!-- in tests:
    dqgym train: add --set training.frames=20_000
    dqgym receive: not run, it waits for another host
    python: by tests/envs/test_snippets.py
    before: cp docs/kvm.md page.md
    -->

A rule holds for the commands of that block that begin with its words, ``python`` and ``yaml`` for the block itself;
``before`` is a command that no reader needs. After a paragraph, a command and what the paragraph quotes of its output::

    <!-- check: dqgym simulate batch-job.yaml --json
    total_time_s: takes 92 s
    -->

``slow check`` is for what needs the whole quickstart (``make docs-figures``); see ``checks.py`` for the lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ACTIONS = ("add", "not run,", "by")
OTHER_COMMENTS = ("begin:", "end:", "calibration:", "field:", "bench ")
"""How comments begin that are marks of commands which write parts of a page."""
BEFORE = "before"

_FENCE = re.compile(r"\s*```(\S*)\s*$")
_INLINE = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)


@dataclass(frozen=True)
class Rule:
    """What tests do differently with commands that begin with ``words``; see the module for the actions."""

    words: str
    action: str
    text: str
    line: int


@dataclass(frozen=True)
class Block:
    """A fenced block: its language ('' for commands), its text, the line of its fence, and the rules before it."""

    language: str
    text: str
    line: int
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Inline:
    """Code in backticks, on one line."""

    text: str
    line: int


@dataclass(frozen=True)
class Check:
    """A command, and what the paragraph above quotes of what comes out."""

    command: str
    expectations: tuple[str, ...]
    paragraph: str
    slow: bool
    line: int


@dataclass(frozen=True)
class Page:
    """A page, its name relative to the checkout, and what is on it in order.

    Attributes:
        name: path relative to the checkout.
        text: the whole page.
        items: blocks, inline code and checks.
        problems: what cannot be understood, with its line.
    """

    name: str
    text: str
    items: tuple[Block | Inline | Check, ...]
    problems: tuple[str, ...]

    def blocks(self) -> tuple[Block, ...]:
        """The fenced blocks."""
        return tuple(item for item in self.items if isinstance(item, Block))

    def inline(self) -> tuple[Inline, ...]:
        """The code in backticks."""
        return tuple(item for item in self.items if isinstance(item, Inline))

    def checks(self, slow: bool) -> tuple[Check, ...]:
        """Those that are slow, or the others."""
        return tuple(item for item in self.items if isinstance(item, Check) and item.slow == slow)


AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
"""Pages that lie in the checkout itself; the others build on what the first leaves."""


def all_pages(root: Path) -> tuple[Page, ...]:
    """README first, then the other pages at the top, then those in ``docs``."""
    paths = [*(root / name for name in AT_THE_TOP), *sorted((root / "docs").glob("**/*.md"))]
    return tuple(read_page(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


@dataclass(frozen=True)
class _Part:
    """A stretch of lines: a ``fence``, a ``comment`` or a paragraph of ``text``."""

    kind: str
    text: str
    line: int
    language: str = ""


def read_page(name: str, text: str) -> Page:
    """The records of a page."""
    items: list[Block | Inline | Check] = []
    problems: list[str] = []
    rules: tuple[Rule, ...] = ()
    paragraph = ""
    for part in _parts(text):
        where = f"{name}:{part.line}"
        if rules and part.kind != "fence":
            problems.append(f"{where}: rules for tests must be followed by a block")
            rules = ()
        if part.kind == "fence":
            items.append(Block(part.language, part.text, part.line, rules))
            rules = ()
        elif part.kind == "text":
            paragraph = part.text
            items.extend(_inline(part))
            problems.extend(f"{where}: {problem}" for problem in _indented_commands(part))
        elif part.text.startswith("in tests:"):
            rules, unknown = _rules(part)
            problems.extend(f"{where}: {problem}" for problem in unknown)
        elif part.text.startswith(("check:", "slow check:")):
            items.append(_check(part, paragraph))
        elif not part.text.startswith(OTHER_COMMENTS):
            problems.append(f"{where}: unknown comment {part.text[:40]!r}")
    return Page(name, text, tuple(items), tuple(problems))


def one_line(text: str) -> str:
    """The text with each white space as one blank."""
    return " ".join(text.split())


def _parts(text: str) -> Iterator[_Part]:
    """The page from top to bottom; a fence or a comment that does not end goes to the end of the page."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        first = at
        if fence := _FENCE.match(lines[at]):
            at = _next(lines, at + 1, lambda line: _FENCE.match(line) is not None)
            yield _Part("fence", "\n".join(lines[first + 1 : at]), first + 1, fence[1])
            at += 1
        elif lines[at].startswith("<!--"):
            at = _next(lines, at, lambda line: "-->" in line) + 1
            comment = "\n".join(lines[first:at]).removeprefix("<!--").rpartition("-->")[0]
            yield _Part("comment", comment.strip(), first + 1)
        elif lines[at].strip():
            at = _next(lines, at + 1, _ends_paragraph)
            yield _Part("text", "\n".join(lines[first:at]), first + 1)
        else:
            at += 1


def _next(lines: list[str], start: int, is_it: Callable[[str], bool]) -> int:
    return next((i for i in range(start, len(lines)) if is_it(lines[i])), len(lines))


def _ends_paragraph(line: str) -> bool:
    return not line.strip() or line.startswith("<!--") or _FENCE.match(line) is not None


def _inline(part: _Part) -> Iterator[Inline]:
    for match in _INLINE.finditer(part.text):
        yield Inline(one_line(match[2]), part.line + part.text.count("\n", 0, match.start()))


def _indented_commands(part: _Part) -> Iterator[str]:
    """Commands that Markdown shows as code because they are indented; they would escape."""
    for line in part.text.splitlines():
        if line.startswith("    dqgym "):
            yield f"a command outside a fenced block: {line.strip()}"


def _rules(part: _Part) -> tuple[tuple[Rule, ...], list[str]]:
    """The rules of a comment, and what is wrong with the others."""
    rules, problems = [], []
    for offset, line in enumerate(part.text.splitlines()):
        stated = line.removeprefix("in tests:").strip() if offset == 0 else line.strip()
        if not stated:
            continue
        words, _, what = stated.partition(": ")
        action = next((known for known in ACTIONS if what.startswith(known + " ")), None)
        if words == BEFORE:
            rules.append(Rule(BEFORE, BEFORE, what.strip(), part.line + offset))
        elif action is None:
            problems.append(f"unknown rule {stated!r}; known: WORDS: {' ...; WORDS: '.join(ACTIONS)} ...")
        else:
            rules.append(Rule(words, action.rstrip(","), what.removeprefix(action).strip(), part.line + offset))
    return tuple(rules), problems


def _check(part: _Part, paragraph: str) -> Check:
    kind, _, rest = part.text.partition(":")
    command, *expectations = (line.strip() for line in rest.strip().replace("\\\n", " ").splitlines())
    return Check(one_line(command), tuple(filter(None, expectations)), paragraph, kind.startswith("slow"), part.line)
