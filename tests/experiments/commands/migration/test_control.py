from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dqgym.arrays import Float32Array
from dqgym.backends.model import ModelBackend
from dqgym.controller.bundle import BundleError
from dqgym.controller.guard import Guard
from dqgym.controller.loop import run_migrations
from dqgym.errors import BadInputError
from dqgym.scenario import Scenario, save_scenario
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.action import ActionSpec
from dqgym.throttles.registry import make_throttle
from experiments.bundles.export import export_run
from experiments.cli.app import app
from experiments.evaluation.control import ControlOptions, control
from experiments.evaluation.evaluation import Task, evaluate
from experiments.evaluation.throttle_sources import throttle_source
from experiments.runs.run_directory import RunDirectory
from experiments.runs.trained_policy import load_trained_policy
from tests.controller import bundle_maker
from tests.experiments.made_runs import MLP_SLOTS, make_run

PREFERENCE = 0.6
SEED = 11


@pytest.fixture(scope="module")
def scenarios() -> list[Scenario]:
    return get_suite("mixed").scenarios(6, SEED)


@pytest.fixture
def broken_bundle(per_vcpu_bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "broken"
    shutil.copytree(per_vcpu_bundle, path)
    content = bytearray((path / "policy.onnx").read_bytes())
    content[-1] ^= 1
    (path / "policy.onnx").write_bytes(content)
    return path


def dqgym(*arguments: object, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, in which importing ``without`` raises."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(',')))\n"
        "from experiments.cli.entry import main; main()"
    )
    command = [sys.executable, "-c", code, ",".join(without) or "nothing", *map(os.fspath, map(str, arguments))]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_control_without_torch_gives_the_outcomes_of_evaluate_on_the_trained_model(
    per_vcpu_run: Path, per_vcpu_bundle: Path, scenarios: list[Scenario]
) -> None:
    task = Task("mixed", tuple(scenarios), tuple(range(SEED, SEED + len(scenarios))))
    evaluation = evaluate(
        [throttle_source(str(per_vcpu_run))],
        [task],
        [PREFERENCE],
        lambda slots: ModelBackend(vcpu_slots=slots),
        lambda *_: None,
    )

    result = dqgym(
        *("control", per_vcpu_bundle, "--suite", "mixed", "--count", len(scenarios), "--seed", SEED),
        *("--preference", PREFERENCE, "--json"),
        without=("torch", "stable_baselines3"),
    )

    assert result.returncode == 0, result.stderr
    migrations = json.loads(result.stdout)["migrations"]
    assert [one["scenario"] for one in migrations] == [row.scenario for row in evaluation.rows]
    for one, row in zip(migrations, evaluation.rows, strict=True):
        assert (one["converged"], one["rounds"]) == (row.converged, row.rounds)
        for name in ("total_time_s", "time_over_t0", "guest_runtime", "worst_vcpu_runtime"):
            assert one[name] == pytest.approx(getattr(row, name), rel=1e-4), name


@pytest.mark.slow
def test_control_takes_the_actions_of_the_trained_model(
    per_vcpu_run: Path, per_vcpu_bundle: Path, scenarios: list[Scenario]
) -> None:
    policy = load_trained_policy(RunDirectory.open(per_vcpu_run))
    commanded: list[list[Float32Array]] = [[], []]

    throttle = Guard(policy.throttle(PREFERENCE), make_throttle("dirty-quota"))
    with closing(ModelBackend()) as backend:
        run_migrations(
            backend,
            scenarios,
            throttle,
            range(SEED, SEED + len(scenarios)),
            lambda _, command, __: commanded[0].append(command.dirty_limit_bytes_per_s),
        )
    control(
        per_vcpu_bundle,
        scenarios,
        ControlOptions(preference=PREFERENCE, seed=SEED),
        observer=lambda _, command, __: commanded[1].append(command.dirty_limit_bytes_per_s),
    )

    trained, exported = map(np.array, commanded)
    limited = np.isfinite(trained)
    assert limited.mean() > 0.01
    np.testing.assert_array_equal(np.isfinite(exported), limited)
    lowest, highest = ActionSpec().log_range
    actions_apart = 2 / (highest - lowest) * np.abs(np.log(exported[limited]) - np.log(trained[limited]))
    assert actions_apart.max() < 1e-5


@pytest.mark.slow
def test_a_policy_with_a_fixed_number_of_slots_controls_smaller_machines(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "mlp")
    smaller = [one for one in get_suite("mixed").scenarios(8, SEED, MLP_SLOTS) if one.vcpus < MLP_SLOTS]
    throttle = load_trained_policy(RunDirectory.open(run)).throttle(PREFERENCE)
    with closing(ModelBackend(vcpu_slots=MLP_SLOTS)) as backend:
        outcomes = run_migrations(
            backend, smaller, Guard(throttle, make_throttle("dirty-quota")), range(SEED, SEED + len(smaller))
        )

    report = control(export_run(run, observations=5), smaller, ControlOptions(preference=PREFERENCE, seed=SEED))

    assert not any("policy failed" in reason for one in report.migrations for reason in one.takeovers)
    assert [one.total_time_s for one in report.migrations] == pytest.approx(outcomes.total_time_s.tolist(), rel=1e-4)


@pytest.mark.slow
def test_a_wrong_checksum_ends_with_a_message_and_an_exit_code(broken_bundle: Path) -> None:
    result = dqgym("control", broken_bundle, "--suite", "cover-letter")

    assert (result.returncode, result.stdout) == (2, "")
    assert f"policy bundle {broken_bundle}: policy.onnx: SHA-256 is" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_an_invalid_bundle_can_hand_over_to_the_fallback_with_the_reason_recorded(
    broken_bundle: Path, scenarios: list[Scenario]
) -> None:
    options = ControlOptions(seed=SEED, fallback="stop-and-copy", fallback_on_error=True)
    report = control(broken_bundle, scenarios, options)

    with closing(ModelBackend()) as backend:
        outcomes = run_migrations(
            backend, scenarios, make_throttle("stop-and-copy"), range(SEED, SEED + len(scenarios))
        )
    assert (report.throttle, report.fallback) == ("stop-and-copy", "stop-and-copy")
    assert report.fallback_reason is not None
    assert "policy.onnx: SHA-256 is" in report.fallback_reason
    assert [one.total_time_s for one in report.migrations] == outcomes.total_time_s.tolist()


@pytest.mark.slow
def test_without_that_an_invalid_bundle_is_an_error(broken_bundle: Path, scenarios: list[Scenario]) -> None:
    with pytest.raises(BundleError, match="SHA-256"):
        control(broken_bundle, scenarios)


def test_the_guard_takes_over_from_a_policy_that_says_nan(tmp_path: Path, scenarios: list[Scenario]) -> None:
    faulty = bundle_maker.write(tmp_path / "faulty", content=bundle_maker.network(gain=float("nan")))

    served = [one for one in scenarios if one.vcpus <= bundle_maker.MOST_VCPUS]
    report = control(faulty, served, ControlOptions(seed=SEED))

    assert report.fallback_reason is None
    assert all(one.converged for one in report.migrations)
    assert all(len(one.takeovers) == 1 for one in report.migrations)
    assert all(reason.startswith("invalid command at 0 s") for one in report.migrations for reason in one.takeovers)


def test_a_scenario_with_more_vcpus_than_the_policy_serves_is_refused(
    tmp_path: Path, scenarios: list[Scenario]
) -> None:
    narrow = bundle_maker.write(tmp_path / "narrow", vcpus={"low": 1, "high": 1, "slots": None})
    wide = next(one for one in scenarios if one.vcpus > 1)

    with pytest.raises(
        BadInputError, match=rf"'{wide.name}' has {wide.vcpus} vCPUs, policy 'hand-made' serves 1 \.\. 1"
    ):
        control(narrow, [wide])


@pytest.mark.slow
def test_a_scenario_file_gives_a_table(per_vcpu_bundle: Path, tmp_path: Path, scenarios: list[Scenario]) -> None:
    save_scenario(scenarios[0], tmp_path / "one.yaml")

    result = dqgym("control", per_vcpu_bundle, "--scenario", tmp_path / "one.yaml")

    assert result.returncode == 0, result.stderr
    assert "untrained-per-vcpu on model, preference 0.2" in result.stdout
    assert scenarios[0].name in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either --suite or --scenario"),
        (["--suite", "mixed", "--scenario", "x.yaml"], "name either --suite or --scenario"),
        (["--suite", "miked"], "unknown suite 'miked' (did you mean 'mixed'?)"),
        (["--suite", "mixed", "--backend", "modle"], "unknown backend 'modle' (did you mean 'model'?)"),
        (["--suite", "mixed", "--preference", "7"], "preference=7.0: the policy was trained for 0.1 .. 1.0"),
        (["--suite", "mixed", "--fallback", "dirty-qouta"], "did you mean 'dirty-quota'?"),
    ],
)
def test_bad_input_is_one_message(per_vcpu_bundle: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["control", str(per_vcpu_bundle), *arguments])

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
