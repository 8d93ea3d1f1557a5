"""Policy gradients from pairs of migrations that differ in nothing but the sign of their actions' deviations.

The two migrations of a pair have the same scenario, seed and preference; one deviates from the policy by ``d``, the
other by ``-d``. What their costs differ by is owed to that alone, so the gradient needs no critic that guesses what a
migration would have cost: its error is what makes other policy gradients slow where good policies differ by a
hundredth of the cost. Two things make it cheap here: the model can repeat a migration, and it is fast.

It is the likelihood-ratio gradient (Williams, 1992) with antithetic variates under common random numbers (Glasserman &
Yao, "Some guidelines and guarantees for common random numbers", 1992; on fixed scenarios: PEGASUS, Ng & Jordan, 2000).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback, Schedule
from stable_baselines3.common.utils import safe_mean

from agents.policies.per_vcpu_actor_policy import PerVcpuActorPolicy
from agents.vec_env import Sb3VecEnv
from dqgym.arrays import Float32Array, FloatArray
from dqgym.errors import BadInputError

SEEDS = 2**31
"""Number of seeds for Stable-Baselines3, and for migrations here."""


@dataclass(frozen=True)
class Rollout:
    """The F decisions of N migrations, from their starts to their ends; migration i is paired with (i + N / 2) % N.

    Attributes:
        observations: float32 [F, D].
        deviations: float32 [F, V] of the actions from the policy's, in units of their sd.
        migration: [F] whose decision it was.
        lead: [F] by how much that migration's cost exceeded the other one's before; 0 where the other had ended.
        cost: [N].
    """

    observations: Float32Array
    deviations: Float32Array
    migration: NDArray[np.int64]
    lead: FloatArray
    cost: FloatArray

    def differences(self, largest: float) -> Float32Array:
        """float32 [F] what the decision and all after it cost more than in the other migration, over their mean cost.

        What a pair's costs differed by before is no consequence of the decision. Once the other one has ended nothing
        compares with what is still to come, and the whole difference counts.
        """
        other = np.roll(self.cost, len(self.cost) // 2)
        mean = 0.5 * (self.cost + other)
        relative = ((self.cost - other)[self.migration] - self.lead) / mean[self.migration]
        return relative.clip(-largest, largest).astype(np.float32)


class PairedRollouts(BaseAlgorithm):
    """The algorithm, in the form of Stable-Baselines3: callbacks, logger, checkpoints as for its own.

    Every update runs all environments from the start to the end of one migration each, half of them beside the others
    with the opposite deviations. An update's random numbers follow from the seed and its number alone, so a training
    that goes on from a checkpoint is, number for number, one that was never interrupted.

    Args:
        policy: the policy's class.
        env: an even number of environments.
        learning_rate: of Adam.
        deviation_sd: sd of each vCPU's own deviation and of the one that the vCPUs of a migration share.
        minibatches: steps of Adam for each rollout.
        largest_difference: of a pair's costs, over their mean; larger ones (another round, a missed deadline) count as
            this, or few pairs would decide.
        **kwargs: what ``BaseAlgorithm`` takes.
    """

    env: Sb3VecEnv
    policy: PerVcpuActorPolicy
    num_timesteps: int

    def __init__(
        self,
        policy: type[PerVcpuActorPolicy],
        env: Sb3VecEnv | None,
        learning_rate: float | Schedule = 3e-3,
        deviation_sd: float = 0.05,
        minibatches: int = 2,
        largest_difference: float = 0.06,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, learning_rate, support_multi_env=True, **kwargs)
        if env is not None and env.num_envs % 2:
            raise BadInputError(f"{env.num_envs} environments: must be even, for pairs")
        self.deviation_sd = deviation_sd
        self.minibatches = minibatches
        self.largest_difference = largest_difference
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        ).to(self.device)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "paired",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> PairedRollouts:
        """Train for so many frames: decisions of migrations, both of a pair counted."""
        total, callbacks = self._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        callbacks.on_training_start(locals(), globals())
        while self.num_timesteps < total:
            callbacks.on_rollout_start()
            begun_at = self.num_timesteps
            rng = np.random.default_rng((self.seed or 0, self._n_updates))
            rollout = self._rollout(rng, callbacks)
            if rollout is None:
                self.num_timesteps = begun_at  # nothing was learned of these: a resumed training repeats them
                break
            callbacks.on_rollout_end()
            self._update_current_progress_remaining(self.num_timesteps, total)
            self._update(rollout, rng)
            if self._n_updates % log_interval == 0:
                self._log_progress()
                self.logger.dump(self.num_timesteps)
        callbacks.on_training_end()
        return self

    def _log_progress(self) -> None:
        """Under the names that Stable-Baselines3 gives to it in its own algorithms."""
        if self.ep_info_buffer:
            self.logger.record("rollout/ep_rew_mean", safe_mean([episode["r"] for episode in self.ep_info_buffer]))
            self.logger.record("rollout/ep_len_mean", safe_mean([episode["l"] for episode in self.ep_info_buffer]))
        elapsed_s = max((time.time_ns() - self.start_time) / 1e9, sys.float_info.epsilon)
        self.logger.record("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / elapsed_s))
        self.logger.record("time/time_elapsed", int(elapsed_s), exclude="tensorboard")
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")

    def _rollout(self, rng: np.random.Generator, callback: BaseCallback) -> Rollout | None:
        """One migration in every environment; None where a callback stops the training."""
        n, pairs = self.n_envs, self.n_envs // 2
        slots = self.action_space.shape[0]
        other = np.roll(np.arange(n), pairs)
        sign = np.repeat(np.array([1, -1], dtype=np.float32), pairs)[:, None]
        observations = self.env.begin(np.tile(rng.integers(SEEDS, size=pairs), 2).tolist())
        cost, going = np.zeros(n), np.ones(n, dtype=bool)
        decisions: list[tuple[Float32Array, Float32Array, NDArray[np.int64], FloatArray]] = []
        while going.any():
            rows = np.flatnonzero(going)
            # Own deviations alone would leave what many vCPUs do together next to unchanged.
            drawn = rng.standard_normal((pairs, slots), np.float32) + rng.standard_normal((pairs, 1), np.float32)
            deviations = (sign * np.tile(drawn, (2, 1)))[rows]
            actions = np.zeros((n, slots), dtype=np.float32)
            actions[rows] = (self._means(observations[rows]) + self.deviation_sd * deviations).clip(-1.0, 1.0)
            lead = np.where(going[other], cost - cost[other], 0.0)[rows]
            decisions.append((observations[rows], deviations, rows, lead))
            observations, rewards, dones, infos = self.env.step(actions)
            cost[rows] -= rewards[rows]
            if dones.any():
                going &= ~dones
                self.env.leave_out(~going)
            self.num_timesteps += len(rows)
            self._update_info_buffer([infos[index] for index in np.flatnonzero(dones)])
            callback.update_locals({"infos": infos, "dones": dones})
            if not callback.on_step():
                return None
        observed, deviated, migration, leads = (np.concatenate(part) for part in zip(*decisions, strict=True))
        return Rollout(observed, deviated, migration, leads, cost)

    def _means(self, observations: Float32Array) -> Float32Array:
        with torch.no_grad():
            means: Float32Array = self.policy.means(torch.as_tensor(observations, device=self.device)).cpu().numpy()
        return means

    def _update(self, rollout: Rollout, rng: np.random.Generator) -> None:
        """Follow the gradient of the mean relative cost."""
        optimizer = self.policy.optimizer
        self._update_learning_rate(optimizer)
        differences = rollout.differences(self.largest_difference)
        slopes = (0.5 / self.deviation_sd) * differences[:, None] * rollout.deviations
        per_migration = self.minibatches / self.n_envs
        for rows in np.array_split(rng.permutation(len(slopes)), self.minibatches):
            means = self.policy.means(torch.as_tensor(rollout.observations[rows], device=self.device))
            downhill = (torch.as_tensor(slopes[rows], device=self.device) * means).sum() * per_migration
            # Beyond its bounds an action has no effect, so nothing else would bring the mean back.
            beyond = torch.relu(means.abs() - 1.0).square().mean()
            loss = downhill + beyond
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss.item()}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.policy.average.update_parameters(self.policy.actor)
        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/difference", float(differences.std()))
        self.logger.record("train/beyond_bounds", float(beyond.detach()))
