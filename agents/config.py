"""The ``algorithm`` section of a training configuration.

The defaults of PPO are the recipe that worked in a first experiment: many environments, short rollouts, large
minibatches, few epochs, no discount (the return is minus the cost of the migration).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agents.numbers import Number, Section, Truth, Whole
from dqgym.errors import BadInputError

Share = Annotated[Number, Field(ge=0, le=1)]


class PolicyConfig(Section):
    """The policy's networks (actor and critic alike)."""

    kind: Literal["per-vcpu", "mlp"] = Field(
        "per-vcpu", description="per-vcpu: shared weights, any number of vCPUs; mlp: one network over all features"
    )
    width: Whole = Field(64, ge=1, le=1024, description="width of every hidden layer")
    shared_output: Truth = Field(
        True, description="per-vcpu: one output that all vCPUs of a migration share is added to each one's own"
    )
    history: Truth = Field(
        True, description="per-vcpu: the networks see what the encoder remembers of earlier intervals"
    )
    layers: Whole = Field(
        2, ge=2, le=8, description="hidden layers; per-vcpu: those that a vCPU's features pass, the last after pooling"
    )


class AlgorithmSection(Section):
    """What all algorithms have."""

    policy: PolicyConfig = PolicyConfig()
    device: str = Field("cpu", description="of the networks: cpu, cuda, cuda:1 ..., or auto (a GPU when there is one)")
    torch_threads: Whole = Field(
        1, ge=1, description="threads of torch on the CPU; more than one loses speed where the machine is not idle"
    )
    final_learning_rate_share: Share = Field(0.05, description="what is left of the learning rate at the end (linear)")

    @property
    def takes_pairs(self) -> bool:
        """Whether its environments come in pairs, so that there must be an even number of them."""
        return False

    @property
    def sees_hidden_state(self) -> bool:
        """Whether something in it, in training only, sees the hidden state of the migrations."""
        return False


class _DiscountedSection(AlgorithmSection):
    gamma: Number = Field(1.0, gt=0, le=1, description="discount for each decision; 1: the return is minus the cost")


class PairedConfig(AlgorithmSection):
    """Policy gradients from pairs of migrations with opposite deviations (``agents.algorithms.paired_rollouts``)."""

    kind: Literal["paired"] = "paired"
    learning_rate: Number = Field(3e-3, gt=0, description="of Adam, at the start")
    deviation_sd: Number = Field(0.05, gt=0, le=1, description="of the actions, of each vCPU's own and of all together")
    minibatches: Whole = Field(2, ge=1, description="steps of Adam for each rollout")
    largest_difference: Number = Field(
        0.06, gt=0, le=2, description="of a pair's costs, over their mean; larger ones count as this"
    )

    @property
    def takes_pairs(self) -> bool:
        """Two migrations with opposite deviations run in two environments."""
        return True

    @model_validator(mode="after")
    def _is_of_a_per_vcpu_policy(self) -> PairedConfig:
        if self.policy.kind != "per-vcpu":
            raise BadInputError(f"kind: paired goes with policy.kind per-vcpu, not {self.policy.kind!r}")
        return self


class PpoConfig(_DiscountedSection):
    """Proximal policy optimisation (Schulman et al., 2017)."""

    kind: Literal["ppo"] = "ppo"
    n_steps: Whole = Field(64, ge=1, description="decisions of each environment between updates")
    batch_size: Whole = Field(1024, ge=2, description="decisions in a minibatch")
    n_epochs: Whole = Field(3, ge=1, description="passes over the collected decisions in an update")
    gae_lambda: Share = Field(0.97, description="bias against variance of the advantages")
    learning_rate: Number = Field(1e-3, gt=0, description="of Adam, at the start")
    clip_range: Number = Field(0.2, gt=0, description="how far the probability ratio may move in an update")
    entropy_coefficient: Number = Field(0.0, ge=0, description="bonus for the actions' entropy")
    value_coefficient: Number = Field(0.1, ge=0, description="weight of the critic's loss")
    max_gradient_norm: Number = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    initial_sd: Number = Field(0.3, gt=0.05, le=2, description="of the actions at the start")
    privileged_critic: Truth = Field(
        False, description="the critic sees the migrations' hidden state, in training only; of a per-vcpu policy"
    )
    normalize_advantage: Truth = Field(True, description="scale advantages to mean 0 and sd 1 in each minibatch")

    @property
    def sees_hidden_state(self) -> bool:
        """The privileged critic does."""
        return self.privileged_critic

    @model_validator(mode="after")
    def _privileged_critic_is_per_vcpu(self) -> PpoConfig:
        if self.privileged_critic and self.policy.kind != "per-vcpu":
            raise BadInputError(f"privileged_critic: true goes with policy.kind per-vcpu, not {self.policy.kind!r}")
        return self


class SacConfig(_DiscountedSection):
    """Soft actor-critic (Haarnoja et al., 2018) with a learned temperature."""

    kind: Literal["sac"] = "sac"
    learning_rate: Number = Field(3e-4, gt=0, description="of Adam, at the start")
    buffer_size: Whole = Field(300_000, ge=1, description="decisions that the replay buffer holds")
    learning_starts: Whole = Field(10_000, ge=0, description="decisions made at random before the first update")
    batch_size: Whole = Field(512, ge=2, description="decisions in a minibatch")
    n_steps: Whole = Field(1, ge=1, description="decisions of each environment between updates")
    gradient_steps: Whole = Field(2, ge=1, description="minibatches in an update")
    tau: Number = Field(
        0.005, gt=0, le=1, description="share of the critics that their targets take over per minibatch"
    )


AlgorithmConfig = Annotated[PairedConfig | PpoConfig | SacConfig, Field(discriminator="kind")]
"""A section for each algorithm of ``agents.algorithms.algorithms``, by its kind."""
