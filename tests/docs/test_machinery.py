"""That a page which says something wrong fails: what is collected, what is refused, what is compared."""

import json
from types import SimpleNamespace

import pytest

from tests.docs.checks import at_path, figure_differences, table_differences
from tests.docs.commands import needs_kvm, problem, statements
from tests.docs.pages import read_page
from tests.docs.printing import PAGES, entries_of, plain
from tests.docs.runner import ROOT, Entry, Outcome, parse_inline, rewritten_pages, run_page, unused_rules


def page(text: str):
    return read_page("page.md", text)


def block(*lines: str, language: str = "") -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def test_blocks_inline_code_and_checks_are_found_in_order_with_their_lines():
    found = page(
        "# Title\n\nTry `dqgym suites`\nand `dqgym\nprobe`.\n\n```python\nprint(1)\n```\n"
        "It takes 3 s.\n<!-- slow check: dqgym bench \\\n  env --json\nrate: takes 3 s\n-->\n"
    )
    assert found.problems == ()
    assert [(one.text, one.line) for one in found.inline()] == [("dqgym suites", 3), ("dqgym probe", 4)]
    assert [(one.language, one.text, one.line) for one in found.blocks()] == [("python", "print(1)", 7)]
    (check,) = found.checks(slow=True)
    assert (check.command, check.expectations) == ("dqgym bench env --json", ("rate: takes 3 s",))
    assert check.paragraph == "It takes 3 s."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- in test: dqgym: add --count 1 -->\n", "unknown comment"),
        ("<!-- in tests: dqgym: skip it -->\n" + block("dqgym suites"), "unknown rule 'dqgym: skip it'"),
        ("<!-- in tests: dqgym: add --count 1 -->\nText.\n" + block("dqgym suites"), "must be followed by a block"),
        ("Text.\n\n    dqgym suites\n", "outside a fenced block"),
    ],
)
def test_a_mark_that_is_not_understood_and_a_command_that_would_escape_are_problems(text, said):
    (wrong,) = page(text).problems
    assert said in wrong


def test_a_rule_that_fits_no_command_is_reported():
    text = "<!-- in tests:\ndqgym train: add --seed 1\ndqgym suites: add --json\n-->\n" + block("dqgym suites")
    assert unused_rules(page(text)) == ["page.md:2: no command of the block begins with 'dqgym train'"]


def test_statements_join_lines_and_loops_and_drop_comments():
    text = (
        "dqgym suites \\\n    --json   # all\n# nothing\n\nfor n in 7 8; do\n  dqgym simulate x.yaml --seed $n\ndone\n"
    )
    first, loop = statements(text, 10)
    assert (first.text, first.line) == ("dqgym suites --json", 10)
    assert loop.line == 14
    assert loop.commands() == ("dqgym simulate x.yaml --seed 7",)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("dqgym suites mixed --json", None),
        ("dqgym --help", None),
        ("dqgym evaluate default ...", None),
        ("dqgym bench env", None),
        ("dqgym suites | head", "not a known program: 'head'"),
        ("dqgym bench nothing", "no such command: 'nothing'"),
        ("dqgym nothing", "no such command: 'nothing'"),
        ("dqgym suites --nothing", "--nothing"),
        ("dqgym evaluate --count many", "'--count'"),
        ("make nothing", "no such target: nothing"),
        ("make test", None),
        ("pytest tests/nothing", "no such test: tests/nothing"),
        ("frobnicate --now", "not a known program"),
    ],
)
def test_a_command_is_held_against_the_parser_of_its_program(command, said):
    found = problem(command, ROOT)
    assert found is None if said is None else said in found


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        ("dqgym probe", True),
        ("dqgym migrate x.yaml", True),
        ("dqgym migrate x.yaml --backend model", False),
        ("dqgym control default --backend=kvm --suite kvm-lab", True),
        ("dqgym evaluate --suite kvm-lab", False),
    ],
)
def test_commands_that_migrate_real_guests_are_known(command, needs):
    assert needs_kvm(command) is needs


@pytest.mark.slow
def test_items_are_run_parsed_or_refused_and_each_leaves_an_entry(tmp_path):
    folder = tmp_path / "page"
    folder.mkdir()
    text = "\n\n".join(
        [
            block("assert 1 + 1 == 3", language="python"),
            block("fn main() {}", language="rust"),
            block("frobnicate"),
            "<!-- in tests: dqgym suites: not run, it is late -->\n" + block("dqgym suites --nothing"),
            "<!-- in tests: dqgym suites: not run, it is late -->\n" + block("dqgym suites"),
            "<!-- in tests: python: by tests/docs/nothing.py -->\n" + block("import nothing", language="python"),
            "<!-- in tests: python: by tests/docs/pages.py -->\n" + block("import nothing", language="python"),
            "<!-- in tests: dqgym suites: add --json > found.json -->\n" + block("dqgym suites"),
        ]
    )
    entries = list(run_page(page(text), folder))
    assert [entry.outcome for entry in entries] == [
        *[Outcome.FAILED] * 4, Outcome.PARSED, Outcome.FAILED, Outcome.ELSEWHERE, Outcome.REDUCED
    ]  # fmt: skip
    assert "AssertionError" in entries[0].output
    assert "no test knows this language" in entries[1].note
    assert "not a known program" in entries[2].note
    assert "--nothing" in entries[3].note
    assert "there is no tests/docs/nothing.py" in entries[5].note
    assert (folder / "found.json").read_text().startswith("[")


def test_a_page_that_commands_write_otherwise_than_it_is_fails(tmp_path):
    mine = page(block("dqgym --version"))
    (tmp_path / "page.md").write_text(mine.text)
    assert list(rewritten_pages(mine, [mine], tmp_path)) == []
    (tmp_path / "page.md").write_text(mine.text + "More.")
    assert [entry.outcome for entry in rewritten_pages(mine, [mine], tmp_path)] == [Outcome.FAILED]


def test_code_in_prose_that_is_no_command_fails():
    outcomes = [entry.outcome for entry in parse_inline(page("Say `dqgym suites`, not `dqgym suits`, `dqgym` or `x`."))]
    assert outcomes == [Outcome.PARSED, Outcome.FAILED]


@pytest.mark.parametrize(
    ("words", "value", "within", "good"),
    [
        ("takes 92 s", 91.6, 0, True),
        ("takes 92 s", 91.4, 0, False),
        ("takes 92 s", 90.0, 0.05, True),
        ("takes 92 s", 80.0, 0.05, False),
        ("with 88 %", 0.881, 0, True),
        ("with 88 %", 0.87, 0, False),
        ("in 1,024 ms", 1.0241, 0, True),
        ("takes 3 s", 3.0, 0, False),
        ("takes", 92.0, 0, False),
    ],
)
def test_a_figure_is_the_value_rounded_and_stands_in_the_paragraph(words, value, within, good):
    paragraph = "It takes 92 s\nwith 88 %, or in 1,024 ms."
    assert (list(figure_differences(paragraph, words, value, within)) == []) is good


def test_a_path_leads_through_keys_positions_and_the_element_that_has_a_value():
    document = {"rows": [{"c": 0.2, "ratio": [1, 2]}, {"c": 0.6, "ratio": [3, 4]}]}
    assert at_path(document, "rows.[c=0.6].ratio.1") == 4
    with pytest.raises(ValueError, match="unpack"):
        at_path(document, "rows.[c=0.7].ratio.1")


def test_tables_are_compared_by_title_and_cell():
    quoted = "| row | a | policy |\n| --- | --- | --- |\n| 1 | 2.0 s | 9.0 s |"
    written = "Text.\n\n| row | b | a | policy |\n| --- | --- | --- | --- |\n| 1 | x | 2.0 s | 9.1 s |"
    assert list(table_differences(quoted, written)) == ["'policy', 1: '9.0 s' is '9.1 s'"]
    assert list(table_differences(quoted, written, within=0.02)) == []
    assert list(table_differences(quoted, written, without="policy")) == []
    (missing,) = table_differences(quoted.replace("| a |", "| c |"), written)
    assert "nothing to compare" in missing


def test_a_log_reaches_another_process_as_it_was():
    log = [Entry("a.md", 3, "make", Outcome.RAN, "", 0, 1.5, "said"), Entry("a.md", 9, "x", Outcome.FAILED, "bad")]
    sent = json.loads(json.dumps(plain(log)))
    report = SimpleNamespace(user_properties=[("other", 1), (PAGES, sent)])
    assert entries_of([SimpleNamespace(), report]) == log
