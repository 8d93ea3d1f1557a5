"""``dqgym migrate``, ``receive``, and the other commands on real virtual machines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dqgym.backends.kvm.host import probe
from dqgym.backends.kvm.host.probe import KvmUnavailableError, kvm_problem
from dqgym.errors import BadInputError
from dqgym.scenario import ConstantLink, DirtyLog, Limits, Scenario, VcpuGroup, VirtualMachine, save_scenario
from experiments.cli.app import app
from experiments.evaluation.backend_sources import parse_address

MIB = 2**20
needs_kvm = pytest.mark.skipif(kvm_problem() is not None, reason=str(kvm_problem()))


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def small(tmp_path):
    """A scenario of about two seconds."""
    path = tmp_path / "small.yaml"
    writer = VcpuGroup(vcpus=1, pattern="uniform", working_set_bytes=16 * MIB, write_rate_bytes_per_s=20.0 * MIB)
    scenario = Scenario(
        name="small",
        vm=VirtualMachine(memory_bytes=64 * MIB),
        workload=(writer, VcpuGroup(vcpus=1, pattern="read-only")),
        link=ConstantLink(bandwidth_bytes_per_s=60.0 * MIB),
        limits=Limits(downtime_s=0.1),
        dirty_log=DirtyLog(ring_entries=256),
    )
    save_scenario(scenario, path)
    return path


@pytest.mark.slow
@needs_kvm
def test_the_result_of_a_real_migration_has_its_proof(small, tmp_path):
    trace = tmp_path / "trace.json"
    result = run("migrate", small, "--json", "--trace", trace)
    assert result.exit_code == 0, result.stderr
    outcome = json.loads(result.stdout)
    assert outcome["converged"] is True
    assert outcome["ending"] == "converged"
    assert len(outcome["proof"]["memory_hash"]) == 32
    assert outcome["proof"]["stores"] > outcome["proof"]["stores_at_destination"] > 0
    assert len(outcome["progress_per_vcpu"]) == 2
    assert json.loads(trace.read_text())["time_s"][-1] == pytest.approx(outcome["total_time_s"])


@pytest.mark.slow
@needs_kvm
def test_the_panel_says_what_was_proven(small):
    result = run("migrate", small, "--throttle", "none")
    assert "small under none" in result.stdout
    assert "memory identical" in result.stdout
    assert "stores exactly once" in result.stdout


@pytest.mark.slow
@needs_kvm
def test_a_policy_controls_a_real_guest(small, per_vcpu_bundle):
    result = run("control", per_vcpu_bundle, "--backend", "kvm", "--scenario", small, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["backend"] == "kvm"
    assert [one["converged"] for one in report["migrations"]] == [True]


@pytest.mark.slow
@needs_kvm
def test_throttles_are_compared_on_real_guests_one_after_another(tmp_path):
    out = tmp_path / "results"
    result = run(
        "evaluate", "dirty-quota", "--no-baselines", "--backend", "kvm", "--suite", "kvm-lab", "--count", 1,
        "--repeat", 2, "--out", out, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    rows = [row for row in json.loads(result.stdout)["rows"] if row["preference"] == 0.2]
    assert [(row["scenario"], row["seed"]) for row in rows] == [("quiet-guest", 0), ("quiet-guest", 1)]
    assert all(row["converged"] and len(row["guest_runtime_per_vcpu"]) == 3 for row in rows)

    compared = run("calibrate", "--backend", "kvm", "--results", out, "--parameters", _default_parameters(), "--json",
                   "--out", tmp_path / "host")  # fmt: skip
    assert compared.exit_code == 0, compared.stderr
    pairs = json.loads(compared.stdout)["pairs"]
    assert {pair["scenario"] for pair in pairs} == {"quiet-guest"}
    assert all(abs(pair["time_error"]) < 0.2 for pair in pairs)


@pytest.mark.slow
@needs_kvm
def test_another_process_receives_what_is_sent_to_its_address(small):
    command = [sys.executable, "-m", "experiments.cli.entry", "receive", "--listen", "127.0.0.1:0", "--once"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        address = receiver.stdout.readline().removeprefix("listening on ").strip()
        sent = run("migrate", small, "--destination", address, "--json")
        assert sent.exit_code == 0, sent.stderr
        assert json.loads(sent.stdout)["ending"] == "converged"
        assert "small: the guest ran here" in receiver.stdout.read()
    assert receiver.returncode == 0


@pytest.mark.slow
@needs_kvm
def test_a_destination_that_does_not_listen_is_one_message(small):
    result = run("migrate", small, "--destination", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "cannot connect to 127.0.0.1:1" in result.stderr
    assert result.stdout == ""


@needs_kvm
def test_a_scenario_that_is_too_large_is_refused_with_the_way_out():
    result = run("migrate", "cover-letter:row-01")
    assert result.exit_code == 2
    assert "vm.memory: 8 GB" in result.stderr
    assert "--scale" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["migrate", "kvm-lab:quiet-guest"],
        ["evaluate", "none", "--backend", "kvm", "--suite", "kvm-lab"],
        ["control", "BUNDLE", "--backend", "kvm", "--suite", "kvm-lab"],
        ["receive"],
        ["calibrate", "--backend", "kvm"],
    ],
)
def test_without_kvm_every_command_says_so_in_one_line_with_the_remedy(arguments, monkeypatch, per_vcpu_bundle):
    problem = "/dev/kvm is missing: load the module (sudo modprobe kvm_amd)"

    def refuse(kernel=None):
        raise KvmUnavailableError(problem)

    monkeypatch.setattr(probe, "require_kvm", refuse)
    result = run(*(per_vcpu_bundle if each == "BUNDLE" else each for each in arguments))
    assert result.exit_code == 1
    assert result.stderr.strip() == f"error: {problem}"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["migrate", "kvm-lab:quiet-gest"], "did you mean 'quiet-guest'?"),
        (["migrate", "kvm-lab:quiet-guest", "--backend", "kmv"], "unknown backend 'kmv' (did you mean 'kvm'?)"),
        (
            ["migrate", "kvm-lab:quiet-guest", "--backend", "model", "--destination", "a:1"],
            "--destination goes with --backend kvm, not with 'model'",
        ),
        (["receive", "--listen", "here"], "'here' must be HOST:PORT"),
        (["calibrate", "--backend", "qemu"], "unknown backend 'qemu'"),
        (["calibrate", "--results", "x"], "--results and --policy go with --backend kvm"),
        (["calibrate", "--backend", "kvm", "--fit"], "go with --backend model"),
        (["calibrate", "--backend", "kvm", "--results", "nowhere"], "nowhere: has neither results.csv"),
    ],
)
def test_bad_input_is_one_message(arguments, message, monkeypatch):
    monkeypatch.setattr(probe, "require_kvm", lambda kernel=None: None)
    result = run(*arguments)
    assert result.exit_code == 2, result.stderr
    assert message in result.stderr


def test_migrate_on_the_model_is_simulate():
    migrated = run("migrate", "kvm-lab:quiet-guest", "--backend", "model", "--json")
    assert migrated.stdout == run("simulate", "kvm-lab:quiet-guest", "--json").stdout


def test_addresses_are_host_and_port():
    assert parse_address("10.0.0.2:4444") == ("10.0.0.2", 4444)
    assert parse_address("[::1]:80") == ("::1", 80)
    for bad in ("host", ":1", "host:", "host:x", "host:70000"):
        with pytest.raises(BadInputError, match="HOST:PORT"):
            parse_address(bad)


def _default_parameters() -> Path:
    from dqgym.model.parameters import DEFAULT_FILE

    return DEFAULT_FILE
