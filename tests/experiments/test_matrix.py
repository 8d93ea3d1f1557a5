"""Every command on every backend under every kind of throttle, on a suite whose guests differ in their vCPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dqgym.backends.kvm.host.probe import kvm_problem
from dqgym.model.parameters import DEFAULT_FILE
from dqgym.scenario import ConstantLink, DirtyLog, Limits, Scenario, VcpuGroup, VirtualMachine
from dqgym.scenario.suites import FixedSuite, registry
from dqgym.telemetry.encoder import Encoder
from experiments.cli.app import app
from tests.controller import bundle_maker

MIB = 2**20
WIDTHS = {"one": 1, "two": 2, "four": 4}
"""vCPUs of each scenario of the suite."""
SLOTS = 8
"""Of the policy with a fixed number of them (one that training makes): more than any guest has."""
RULE = "tuned-rule"
needs_kvm = pytest.mark.skipif(kvm_problem() is not None, reason=str(kvm_problem()))
backends = pytest.mark.parametrize("backend", ["model", "reference", pytest.param("kvm", marks=needs_kvm)])
policies = pytest.mark.parametrize("policy", ["per-vcpu", "mlp"])


def tiny(name: str, vcpus: int) -> Scenario:
    """A migration of half a second: one writer, and vCPUs that only read."""
    writer = VcpuGroup(vcpus=1, pattern="uniform", working_set_bytes=4 * MIB, write_rate_bytes_per_s=10.0 * MIB)
    readers = (VcpuGroup(vcpus=vcpus - 1, pattern="read-only"),) if vcpus > 1 else ()
    return Scenario(
        name=name,
        vm=VirtualMachine(memory_bytes=32 * MIB),
        workload=(writer, *readers),
        link=ConstantLink(bandwidth_bytes_per_s=80.0 * MIB),
        limits=Limits(downtime_s=0.1),
        dirty_log=DirtyLog(ring_entries=256),
    )


@pytest.fixture(autouse=True)
def mixed_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = FixedSuite("widths", "Guests of 1, 2 and 4 vCPUs.", lambda: tuple(tiny(*each) for each in WIDTHS.items()))
    monkeypatch.setattr(registry.SUITES, "shipped", {**registry.SUITES.shipped, suite.name: suite})


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    fixed = {
        "vcpus": {"low": 1, "high": SLOTS, "slots": SLOTS},
        "observation": {**Encoder(SLOTS).spec(), "vcpu_slots": SLOTS},
        "name": "mlp",
    }
    return {
        "per-vcpu": bundle_maker.write(folder / "per-vcpu", name="per-vcpu"),
        "mlp": bundle_maker.write(folder / "mlp", **fixed),
    }


def run(*arguments: object) -> dict:
    """What the command prints as JSON."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)


@pytest.mark.slow
@backends
@policies
def test_control(backend, policy, bundles):
    report = run("control", bundles[policy], "--backend", backend, "--suite", "widths")
    migrations = report["migrations"]
    assert [one["scenario"] for one in migrations] == list(WIDTHS)
    assert [(one["converged"], one["takeovers"]) for one in migrations] == [(True, [])] * len(WIDTHS)
    assert all(0.0 < one["worst_vcpu_runtime"] <= one["guest_runtime"] <= 1.0 for one in migrations)


@pytest.mark.slow
@backends
def test_control_by_the_fallback_of_a_bundle_that_is_missing(backend, tmp_path):
    report = run(
        "control", tmp_path / "nowhere", "--backend", backend, "--suite", "widths", "--fallback", RULE,
        "--fallback-on-error",
    )  # fmt: skip
    assert report["throttle"] == RULE
    assert [one["converged"] for one in report["migrations"]] == [True] * len(WIDTHS)


@pytest.mark.slow
@backends
def test_evaluate_then_read_what_it_wrote(backend, bundles, tmp_path):
    throttles = [*bundles.values(), RULE]
    out = tmp_path / "out"
    document = run(
        "evaluate", *throttles, "--no-baselines", "--backend", backend, "--suite", "widths", "--preference", 0.2,
        "--out", out,
    )  # fmt: skip
    widths = {name: [] for name in (*bundles, RULE)}
    for row in document["rows"]:
        assert row["converged"], row
        widths[row["throttle"]].append(len(row["guest_runtime_per_vcpu"]))
    assert widths == {name: list(WIDTHS.values()) for name in widths}
    assert document["takeovers"] == []

    duel = run("compare", "mlp", RULE, "--from", out)
    assert duel["standings"][0]["migrations"] == len(WIDTHS)
    page = tmp_path / "page.md"
    assert CliRunner().invoke(app, ["results", str(page), "--from", str(out)]).exit_code == 0
    assert "widths" in page.read_text()
    if backend == "kvm":
        beside = run(
            "calibrate", "--backend", "kvm", "--results", out, "--policy", bundles["per-vcpu"], "--policy",
            bundles["mlp"], "--parameters", DEFAULT_FILE, "--out", tmp_path / "host",
        )  # fmt: skip
        assert len(beside["pairs"]) == len(WIDTHS) * len(throttles)


@pytest.mark.slow
@backends
@pytest.mark.parametrize("throttle", ["per-vcpu", "mlp", RULE])
def test_migrate_the_widest(backend, throttle, bundles):
    outcome = run("migrate", "widths:four", "--backend", backend, "--throttle", bundles.get(throttle, throttle))
    assert outcome["converged"] is True
    assert len(outcome["guest_runtime_per_vcpu"]) == WIDTHS["four"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("throttle", "scenario"),  # the model is compiled for each number of slots: as few of them as will do
    [("per-vcpu", "four"), ("mlp", "one"), ("mlp", "two"), ("mlp", "four"), (RULE, "four"), ("oracle", "four")],
)
def test_simulate(scenario, throttle, bundles):
    outcome = run("simulate", f"widths:{scenario}", "--throttle", bundles.get(throttle, throttle))
    assert outcome["converged"] is True
    assert len(outcome["guest_runtime_per_vcpu"]) == WIDTHS[scenario]


@pytest.mark.slow
def test_compare_runs_both_on_the_model(bundles):
    duel = run("compare", bundles["per-vcpu"], bundles["mlp"], "--suite", "widths", "--preference", 0.2)
    assert duel["standings"][0]["migrations"] == len(WIDTHS)
    assert duel["standings"][0]["mean_ratio"] == pytest.approx([1.0] * 3)  # one and the same policy


def test_tune_a_rule(tmp_path):
    out = tmp_path / "tuned.yaml"
    result = CliRunner().invoke(
        app,
        ["tune", "dirty-quota", "--suite", "widths", "--count", "3", "--trials", "2", "--preference", "0.2",
         "--out", str(out)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "dirty-quota" in out.read_text()


@needs_kvm
def test_the_oracle_says_that_it_knows_no_real_guest():
    for arguments in (
        ["migrate", "widths:one", "--throttle", "oracle"],
        ["evaluate", "oracle", "--no-baselines", "--backend", "kvm", "--suite", "widths"],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2
        assert "throttle 'oracle' knows the future of the model's migrations: it runs with --backend model" in (
            result.stderr
        )
