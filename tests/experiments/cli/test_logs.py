"""`-v` and `-vv`: what the packages log, on standard error, set up by the command line alone."""

import json
import logging
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from experiments.cli.app import app
from experiments.cli.logs import PACKAGES

LINE = re.compile(r"\d\d:\d\d:\d\d (INFO|DEBUG|WARNING) (dqgym|experiments)[.\w]*: .+")


@pytest.fixture(autouse=True)
def as_before():
    kept = {
        name: (log.level, list(log.handlers), log.propagate) for name in PACKAGES if (log := logging.getLogger(name))
    }
    yield
    for name, (level, handlers, propagate) in kept.items():
        log = logging.getLogger(name)
        log.setLevel(level)
        log.handlers[:] = handlers
        log.propagate = propagate


def logged(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.stderr
    return result


def test_nothing_is_logged_unless_it_is_asked_for():
    assert logged("configs", "streaming").stderr == ""
    assert logged("-vv", "train", "quickstart", "--show-config").stderr != ""


def test_v_logs_what_is_done_and_leaves_json_alone(tmp_path):
    trace = tmp_path / "trace.json"
    result = logged("-v", "simulate", "streaming", "--json", "--trace", str(trace))
    assert json.loads(result.stdout)["throttle"] == "dirty-quota"
    lines = result.stderr.splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert any(line.endswith(f"INFO dqgym.files: wrote {trace}") for line in lines)
    assert any("migrations happen on backend model" in line for line in lines)
    assert not any(" DEBUG " in line for line in lines)


def test_vv_logs_which_files_are_read():
    stderr = logged("-vv", "simulate", "streaming").stderr
    assert re.search(r"DEBUG dqgym\.files: reading .*streaming\.yaml", stderr)


def test_a_takeover_is_logged():
    result = logged(
        "-v", "control", "default", "--suite", "cover-letter", "--count", "1", "--decision-deadline-s", "1e-9"
    )
    assert re.search(
        r"INFO dqgym\.controller\.guard: dirty-quota takes over migration 0 .*late decision", result.stderr
    )


@pytest.mark.slow
def test_a_library_sets_up_no_logging():
    script = (
        "import logging, dqgym.files, experiments.cli.app;"
        "print(logging.root.handlers, logging.getLogger('dqgym').handlers)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] []"
