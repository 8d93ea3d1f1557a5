"""Run directories from strangers and damaged ones: nothing is executed, and every error is the project's own."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.save_util import load_from_zip_file
from typer.testing import CliRunner

from agents.algorithms.algorithms import load_algorithm, make_algorithm
from agents.storage.checkpoints import replay_buffer_path, save_checkpoint
from agents.storage.model_files import read_model
from agents.vec_env import Sb3VecEnv
from dqgym.errors import BadInputError, DqgymError
from experiments.bundles.export import export_run
from experiments.cli.app import app
from experiments.runs.run_directory import RunDirectory
from experiments.runs.trained_policy import load_trained_policy
from experiments.training.training import start_algorithm
from tests.agents.conftest import small_config
from tests.agents.fakes import FakeMigrationVectorEnv
from tests.experiments.hostile import pickled, plant_in_data, plant_in_tensors, read_members, write_members
from tests.experiments.made_runs import config, make_run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(make_run(tmp_path / "run", "per-vcpu"))


@pytest.fixture(scope="module")
def sac_checkpoint(tmp_path_factory) -> Path:
    env = Sb3VecEnv(FakeMigrationVectorEnv(8))
    algorithm = make_algorithm(small_config("sac", "per-vcpu"), env, seed=1).learn(128)
    return save_checkpoint(algorithm, tmp_path_factory.mktemp("sac"), keep=1)


@pytest.fixture
def sac(sac_checkpoint: Path, tmp_path: Path) -> Path:
    shutil.copytree(sac_checkpoint.parent, tmp_path / "sac")
    return tmp_path / "sac" / sac_checkpoint.name


def resumed(checkpoint: Path, **keywords):
    return load_algorithm(
        small_config("sac", "per-vcpu"), checkpoint, Sb3VecEnv(FakeMigrationVectorEnv(8)), seed=1, **keywords
    )


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


COMMANDS = {
    "evaluate": ("evaluate", "RUN", "--suite", "stationary", "--count", "1"),
    "export": ("export", "RUN", "--observations", "1"),
    "simulate": ("simulate", "mixed.yaml", "--throttle", "RUN"),
    "resume": ("train", "--resume", "RUN"),
}


def test_the_planted_pickles_do_execute_where_they_are_unpickled(run, tmp_path) -> None:
    plant_in_data(run.best_model_path, tmp_path / "executed")
    load_from_zip_file(run.best_model_path)
    assert (tmp_path / "executed").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "export", "simulate"])
def test_no_command_executes_what_lies_in_the_data_of_a_model(run, tmp_path, command) -> None:
    plant_in_data(run.best_model_path, tmp_path / "executed")
    scenario = Path(__file__).parents[2] / "configs" / "scenarios" / "mixed.yaml"
    replaced = {"RUN": run.path, "mixed.yaml": scenario}
    result = invoke(*(replaced.get(word, word) for word in COMMANDS[command]))
    assert result.exit_code == 0, result.output  # the weights are as they were
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "export", "simulate", "resume"])
def test_no_command_executes_what_lies_among_the_weights(run, tmp_path, command) -> None:
    plant_in_data(run.best_model_path, tmp_path / "executed")
    for name in ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth"):
        plant_in_tensors(run.best_model_path, name, tmp_path / "executed")
    shutil.copy(run.best_model_path, run.checkpoints_path / "checkpoint-000000000064.zip")
    scenario = Path(__file__).parents[2] / "configs" / "scenarios" / "mixed.yaml"
    replaced = {"RUN": run.path, "mixed.yaml": scenario}
    result = invoke(*(replaced.get(word, word) for word in COMMANDS[command]))
    assert result.exit_code == 2, result.output
    assert "must hold tensors and numbers alone" in result.output.replace("\n", " ")
    assert not (tmp_path / "executed").exists()


def test_a_resumed_training_takes_weights_moments_and_counts_without_executing_anything(sac, tmp_path) -> None:
    whole = resumed(sac)
    plant_in_data(sac, tmp_path / "executed")
    again = resumed(sac)
    assert not (tmp_path / "executed").exists()
    assert again.num_timesteps == 128
    assert again._n_updates == whole._n_updates > 0
    assert torch.equal(again.log_ent_coef, whole.log_ent_coef)
    assert again.log_ent_coef.item() != 0.0
    np.testing.assert_array_equal(again.replay_buffer.rewards, whole.replay_buffer.rewards)
    assert again.replay_buffer.pos == whole.replay_buffer.pos == 128 // 8


@pytest.mark.parametrize("name", ["actor.optimizer.pth", "ent_coef_optimizer.pth", "pytorch_variables.pth"])
def test_hostile_optimisers_are_refused(sac, tmp_path, name) -> None:
    plant_in_tensors(sac, name, tmp_path / "executed")
    with pytest.raises(BadInputError, match=f"{name} must hold tensors"):
        resumed(sac)
    assert not (tmp_path / "executed").exists()


def test_a_pickle_in_the_place_of_the_replay_buffer_is_not_read(sac, tmp_path) -> None:
    replay_buffer_path(sac).write_bytes(pickled(tmp_path / "executed"))
    with pytest.raises(BadInputError, match=r"replay_buffer\.npz is damaged"):
        resumed(sac)
    arrays = io.BytesIO()
    np.savez(arrays, position=np.array([{}, None], dtype=object))
    replay_buffer_path(sac).write_bytes(arrays.getvalue())
    with pytest.raises(BadInputError, match="position is object"):
        resumed(sac)
    assert not (tmp_path / "executed").exists()


def test_a_pipe_in_the_place_of_the_replay_buffer_is_refused_without_waiting(sac) -> None:
    replay_buffer_path(sac).unlink()
    os.mkfifo(replay_buffer_path(sac))
    with pytest.raises(BadInputError, match=r"replay_buffer\.npz is damaged.*is a pipe"):
        resumed(sac)


def test_a_pickled_replay_buffer_of_an_earlier_version_is_read_with_trust_alone(sac, tmp_path) -> None:
    whole = resumed(sac)
    replay_buffer_path(sac).unlink()
    whole.save_replay_buffer(sac.with_name("replay_buffer.pkl"))
    with pytest.raises(BadInputError, match="add --trust"):
        resumed(sac)
    assert resumed(sac, trust=True).replay_buffer.size() == whole.replay_buffer.size() > 0
    sac.with_name("replay_buffer.pkl").write_bytes(pickled(tmp_path / "executed"))
    with pytest.raises(BadInputError, match="add --trust"):
        resumed(sac)
    assert not (tmp_path / "executed").exists()


def test_trust_goes_with_resume_alone(tmp_path) -> None:
    result = invoke("train", "quickstart.yaml", "--trust")
    assert result.exit_code == 2
    assert "--trust goes with --resume" in result.output


def test_users_of_stable_baselines3_can_still_load_a_model(run) -> None:
    assert PPO.load(run.best_model_path, device="cpu").policy.network.width == 16


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Truncated, flipped or replaced by next to nothing."""
    match rng.integers(4):
        case 0:
            return content[: rng.integers(len(content))]
        case 1:
            flipped = bytearray(content)
            for index in rng.integers(len(content), size=3):
                flipped[index] ^= 1 << rng.integers(8)
            return bytes(flipped)
        case 2:
            return bytes(rng.choice([b"", b"{}", b"[]", b"null", b"\xff\xfe", b"1"]))
        case _:
            cut = rng.integers(len(content))
            return content[:cut] + content[cut + rng.integers(1, 9) :]


def damage_member(model: Path, rng: np.random.Generator) -> None:
    """Damage one member of a zip that stays a valid zip, or drop it."""
    members = read_members(model)
    name = str(rng.choice(list(members)))
    content = members.pop(name)
    if rng.random() < 0.7:
        empty = io.BytesIO()
        torch.save([{}, {"state": {0: {}}}, {"a": 1}, None, torch.zeros(2)][rng.integers(5)], empty)
        members[name] = empty.getvalue() if name.endswith(".pth") and rng.random() < 0.5 else damaged(content, rng)
    write_members(model, members)


def use(run: RunDirectory, checkpoint: Path, env: Sb3VecEnv) -> None:
    """What commands read of a run."""
    run.read_meta()
    run.read_evaluation()
    load_trained_policy(run)
    load_algorithm(config("per-vcpu").algorithm, checkpoint, env, seed=3)


@pytest.mark.slow
def test_damaged_files_end_in_our_own_errors_alone(run, tmp_path) -> None:
    env = Sb3VecEnv(FakeMigrationVectorEnv(2))
    checkpoint = run.checkpoints_path / "checkpoint-000000000064.zip"
    shutil.copy(run.best_model_path, checkpoint)
    use(run, checkpoint, env)
    files = [run.best_model_path, checkpoint, run.config_path, run.meta_path, run.evaluation_path]
    rng = np.random.default_rng(5)
    said: list[tuple[str, str]] = []
    for _ in range(200):
        path = files[rng.integers(len(files))]
        whole = path.read_bytes()
        if path.suffix == ".zip" and rng.random() < 0.6:
            damage_member(path, rng)
        else:
            path.write_bytes(damaged(whole, rng))
        try:
            use(run, checkpoint, env)
        except DqgymError as error:
            said.append((path.name, str(error)))
        path.write_bytes(whole)
    assert len(said) > 120
    unnamed = [(name, message) for name, message in said if name not in message and name != "config.yaml"]
    assert not unnamed


@pytest.mark.parametrize("name", ["meta.json", "evaluation.json", "config.yaml", "best_model.zip"])
def test_a_damaged_file_is_named(run, name) -> None:
    (run.path / name).write_bytes(b"{}")
    with pytest.raises(DqgymError, match=name.replace(".", r"\.")):
        use(run, run.best_model_path, Sb3VecEnv(FakeMigrationVectorEnv(2)))


def test_weights_that_are_not_finite_are_refused(run) -> None:
    weights = read_model(run.best_model_path).states["policy"]
    weights["log_sd_over_floor"].fill_(float("nan"))
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    write_members(run.best_model_path, read_members(run.best_model_path) | {"policy.pth": buffer.getvalue()})
    with pytest.raises(BadInputError, match=r"best_model\.zip cannot be used: its weights are not finite"):
        export_run(run.path)


def test_a_resumed_run_goes_on_from_the_last_whole_checkpoint_and_says_so(run, capsys) -> None:
    env = Sb3VecEnv(FakeMigrationVectorEnv(2))
    shutil.copy(run.best_model_path, run.checkpoints_path / "checkpoint-000000000032.zip")
    broken = run.checkpoints_path / "checkpoint-000000000064.zip"
    broken.write_bytes(b"half")
    algorithm = start_algorithm(config("per-vcpu"), run, env, trust=False)
    expected = read_model(run.best_model_path).states["policy"]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in algorithm.policy.state_dict().items())
    said = capsys.readouterr().err
    assert f"{broken} is damaged" in said
    assert "going on from checkpoint-000000000032.zip" in said

    for path in run.checkpoints_path.iterdir():
        path.write_bytes(b"half")
    with pytest.raises(BadInputError, match=r"(?s)000064\.zip is damaged.*000032\.zip is damaged"):
        start_algorithm(config("per-vcpu"), run, env, trust=False)
