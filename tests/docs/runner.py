"""Runs what a page says, in order, in a folder with what its reader has by then; every item leaves an entry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import yaml

from dqgym.backends.kvm.host.probe import kvm_problem
from tests.docs.commands import BIN, PROGRAMS, SHELL, Statement, needs_kvm, problem, statements
from tests.docs.pages import AT_THE_TOP, BEFORE, Block, Page, Rule

ROOT = Path(__file__).parents[2]
"""The checkout that is tested."""
CHECKOUT = (*AT_THE_TOP, "Makefile", "pyproject.toml", "configs", "docs", "dqgym", "examples")
"""What of it a reader's commands find by path; what they run is installed."""
LONGEST_S = 600
"""Nothing on a page may take longer in tests."""


class Outcome(Enum):
    """What became of an item."""

    RAN = "ran"
    REDUCED = "reduced"
    PARSED = "parsed"
    ELSEWHERE = "elsewhere"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Entry:
    """A line of the log.

    Attributes:
        page: its name.
        line: where on the page.
        what: the command or kind of block.
        outcome: what became of it.
        note: how it was reduced, why it was not run, or what is wrong.
        code: exit code, where it was run.
        seconds: how long it took.
        output: what it printed.
    """

    page: str
    line: int
    what: str
    outcome: Outcome
    note: str = ""
    code: int | None = None
    seconds: float = 0.0
    output: str = ""


def lay_out(folder: Path, earlier: Path | None = None) -> None:
    """Fill a new folder with a reader's checkout, and what commands of an earlier page left (but for results)."""
    if earlier is not None:
        shutil.copytree(earlier, folder, ignore=shutil.ignore_patterns("results"), symlinks=True)
    for name in CHECKOUT:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
    os.utime(folder / "pyproject.toml", (0, 0))  # older than the environment, or make would install this folder in it


def run_page(page: Page, folder: Path) -> Iterator[Entry]:
    """Everything on the page from top to bottom, but for its checks."""
    for item in page.items:
        if isinstance(item, Block):
            yield from _run_block(page.name, item, folder)


def rewritten_pages(page: Page, pages: Iterable[Page], folder: Path) -> Iterator[Entry]:
    """Those of ``pages`` that something on this page has written otherwise than they are."""
    for other in pages:
        if (folder / other.name).read_text(encoding="utf-8") != other.text:
            yield Entry(page.name, 1, other.name, Outcome.FAILED, "something on this page writes it otherwise")


def parse_inline(page: Page) -> Iterator[Entry]:
    """Each command in the page's prose, which is not run but must be one."""
    for item in page.inline():
        program, _, rest = item.text.partition(" ")
        if program not in PROGRAMS or not rest:
            continue
        wrong = problem(item.text, ROOT)
        yield Entry(page.name, item.line, item.text, Outcome.FAILED if wrong else Outcome.PARSED, wrong or "in prose")


def unused_rules(page: Page) -> list[str]:
    """Rules that no command of their block begins with."""
    return [
        f"{page.name}:{rule.line}: no command of the block begins with {rule.words!r}"
        for block in page.blocks()
        for rule in block.rules
        if rule.words not in (BEFORE, block.language)
        and not any(_begins(command, rule.words) for one in _statements(block) for command in one.commands())
    ]


def run_command(command: str, folder: Path) -> tuple[int, float, str, str]:
    """Run a statement in the shell as a reader would; its exit code, seconds, output, and errors."""
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "VENV": sys.prefix,  # make takes this environment, as it is
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "MPLBACKEND": "Agg",
    }
    start_s = time.monotonic()
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = shell.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, 9)
        out, err = shell.communicate()
        err += f"\nstopped after {LONGEST_S} s"
    return shell.returncode, time.monotonic() - start_s, out, err


def _statements(block: Block) -> tuple[Statement, ...]:
    return statements(block.text, block.line + 1) if block.language in SHELL else ()


def _run_block(page: str, block: Block, folder: Path) -> Iterator[Entry]:
    whole = next((rule for rule in block.rules if rule.words == block.language), None)
    if whole is not None:
        yield _not_run(page, block.line, f"{block.language} block", whole)
        return
    for rule in block.rules:
        if rule.words == BEFORE:
            yield _run(page, rule.line, rule.text, folder, Outcome.RAN, "before the block, in tests alone")
    match block.language:
        case "python":
            script = folder.with_name(f"{folder.name}-scripts") / f"line_{block.line}.py"
            script.parent.mkdir(exist_ok=True)
            script.write_text(block.text, encoding="utf-8")
            yield _run(page, block.line, f"python {script}", folder, what="python block")
        case "yaml":
            yield _run_yaml(page, block, folder)
        case "text":
            yield Entry(page, block.line, "text block", Outcome.PARSED, "not code")
        case language if language in SHELL:
            for statement in _statements(block):
                yield _run_statement(page, statement, block.rules, folder)
        case language:
            yield Entry(page, block.line, f"{language} block", Outcome.FAILED, "no test knows this language")


def write_scenarios(page: Page, folder: Path) -> None:
    """Save each block of YAML as its reader does."""
    for block in page.blocks():
        if block.language == "yaml":
            _save_yaml(block, folder)


def _save_yaml(block: Block, folder: Path) -> str:
    """A block of YAML is a scenario or a suite; its reader saves it under its name, or as its first line has it."""
    first, *_ = block.text.splitlines()
    file = first.removeprefix("# ") if first.startswith("# ") else f"{yaml.safe_load(block.text)['name']}.yaml"
    (folder / file).write_text(block.text, encoding="utf-8")
    return file


def _run_yaml(page: str, block: Block, folder: Path) -> Entry:
    file = _save_yaml(block, folder)
    code = f"from dqgym.scenario.suites import get_suite; get_suite({file!r}).scenarios(1)"
    return _run(page, block.line, f'python -c "{code}"', folder, note=f"as {file}", what="yaml block")


def _run_statement(page: str, statement: Statement, rules: tuple[Rule, ...], folder: Path) -> Entry:
    """Run a statement as its rules want it; what is not run is still parsed."""
    applied = {rule: None for command in statement.commands() if (rule := _rule_for(command, rules)) is not None}
    for rule in applied:
        if rule.action != "add":
            # What is not of this project need not be known here.
            wrong = problem(statement.text, ROOT) if statement.text.startswith("dqgym ") else None
            if wrong:
                return Entry(page, statement.line, statement.text, Outcome.FAILED, wrong)
            return _not_run(page, statement.line, statement.text, rule)
    lines = [_reduced(line, rules) for line in statement.lines]
    changed = Statement(tuple(lines), statement.line)
    wrong = next(
        filter(None, (problem(command, ROOT) for command in (*statement.commands(), *changed.commands()))), None
    )
    if wrong:
        return Entry(page, statement.line, statement.text, Outcome.FAILED, wrong)
    if any(map(needs_kvm, statement.commands())) and (missing := kvm_problem()) is not None:
        return Entry(page, statement.line, statement.text, Outcome.PARSED, f"no KVM here: {missing}")
    outcome = Outcome.REDUCED if applied else Outcome.RAN
    note = "; ".join(f"with {rule.text}" for rule in applied)
    return _run(page, statement.line, changed.text, folder, outcome, note, statement.text)


def _rule_for(command: str, rules: tuple[Rule, ...]) -> Rule | None:
    return next((rule for rule in rules if rule.words != BEFORE and _begins(command, rule.words)), None)


def _begins(command: str, words: str) -> bool:
    return f"{command} ".startswith(f"{words} ")


def _reduced(line: str, rules: tuple[Rule, ...]) -> str:
    rule = _rule_for(line.strip(), rules)
    return line if rule is None else f"{line} {rule.text}"


def _not_run(page: str, line: int, what: str, rule: Rule) -> Entry:
    """The entry of what a rule keeps from being run."""
    if rule.action == "by":
        path = rule.text.split(",")[0].split("::")[0]
        if not (ROOT / path).exists():
            return Entry(page, line, what, Outcome.FAILED, f"there is no {path}, which is said to test it")
        return Entry(page, line, what, Outcome.ELSEWHERE, f"by {rule.text}")
    return Entry(page, line, what, Outcome.PARSED, f"not run, {rule.text}")


def _run(
    page: str, line: int, command: str, folder: Path, outcome: Outcome = Outcome.RAN, note: str = "", what: str = ""
) -> Entry:
    code, seconds, out, err = run_command(command, folder)
    return Entry(page, line, what or command, Outcome.FAILED if code else outcome, note, code, seconds, out + err)
