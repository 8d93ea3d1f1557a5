"""Damaged and hostile input ends in one expected error: what once did not, and seeded mutations of what is valid."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dqgym.errors import BadInputError
from dqgym.model.parameters import DEFAULT_FILE, load_parameters
from dqgym.scenario import load_scenario
from dqgym.scenario.recordings.formats.guestperf import read_guestperf
from dqgym.scenario.recordings.log_scenario import import_log
from dqgym.scenario.recordings.qemu_runs import INDEX_FILE, RecordingError, read_qemu_runs
from dqgym.scenario.recordings.qemu_scenario import recorded_scenario
from dqgym.scenario.recordings.replay import replay_scenario
from experiments.runs.config import load_config

FAULTS = Path(__file__).parent / "faults"
CONFIGS = Path(__file__).parents[2] / "configs"
ROUNDS = 60
FIRST_SEED = 0
TIME_LIMIT_S = 120
"""Of a command that should answer at once; only a hang takes longer, on the slowest machine."""
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{k + 1}: &a{k + 1} [*a{k}, *a{k}]\n" for k in range(20))
"""Small as text; a million values."""
TRACED = """
name: traced
vm: {memory: 128 MiB}
workload: [{vcpus: 1, pattern: sequential, working_set: 32 MiB,
            schedule: {kind: recorded, file: TRACE, column: bandwidth_bytes_per_s}}]
link: {kind: trace, file: TRACE}
"""


def simulate(path: Path, throttle: str = "none") -> subprocess.CompletedProcess[str]:
    """The command as a user would run it."""
    command = [sys.executable, "-m", "experiments.cli.entry", "simulate", str(path), "--throttle", throttle]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)


def assert_one_message(run: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) < 20
    for part in parts:
        assert part in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hang-0-none", ["limits: deadline_pass_times: '1e300'", "at most 1000"]),
        ("hang-1-auto-converge", ["vm.memory: '1e12 MiB'", "1 PiB", "write_rate: '1e12 MiB/s'"]),
        ("hang-2-none", ["limits: deadline_pass_times: '1e12'"]),
        ("nonfinite-0-dirty-quota", ["link.high_hold: '1e300 s'", "1e9 s"]),
        ("nonfinite-1-auto-converge", ["link.high_hold: '1e300 s'"]),
        ("nonfinite-2-auto-converge", ["link.low_hold: '1e300 s'"]),
        ("key-that-is-a-mapping", ["line 20", "a key must be a plain word"]),
    ],
)
def test_a_scenario_beyond_the_bounds_is_refused_at_once(name: str, parts: list[str]) -> None:
    assert_one_message(simulate(FAULTS / f"{name}.yaml", name.split("-", 2)[-1]), f"{name}.yaml", *parts)


def traced(folder: Path, trace: Path) -> Path:
    path = folder / "traced.yaml"
    path.write_text(TRACED.replace("TRACE", str(trace)))
    return path


@pytest.mark.slow
def test_a_trace_of_next_to_nothing_is_refused(tmp_path: Path) -> None:
    assert_one_message(simulate(traced(tmp_path, FAULTS / "only-zeros.csv")), "1e-320", "from 1 B/s to 1 PB/s")


def test_a_trace_of_zeros_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zeros.csv").write_text("time_s,bandwidth_bytes_per_s\n0,0\n1,0\n")
    with pytest.raises(BadInputError, match="nothing above 0"):
        load_scenario(traced(tmp_path, tmp_path / "zeros.csv"))


def test_a_pipe_and_a_device_are_no_traces(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, what in ((pipe, "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(BadInputError, match=f"it is {what}, not a regular file"):
            load_scenario(traced(tmp_path, path))
        with pytest.raises(BadInputError, match=f"it is {what}, not a regular file"):
            load_scenario(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: " + "[" * 500 + "]" * 500, "more than 50 levels"),
        ("a: " * 500, "not valid YAML"),
        ("? [a]\n: 1\n", "a key must be a plain word"),
        ("name: [" + "1, " * 3_000_000 + "]", "values"),
        (LAUGHS, "values, at most"),
        ("a: &a [*a]", "."),
        ("name: !!python/object/apply:os.system [true]", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("when: 2001-13-45", "not valid YAML"),
        ("12: 1", "unknown key 12"),
        ("vm: {1: 2}", "."),
        ("name: 0x" + "f" * 5000, "a whole number of more than 4,096 bits"),
        ("? 0x" + "f" * 5000 + "\n: 1", "a whole number of more than 4,096 bits"),
    ],
    ids=range(13),
)  # fmt: skip
def test_text_that_is_no_scenario_is_one_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(text)
    with pytest.raises(BadInputError, match=message) as caught:
        load_scenario(path)
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0," + "1" * 200_000 + "\n", "not CSV: field larger"),
        ("".join(f"{number},1e8\n" for number in range(100_001)), "100,001 rows, at most 100,000"),
        ("0,1e8\n" * 2, "times must rise"),
        ("0,1e400\n", "column"),
        ("0,nan\n", "column"),
        ("1e-300,1e8\n", "first time must be 0"),
        ("0,1e8\n1e-300,1e8\n", "times must rise by at least 1 ns"),
        ('0,"1\n', "."),
    ],
    ids=range(8),
)
def test_a_trace_that_cannot_be_is_one_error(rows: str, message: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,bandwidth_bytes_per_s\n" + rows)
    with pytest.raises(BadInputError, match=message) as caught:
        load_scenario(traced(tmp_path, trace))
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize(("name", "field"), [("cpus", "hardware.cpus: 2147483648"), ("mem", "hardware.mem: inf")])
def test_a_report_with_numbers_beyond_all_machines_is_refused_by_field(name: str, field: str) -> None:
    with pytest.raises(RecordingError, match=f"guestperf-{name}.json: {field} is not a number from"):
        read_guestperf(FAULTS / f"guestperf-{name}.json")


def written_runs(folder: Path, index: str, run: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / INDEX_FILE).write_text(index)
    name = index.splitlines()[1].split(",")[0] if len(index.splitlines()) > 1 else "run"
    if re.fullmatch(r"[A-Za-z0-9]{1,9}", name):
        (folder / f"{name}.csv").write_text(run)
    return folder


def test_a_run_with_a_number_that_no_array_holds_is_refused_by_column(tmp_path: Path) -> None:
    index, run = json.loads((FAULTS / "qemu-runs.json").read_text())
    with pytest.raises(RecordingError, match=r"B12\.csv.*column"):
        read_qemu_runs(written_runs(tmp_path, index, run))


# Seeded mutations.

NASTY = (
    "0", "-1", "1e300", "-1e300", "1e-300", "1e400", "nan", "inf", "null", "true", "''", "[]", "{}", "[[[]]]",
    "x" * 300, "9" * 400, "2147483648", "18446744073709551616", "0x10", "1e18", "1 KB", "~", "!!set {a}", "&a [*a]",
    "2001-01-01",    "\u0000", "\ufffd", "é", "'", '"', ",", ":", "\n", "1_000", "0o7", ".5", "1:30",
    "0x" + "f" * 5000,
)  # fmt: skip


def mutated_text(rng: random.Random, text: str) -> str:
    """A valid text with one to three faults."""
    for _ in range(rng.randint(1, 3)):
        tokens = list(re.finditer(r"[^\s,:{}\[\]]+", text))
        lines = text.splitlines(keepends=True)
        if not tokens or not lines:
            return text
        match rng.randrange(6):
            case 0 | 1 | 2:
                token = rng.choice(tokens)
                text = text[: token.start()] + rng.choice(NASTY) + text[token.end() :]
            case 3:
                del lines[rng.randrange(len(lines))]
                text = "".join(lines)
            case 4:
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                text = "".join(lines)
            case _:
                place = rng.randrange(len(text))
                text = text[:place] + rng.choice([*NASTY, ""]) + text[place + rng.randint(0, 3) :]
    return text


def mutated_value(rng: random.Random, value: Any) -> Any:
    """JSON content with one value replaced."""
    nasty = [0, -1, 10**400, 1e308, -1e308, 1e-308, float("nan"), float("inf"), None, True, "", "x", [], {}, 2**31, 1e9]
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        if rng.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: mutated_value(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], mutated_value(rng, value[place]), *value[place + 1 :]]
    return rng.choice(nasty)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return path


def report_text() -> Any:
    content = json.loads((FAULTS / "guestperf-cpus.json").read_text())
    content["hardware"]["cpus"] = 2
    return content


def try_scenario(rng: random.Random, folder: Path) -> None:
    source = rng.choice([*sorted((CONFIGS / "scenarios").glob("*.yaml")), *sorted(FAULTS.glob("nonfinite*.yaml"))])
    text = re.sub("1e300 s", "9 s", source.read_text()).replace("file: ", f"file: {source.parent}/")
    load_scenario(write(folder / "scenario.yaml", mutated_text(rng, text)))


def try_trace(rng: random.Random, folder: Path) -> None:
    text = "\n".join((CONFIGS / "scenarios" / "recorded.csv").read_text().splitlines()[:6])
    trace = write(folder / "trace.csv", mutated_text(rng, text))
    load_scenario(traced(folder, trace))


def try_report(rng: random.Random, folder: Path) -> None:
    text = json.dumps(mutated_value(rng, report_text()))
    import_log(read_guestperf(write(folder / "report.json", text)))


def try_runs(rng: random.Random, folder: Path) -> None:
    index, run = json.loads((FAULTS / "qemu-runs.json").read_text())
    which = rng.random() < 0.5
    folder = written_runs(
        folder / "runs", mutated_text(rng, index) if which else index, run if which else mutated_text(rng, run)
    )
    for one in read_qemu_runs(folder):
        recorded_scenario(one)
        replay_scenario(one)


def try_parameters(rng: random.Random, folder: Path) -> None:
    load_parameters(write(folder / "parameters.yaml", mutated_text(rng, DEFAULT_FILE.read_text())))


def try_config(rng: random.Random, folder: Path) -> None:
    text = rng.choice(sorted(CONFIGS.glob("*.yaml"))).read_text()
    key = rng.choice(["seed", "environment.n_envs", "environment.suites.mixed", "a.b.c", "algorithm" + ".x" * 2000])
    overrides = [f"{key}={rng.choice(NASTY)}"] if rng.random() < 0.3 else []
    load_config(write(folder / "config.yaml", mutated_text(rng, text)), overrides)


@pytest.mark.parametrize("attempt_one", [try_scenario, try_trace, try_report, try_runs, try_parameters, try_config])
def test_a_damaged_file_is_read_or_is_bad_input(
    attempt_one: Callable[[random.Random, Path], None], tmp_path: Path
) -> None:
    refused = 0
    for seed in range(FIRST_SEED, FIRST_SEED + ROUNDS):
        try:
            attempt_one(random.Random(seed), tmp_path)
        except BadInputError as error:
            refused += 1
            message = str(error)
        else:
            message = ""
        assert len(message) < 20_000
    assert refused > ROUNDS / 4
