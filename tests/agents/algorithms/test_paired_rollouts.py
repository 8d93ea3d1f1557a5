"""Policy gradients from pairs of migrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from pydantic import ValidationError
from stable_baselines3.common.callbacks import BaseCallback

from agents.actor import load_actor
from agents.algorithms.algorithms import load_algorithm, make_algorithm
from agents.algorithms.callbacks import CheckpointCallback
from agents.algorithms.paired_rollouts import PairedRollouts, Rollout
from agents.algorithms.training import train
from agents.config import PairedConfig, PolicyConfig
from agents.storage.checkpoints import save_algorithm
from agents.vec_env import Sb3VecEnv, typical_cost
from dqgym.envs import MigrationVectorEnv

CONFIG = PairedConfig(policy=PolicyConfig(width=16))


def env_of(n: int = 16, **keywords) -> Sb3VecEnv:
    keywords = {"suite": "stationary", "pool_size": 16, "max_vcpus": 4, **keywords}
    return Sb3VecEnv(MigrationVectorEnv(n, autoreset_mode=AutoresetMode.SAME_STEP, **keywords), typical_cost)


def made(seed: int = 1, **keywords) -> PairedRollouts:
    algorithm = make_algorithm(CONFIG, env_of(**keywords), seed)
    assert isinstance(algorithm, PairedRollouts)
    return algorithm


def weights(algorithm: PairedRollouts) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in algorithm.policy.state_dict().values()]


def equal(one: PairedRollouts, other: PairedRollouts) -> bool:
    return all(map(torch.equal, weights(one), weights(other)))


def rollout_of(algorithm: PairedRollouts) -> Rollout:
    """The first rollout of a training."""
    kept: list[Rollout] = []
    algorithm._update = lambda rollout, rng: kept.append(rollout)  # type: ignore[method-assign]
    algorithm.learn(1)
    return kept[0]


@pytest.mark.slow
def test_the_two_of_a_pair_are_the_same_migration_with_opposite_deviations() -> None:
    rollout = rollout_of(made())
    first = rollout.observations[:16]  # the first decisions of all
    assert rollout.migration[:16].tolist() == list(range(16))
    np.testing.assert_array_equal(first[:8], first[8:])
    assert len(np.unique(first[:8], axis=0)) > 4
    np.testing.assert_array_equal(rollout.deviations[:8], -rollout.deviations[8:16])


@pytest.mark.slow
def test_costs_are_those_of_the_migrations_that_ended_in_units_of_the_reward() -> None:
    algorithm = made()
    outcomes = []
    inner = algorithm.env.step_wait

    def step_wait():
        stepped = inner()
        outcomes.extend((i, info["outcome"]) for i, info in enumerate(stepped[3]) if info)
        return stepped

    algorithm.env.step_wait = step_wait
    rollout = rollout_of(algorithm)
    first = {}
    for index, outcome in outcomes:
        first.setdefault(index, outcome["cost"] / (1.0 + outcome["preference"]))
    assert rollout.cost == pytest.approx([first[i] for i in range(16)], rel=1e-5)


def test_without_deviations_a_pair_costs_the_same() -> None:
    algorithm = made()
    algorithm.deviation_sd = 0.0
    rollout = rollout_of(algorithm)
    assert not rollout.lead.any()
    assert not rollout.differences(1.0).any()


def test_a_decision_is_charged_with_what_came_after_it() -> None:
    # Migrations 0 and 1 are a pair that ends at 3.0 and 1.0; before its last decision 0 was 0.5 ahead, and 1 had ended.
    rollout = Rollout(
        observations=np.zeros((4, 1), np.float32),
        deviations=np.zeros((4, 1), np.float32),
        migration=np.array([0, 1, 0, 0]),
        lead=np.array([0.0, 0.0, 0.5, 0.0]),
        cost=np.array([3.0, 1.0]),
    )
    assert rollout.differences(5.0) == pytest.approx([1.0, -1.0, 0.75, 1.0])
    assert rollout.differences(0.8) == pytest.approx([0.8, -0.8, 0.75, 0.8])


@pytest.mark.slow
def test_the_same_seed_gives_exactly_the_same_weights() -> None:
    one, same, other = (made(seed).learn(2000) for seed in (3, 3, 4))
    assert equal(one, same)
    assert not equal(one, other)


@pytest.mark.slow
def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = made()
    train(whole, 4000, [CheckpointCallback(tmp_path, 1000, keep=9)])
    first = min(tmp_path.glob("*.zip"))
    resumed = load_algorithm(CONFIG, first, env_of(), seed=1)
    assert isinstance(resumed, PairedRollouts)
    assert 0 < resumed.num_timesteps < whole.num_timesteps
    assert not equal(whole, resumed)
    train(resumed, 4000)
    assert resumed.num_timesteps == whole.num_timesteps
    assert equal(whole, resumed)


class StopAt(BaseCallback):
    """Ends the training in the middle of a rollout."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def _on_step(self) -> bool:
        return self.model.num_timesteps < self.frames


@pytest.mark.slow
def test_frames_of_a_rollout_that_was_not_finished_are_repeated(tmp_path: Path) -> None:
    whole = made()
    train(whole, 4000)
    stopped = made()
    train(stopped, 4000, [CheckpointCallback(tmp_path, 10_000), StopAt(2000)])
    assert 0 < stopped.num_timesteps < 2000
    (path,) = tmp_path.glob("*.zip")
    resumed = load_algorithm(CONFIG, path, env_of(), seed=1)
    assert isinstance(resumed, PairedRollouts)
    train(resumed, 4000)
    assert resumed.num_timesteps == whole.num_timesteps
    assert equal(whole, resumed)


@pytest.mark.slow
def test_where_time_counts_it_learns_to_hand_out_less() -> None:
    # The best constant quota is 0.05 of the bandwidth here; a network that has learned nothing hands out 0.3.
    algorithm = made(n=64, suite="working-sets", preference=0.05)
    before = rollout_of(algorithm).cost.mean()
    algorithm = made(n=64, suite="working-sets", preference=0.05).learn(70_000)
    after = rollout_of(algorithm).cost.mean()
    assert after < 0.98 * before


def test_its_actor_is_loaded_from_the_saved_model(tmp_path: Path) -> None:
    algorithm = made().learn(500)
    save_algorithm(algorithm, tmp_path / "model.zip")
    _, act = load_actor(tmp_path / "model.zip", CONFIG, 4)
    observations = algorithm.env.reset()
    np.testing.assert_allclose(act(observations), algorithm.predict(observations)[0], atol=1e-6)


def test_the_policy_answers_with_the_mean_of_its_weights_over_the_updates(tmp_path: Path) -> None:
    algorithm = made()
    kept = [[tensor.clone() for tensor in algorithm.policy.actor.parameters()]]
    update = algorithm._update

    def watched(rollout: Rollout, rng: np.random.Generator) -> None:
        update(rollout, rng)
        kept.append([tensor.clone() for tensor in algorithm.policy.actor.parameters()])

    algorithm._update = watched  # type: ignore[method-assign]
    algorithm.learn(2000)
    assert len(kept) > 3
    for averaged, *weights in zip(algorithm.policy.averaged_actor.parameters(), *kept[1:], strict=True):
        torch.testing.assert_close(averaged.detach(), torch.stack(weights).mean(dim=0).detach())


def test_an_odd_number_of_environments_is_refused() -> None:
    with pytest.raises(ValueError, match="7 environments: must be even"):
        made(n=7)


def test_a_plain_network_is_refused() -> None:
    with pytest.raises(ValidationError, match="per-vcpu"):
        PairedConfig(policy=PolicyConfig(kind="mlp"))


def test_what_is_no_number_ends_the_training() -> None:
    algorithm = made()
    with torch.no_grad():
        algorithm.policy.actor.head.own.bias.fill_(float("nan"))
    with pytest.raises((FloatingPointError, ValueError)):
        algorithm.learn(100)


def test_it_logs_under_the_names_of_stable_baselines3() -> None:
    algorithm, logged = made(), {}
    dump = algorithm.logger.dump

    def keep(step: int) -> None:
        logged.update(algorithm.logger.name_to_value)
        dump(step)

    algorithm.logger.dump = keep  # type: ignore[method-assign]
    rollouts: list[Rollout] = []
    update = algorithm._update
    algorithm._update = lambda rollout, rng: (rollouts.append(rollout), update(rollout, rng))  # type: ignore[method-assign, func-returns-value]
    algorithm.learn(1)
    assert logged["rollout/ep_len_mean"] == pytest.approx(
        len(rollouts[0].migration) / 16
    )  # of the migrations that count
    assert logged["rollout/ep_rew_mean"] < -1.0  # no migration costs less than T0
    assert logged["time/fps"] > 0


@pytest.mark.slow
def test_migrations_that_ended_stand_still_and_the_rollout_is_the_same() -> None:
    skipping, stepping = made(suite="mixed"), made(suite="mixed")
    left_out: list[int] = []
    leave_out = skipping.env.leave_out
    skipping.env.leave_out = lambda mask: (left_out.append(mask.sum()), leave_out(mask))  # type: ignore[method-assign, func-returns-value]
    stepping.env.leave_out = lambda mask: None  # type: ignore[method-assign]
    inner = stepping.env.step_wait
    going = np.ones(16, dtype=bool)

    def step_all_and_count_first_ends_alone():
        observations, rewards, dones, infos = inner()
        dones &= going
        going[dones] = False
        return observations, rewards, dones, infos

    stepping.env.step_wait = step_all_and_count_first_ends_alone  # type: ignore[method-assign]
    one, other = rollout_of(skipping), rollout_of(stepping)
    assert max(left_out) == 16
    for field in ("observations", "deviations", "migration", "lead", "cost"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)
