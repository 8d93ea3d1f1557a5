import json
import math
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from dqgym.errors import BadInputError
from dqgym.results.rows import TakeoverCount
from experiments.cli.app import app
from experiments.evaluation import evaluation
from experiments.evaluation.journal import Finished, RunKey, find, open_journal
from tests.experiments.results.test_rows import make_row

SETTING = {"backend": "model", "preferences": [0.2], "migrations": {"s": ["a 0"]}}
DONE = Finished(
    "s",
    "t",
    (0.2,),
    (make_row(downtime_s=math.inf), make_row(scenario="b")),
    (TakeoverCount("s", "t", 0.2, "no progress", 1),),
)


def test_a_finished_run_is_found_again_number_for_number(tmp_path):
    path = tmp_path / "journal"
    open_journal(path, SETTING, resume=False).add(DONE)
    again = open_journal(path, SETTING, resume=True)
    assert len(again) == 1
    key = RunKey("s", "t", (0.2,))
    found = find(again, key)
    assert found == DONE  # an infinite number, too
    assert find(again, key._replace(policy_digest="trained anew")) is None
    assert find(again, key._replace(preferences=(0.6,))) is None
    assert find(again, key._replace(throttle="u")) is None


def test_a_journal_that_is_not_resumed_starts_empty(tmp_path):
    path = tmp_path / "journal"
    open_journal(path, SETTING, resume=False).add(DONE)
    assert len(open_journal(path, SETTING, resume=False)) == 0


def test_a_journal_of_other_migrations_is_refused_with_what_differs(tmp_path):
    path = tmp_path / "journal"
    open_journal(path, SETTING, resume=False).add(DONE)
    with pytest.raises(BadInputError, match=r"its backend is 'model', not 'kvm'"):
        open_journal(path, {**SETTING, "backend": "kvm"}, resume=True)


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(BadInputError, match="nothing to resume"):
        open_journal(tmp_path / "journal", SETTING, resume=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: not valid JSON"),
        (b"\x00\xff\n", "not UTF-8"),
        (b"[1]\n", "line 1: not the journal"),
        (b"no json\n", "line 1: not valid JSON"),
        (b"[" * 100_000 + b"\n", "nested too deep"),
        (b"{}\n", "of another evaluation: its backend is None"),
        (json.dumps(SETTING).encode() + b"\n[1]\n", "line 2: not the journal of this command"),
        (json.dumps(SETTING).encode() + b'\n{"suite": "s"}\n', "line 2: not the journal of this command"),
        (json.dumps(SETTING).encode() + b"\nhalf a line\n", "line 2: not valid JSON"),
    ],
)
def test_a_damaged_journal_is_refused_with_the_line(tmp_path, content, message):
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(BadInputError, match=message):
        open_journal(tmp_path / "journal", SETTING, resume=True)


def test_half_a_line_at_the_end_is_dropped_wherever_it_was_cut(tmp_path):
    path = tmp_path / "journal"
    first = open_journal(path, SETTING, resume=False)
    first.add(DONE)
    whole = path.read_bytes()
    first.add(replace(DONE, suite="t"))
    for cut in range(len(whole), path.stat().st_size, 97):
        (tmp_path / "cut").write_bytes(path.read_bytes()[:cut])
        resumed = open_journal(tmp_path / "cut", SETTING, resume=True)
        assert resumed.all == [DONE]
        resumed.add(replace(DONE, suite="t"))
        assert (tmp_path / "cut").read_bytes() == path.read_bytes()


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", "none", "stop-and-copy", "dirty-quota", "--no-baselines",
                                    "--suite", "kvm-lab", "--count", "2", *map(str, arguments)])  # fmt: skip


@pytest.mark.slow
def test_an_interrupted_evaluation_goes_on_where_it_stopped(tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert evaluate("--out", whole).exit_code == 0

    run_all, runs = evaluation.run_all, []

    def interrupted(*arguments, **options):
        runs.append(arguments)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return run_all(*arguments, **options)

    monkeypatch.setattr(evaluation, "run_all", interrupted)
    stopped = evaluate("--out", out)
    assert stopped.exit_code == 130
    assert f"2 of 3 runs are kept; go on with the same command and --out {out} --resume" in stopped.stderr
    assert not out.exists()
    resumed = evaluate("--out", out, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert len(runs) == 4  # the third alone, once more
    assert (out / "results.csv").read_text() == (whole / "results.csv").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_resuming_needs_the_folder():
    result = evaluate("--resume")
    assert result.exit_code == 2
    assert "--resume needs the --out" in result.stderr


@pytest.mark.slow
def test_an_evaluation_with_another_survey_does_not_go_on(tmp_path, monkeypatch):
    out, run_all, runs = tmp_path / "out", evaluation.run_all, []

    def interrupted(*arguments, **options):
        runs.append(arguments)
        if len(runs) == 2:
            raise KeyboardInterrupt
        return run_all(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "run_all", interrupted)
        assert evaluate("--survey", "0.005 T0", "--out", out).exit_code == 130
    other = evaluate("--survey", "0.01 T0", "--out", out, "--resume")
    assert other.exit_code == 2
    assert "its survey is '0.005 T0', not '0.01 T0'" in other.stderr
    assert evaluate("--survey", "0.005 T0", "--out", out, "--resume").exit_code == 0
