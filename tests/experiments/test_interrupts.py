"""Commands that are stopped at any moment leave nothing half-written, and go on to the same results."""

import signal
import subprocess

import pytest

from tests.interrupts import COMMANDS, DQGYM, Interrupter, await_own_code, heed_interrupts

SHORT = [command for command in COMMANDS if command.name != "calibrate"]
"""Calibrate takes long, and ``test_calibrate`` interrupts it; ``python -m tests.interrupts`` has all."""


@pytest.mark.slow
@pytest.mark.parametrize("command", SHORT, ids=lambda command: command.name)
def test_a_command_that_is_stopped_at_any_moment_ends_well_and_goes_on(command, tmp_path, request):
    interrupter = Interrupter(command, tmp_path)
    for number in range(request.config.getoption("--interrupts")):
        finding = interrupter.interrupt(number, seed=1)
        assert not finding.anomalies, finding


@pytest.mark.slow
def test_help_that_is_stopped_is_stopped(tmp_path):
    """It runs no command, but imports much."""
    codes = set()
    for delay_s in (0.0, 0.05, 0.1, 0.2, 0.4):
        with subprocess.Popen([*DQGYM, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=heed_interrupts) as process:  # fmt: skip
            await_own_code(process)
            try:
                process.wait(delay_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        assert (process.returncode, said) in ((0, ""), (130, "interrupted\n"))
        codes.add(process.returncode)
    assert 130 in codes
