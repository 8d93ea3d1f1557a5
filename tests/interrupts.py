"""Interrupts commands at random moments, goes on with them, and compares what they leave with uninterrupted runs.

``python -m tests.interrupts 20 SEED`` interrupts each command twenty times and prints a table.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dqgym.stopping import STOPPING_SIGNALS

DQGYM = [sys.executable, "-m", "experiments.cli.entry"]
CHECKOUT = Path(__file__).parents[1]
RECIPE = CHECKOUT / "configs" / "quickstart.yaml"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
DEADLINE_S = 300.0

Contents = dict[str, bytes]
"""What is compared, by name."""


def files_in(folder: Path) -> Contents:
    """All files below a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def what_was_learned(folder: Path) -> Contents:
    """Which files a training has, whole ones, and what it says: its evaluations, and the weights at its end."""
    from agents.storage.model_files import read_model

    run, found = folder / "run", Contents()
    for path in run.rglob("*"):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None, path
        if path.is_file():
            found[path.name if path.parent == run else path.parent.name] = b""
    found["evaluation.json"] = (run / "evaluation.json").read_bytes()
    for name, weights in read_model(run / "final_model.zip").states["policy"].items():
        found[name] = weights.numpy().tobytes()
    return found


PROGRESS = re.compile(r".+: (\S+ \w+ to do|begun|(ended after )?\d+ (s|min|h)\b.*)")
"""A line of ``experiments.reporting.progress_lines``, before whatever a stopped command says."""


@dataclass(frozen=True)
class Command:
    """A command line that ends in a few seconds, run in a folder of its own.

    Attributes:
        arguments: the command line.
        resumed: the one that goes on, where ``journal`` is there after an interruption; else it is begun again.
        journal: what an interruption may leave.
        results: what is compared, of the folder.
    """

    arguments: tuple[str, ...]
    resumed: tuple[str, ...] = ()
    journal: str = ""
    results: Callable[[Path], Contents] = files_in

    @property
    def name(self) -> str:
        """Of the command."""
        return self.arguments[0]


_EVALUATE = ("evaluate", "none", "dirty-quota", "auto-converge", "--no-baselines", "--suite", "stationary",
             "--count", "4", "--out", "out")  # fmt: skip
_TUNE = ("tune", "tuned-rule", "--suite", "stationary", "--count", "8", "--trials", "9", "--preference", "0.2",
         "--out", "tuned.yaml")  # fmt: skip
_SMALL_TRAINING = ("environment.n_envs=4", "environment.pool_size=8", "environment.max_vcpus=4", "evaluation.count=2",
                   "evaluation.suites=[stationary]", "algorithm.policy.width=8", "training.checkpoint_every=1000",
                   "training.frames=5000", "training.evaluate_every=2000")  # fmt: skip
_TRAIN = ("train", str(RECIPE), "--run-dir", "run", *(part for one in _SMALL_TRAINING for part in ("--set", one)))
COMMANDS = (
    Command(_TRAIN, ("train", "--resume", "run"), "run", what_was_learned),
    Command(_EVALUATE, (*_EVALUATE, "--resume"), ".out.journal"),
    Command(_TUNE, (*_TUNE, "--resume"), ".tuned.yaml.trials"),
    Command(("control", "default", "--suite", "stationary", "--count", "4", "--json")),
    Command(("simulate", "cover-letter:row-02", "--throttle", "dirty-quota", "--trace", "trace.json")),
    Command(("calibrate", "--out", "out")),
)


@dataclass
class Finding:
    """What became of one interruption."""

    moment_s: float
    sent: signal.Signals
    exit_code: int
    came_in_time: bool = False
    anomalies: list[str] = field(default_factory=list)


def run_whole(arguments: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line in a folder to its end."""
    return subprocess.run(
        [*DQGYM, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=DEADLINE_S,
        env=_environment(),
    )  # fmt: skip


class Interrupter:
    """Interrupts one command again and again.

    Args:
        command: what is interrupted; it runs once without, to compare with.
        parent: gets a folder for each run.
    """

    def __init__(self, command: Command, parent: Path) -> None:
        self.command = command
        self._parent = parent
        whole = self._folder("whole")
        began_s = time.monotonic()
        done = run_whole(command.arguments, whole)
        self.lasts_s = time.monotonic() - began_s
        assert done.returncode == 0, done.stderr
        self._results, self._shown = command.results(whole), done.stdout
        self._names = {path.name for path in whole.iterdir()}

    def _folder(self, name: str) -> Path:
        folder = self._parent / f"{self.command.name}-{name}"
        folder.mkdir()
        return folder

    def interrupt(self, number: int, seed: int) -> Finding:
        """Send a signal at a random moment of the command's life, and let it go on."""
        moment_s = random.Random(f"{self.command.name} {number} {seed}").uniform(0.0, self.lasts_s)
        finding = Finding(moment_s, SIGNALS[number % len(SIGNALS)], 0)
        folder = self._folder(str(number))
        process = subprocess.Popen(
            [*DQGYM, *self.command.arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=_environment(), preexec_fn=heed_interrupts,
        )  # fmt: skip
        with process:
            await_own_code(process)
            began_s = time.monotonic()
            try:
                process.wait(moment_s)
                self.lasts_s = min(self.lasts_s, time.monotonic() - began_s)  # the machine has less to do now
            except subprocess.TimeoutExpired:
                process.send_signal(finding.sent)
                finding.came_in_time = True
            shown, said = process.communicate(timeout=DEADLINE_S)
        finding.exit_code = process.returncode
        self._check_end(finding, shown, said, folder)
        if process.returncode != 0:
            self._go_on(finding, folder)
        if self.command.results(folder) != self._results:
            finding.anomalies.append("other results")
        return finding

    def _check_end(self, finding: Finding, shown: str, said: str, folder: Path) -> None:
        if finding.exit_code not in (0, 128 + finding.sent):
            finding.anomalies.append(f"exit code {finding.exit_code}: {said[-300:]}")
        if "Traceback" in said:
            finding.anomalies.append(said[-300:])
        told = [line for line in said.strip().splitlines() if not PROGRESS.fullmatch(line)]
        if finding.exit_code != 0 and len(told) != 1:
            finding.anomalies.append(f"not one line: {said[-300:]}")
        strange = {path.name for path in folder.iterdir()} - self._names - {self.command.journal}
        strange |= {path.name for path in folder.rglob(".*")} - {self.command.journal}
        if strange:
            finding.anomalies.append(f"left: {', '.join(sorted(strange))}")
        if finding.exit_code == 0 and self.command.results is files_in and shown != self._shown:
            finding.anomalies.append("exit code 0, and other output")

    def _go_on(self, finding: Finding, folder: Path) -> None:
        kept = bool(self.command.journal) and (folder / self.command.journal).exists()
        if not kept and self._names <= {path.name for path in folder.iterdir()} and self._names:
            return  # the signal came after the results were stored
        again = run_whole(self.command.resumed if kept else self.command.arguments, folder)
        if again.returncode != 0:
            finding.anomalies.append(f"does not go on: {again.stderr[-300:]}")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT)}


def heed_interrupts() -> None:
    """As in a terminal; a shell's background job ignores Ctrl-C, one under nohup SIGHUP, and so do their children."""
    for number in STOPPING_SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def await_own_code(process: subprocess.Popen[str]) -> None:
    """Until the command handles SIGTERM: before that, the interpreter alone is at work, which ends as it pleases."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
        if caught >> (signal.SIGHUP - 1) & 1:
            return
        time.sleep(0.001)


def main() -> None:
    """Interrupt every command, and print what came of it."""
    times, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print(f"{'command':10} {'lasts':>7} {'interrupts':>10}  exit codes; anomalies")
    with tempfile.TemporaryDirectory() as parent:
        for command in COMMANDS:
            interrupter = Interrupter(command, Path(parent))
            findings = [interrupter.interrupt(number, seed) for number in range(times)]
            codes = Counter(finding.exit_code for finding in findings)
            shown = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
            anomalies = [
                f"{one.sent.name} at {one.moment_s:.2f} s: {one.anomalies}" for one in findings if one.anomalies
            ]
            sent = sum(finding.came_in_time for finding in findings)
            print(f"{command.name:10} {interrupter.lasts_s:5.1f} s {sent:10}  {shown}; {len(anomalies)}", flush=True)
            for anomaly in anomalies:
                print(f"    {anomaly}", flush=True)


if __name__ == "__main__":
    main()
