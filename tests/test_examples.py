"""Every example runs as its reader runs it, in a process and a folder of its own, and prints what it is to show."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import read_page

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def output_of(folder: Path, *arguments: str) -> list[str]:
    """The lines that Python prints, started in ``folder``."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=os.environ | {"PYTHONWARNINGS": "error::UserWarning:dqgym"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def example(name: str) -> str:
    return str(EXAMPLES / f"{name}.py")


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", line)]


def test_every_example_has_a_test_and_20_to_60_lines():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    tested = set(re.findall(r'example\("(\w+)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert names == tested
    lengths = {name: len(Path(example(name)).read_text(encoding="utf-8").splitlines()) for name in names}
    assert all(20 <= length <= 60 for length in lengths.values()), lengths


def test_the_block_of_readme_is_how_the_first_example_begins():
    page = read_page("README.md", (ROOT / "README.md").read_text(encoding="utf-8"))
    (block,) = [one.text for one in page.blocks() if one.language == "python"]
    _, _, code = Path(example("first_migration")).read_text(encoding="utf-8").split('"""', 2)
    assert code.lstrip().startswith(f"{block}\n")


@pytest.mark.slow
def test_first_migration_shows_that_limits_trade_time_for_guest_runtime(tmp_path):
    one, _, *table = output_of(tmp_path, example("first_migration"))
    rows = [numbers(line) for line in table]
    assert [row[0] for row in rows] == [1.0, 0.5, 0.0, -0.5, -1.0]
    times, runtimes = [row[1] for row in rows], [row[2] for row in rows]
    assert times == sorted(times, reverse=True)
    assert runtimes == sorted(runtimes, reverse=True)
    assert times[0] > 2 * times[-1] > 2
    assert one.startswith("1.0 ")
    assert numbers(one)[1:] == pytest.approx([times[2], runtimes[2] / 100, rows[2][3]], abs=0.01)


@pytest.mark.slow
def test_own_throttle_converges_where_no_throttle_does_not(tmp_path):
    _, *table = output_of(tmp_path, example("own_throttle"))
    converged, time, runtime = zip(*(numbers(line.replace("%", "")) for line in table), strict=True)
    assert [line.split()[0] for line in table] == ["none", "auto-converge", "dirty-quota", "free-first-pass"]
    assert converged[0] < 60
    assert converged[3] == 100
    assert time[3] < 0.55 * time[1]  # of auto-converge
    assert runtime[3] > runtime[2]  # of dirty-quota, which throttles the first pass, too


@pytest.mark.slow
def test_train_a_policy_lowers_the_cost_and_leaves_its_evaluations(tmp_path):
    (line,) = output_of(tmp_path, example("train_a_policy"))
    before, after = (float(word) for word in re.findall(r"\d\.\d{3}", line))
    assert after < before
    history = json.loads((tmp_path / "evaluation.json").read_text())["history"]
    assert [entry["cost"] for entry in history] == pytest.approx([before, after], abs=5e-4)


@pytest.mark.slow
def test_policy_in_own_loop_ends_the_migration_without_the_guard_and_needs_no_torch(tmp_path):
    path = example("policy_in_own_loop")
    code = f"import runpy, sys; runpy.run_path({path!r}); print('torch' in sys.modules)"
    *decisions, last, torch_is_loaded = output_of(tmp_path, "-c", code)
    limits = [numbers(line.partition("MB/s")[2]) for line in decisions]
    assert {len(one) for one in limits} == {4}
    assert all(sum(one) < 1500 for one in limits[1:])  # MB/s over a link of 1000: the guest wants 4500
    pass_times, takeovers = numbers(last.replace("T0", ""))
    assert 1.0 < pass_times < 1.5
    assert takeovers == 0
    assert torch_is_loaded == "False"


def test_the_loop_of_the_page_is_the_one_of_the_example_in_25_lines():
    page = read_page("docs/python.md", (ROOT / "docs/python.md").read_text(encoding="utf-8"))
    (block,) = [one.text for one in page.blocks() if "telemetry = Telemetry(" in one.text]
    code = Path(example("policy_in_own_loop")).read_text(encoding="utf-8")
    imports, loop = block.split("\n\nfacts = ")
    assert f'"""\n\n{imports}\n' in code
    assert f"vmm = ToyHypervisor()\nfacts = {loop}\n" in code
    assert len([line for line in block.splitlines() if line]) <= 25


@pytest.mark.slow
def test_read_results_prints_what_the_summary_holds(tmp_path):
    printed = output_of(tmp_path, example("read_results"))
    means = json.loads((ROOT / "docs/evaluations/kvm-lab/summary.json").read_text())["means"]
    records = [dict(zip(means["columns"], row, strict=True)) for row in means["rows"]]
    assert len(records) == 8
    for record in records:
        start = f"{record['suite']:16} {record['preference']:5g}  {record['throttle']:14} {record['cost']:6.3f}"
        assert any(line.startswith(start) for line in printed), start
    assert any(line.startswith("kvm-lab          tuned-rule     1.000 ") for line in printed)


@pytest.mark.slow
def test_read_results_says_what_is_wrong_with_a_folder_without_any(tmp_path):
    done = subprocess.run(
        [sys.executable, example("read_results"), "nowhere"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "nowhere" in done.stderr.splitlines()[-1]
