"""Objects with predict: what they may say, and what is said of them where it is wrong."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from dqgym.controller.manifest import VcpuSpec
from dqgym.errors import BadInputError
from dqgym.telemetry.encoder import observation_size
from dqgym.telemetry.interval import ControlInterval
from experiments.bundles.export import write_bundle
from experiments.foreign.predicting import predicting_policy
from experiments.foreign.sources import foreign_policy

SLOTS = 4
SIZE = observation_size(SLOTS)
ENVIRONMENT = {"vcpu_slots": SLOTS, "max_vcpus": SLOTS, "suite": "phases", "preference": 0.2}


class Policy:
    """Answers with ``answer(observations)``; further attributes as given."""

    def __init__(self, answer, **attributes) -> None:
        self._answer = answer
        self.environment = ENVIRONMENT
        for name, value in attributes.items():
            setattr(self, name, value)

    def predict(self, observations):
        return self._answer(observations)


def halves(observations):
    return np.full((len(observations), SLOTS), 0.5)


def observations(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(count, SIZE)).astype(np.float32)


@pytest.mark.parametrize(
    "answer",
    [
        halves,
        lambda obs: (halves(obs), None),
        lambda obs: torch.full((len(obs), SLOTS), 0.5, requires_grad=True),
        lambda obs: [0.5] * SLOTS if obs.ndim == 1 else 1 / 0,
    ],
    ids=["array", "with a state", "tensor", "one by one"],
)
def test_every_usual_form_of_an_answer_is_understood(answer):
    actions = predicting_policy("p", Policy(answer)).act(observations(5))
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(actions, np.full((5, SLOTS), 0.5, np.float32))


def test_actions_beyond_the_range_count_as_its_end_and_what_is_no_number_stays_none():
    policy = predicting_policy("p", Policy(lambda obs: np.tile([-7.0, 7.0, np.nan, 0.0], (len(obs), 1))))
    np.testing.assert_array_equal(policy.act(observations(1)), [[-1.0, 1.0, np.nan, 0.0]])


def test_a_policy_that_draws_actions_is_asked_for_its_deterministic_one():
    class Drawing(Policy):
        def predict(self, observations, state=None, deterministic=False):
            return halves(observations) if deterministic else 1 / 0

    assert predicting_policy("p", Drawing(None)).act(observations(2)).shape == (2, SLOTS)


def test_the_environment_of_the_training_says_interval_preferences_and_actions():
    given = ENVIRONMENT | {"control_interval": "100 ms", "preference": [0.1, 0.4], "action_spec": {"lowest": 0.1}}
    policy = predicting_policy("p", Policy(halves, environment=given))
    assert policy.control_interval == ControlInterval.parse("100 ms")
    assert (policy.preference.low, policy.preference.default, policy.preference.high) == (0.1, 0.2, 0.4)
    assert policy.action_spec.lowest == 0.1
    assert policy.vcpus == VcpuSpec(low=1, high=SLOTS, slots=SLOTS)
    with pytest.raises(BadInputError, match=r"preference=0.6: the policy was trained for 0.1 .. 0.4"):
        policy.throttle(0.6)


def test_the_slots_are_read_from_the_observation_space_or_a_vcpu_spec():
    space = spaces.Box(-1, 1, (SIZE,))
    policy = predicting_policy("p", Policy(halves, environment={}, observation_space=space))
    assert policy.vcpus.slots == SLOTS
    any_number = VcpuSpec(low=1, high=64, slots=None)
    fixed, each = observation_size(0), observation_size(1) - observation_size(0)
    wide = Policy(lambda obs: np.zeros((len(obs), (obs.shape[1] - fixed) // each)), vcpus=any_number)
    assert predicting_policy("p", wide).vcpus == any_number


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Policy(halves, environment={}), "how many vCPU slots it takes is not said"),
        (Policy(halves, environment={"vcpu_slot": 4}), r"unknown argument 'vcpu_slot' \(did you mean 'vcpu_slots'"),
        (Policy(halves, environment={"preference": -1}), "p: the environment that it was trained in: preference=-1"),
        (Policy(halves, environment=5), "its attribute environment must be a mapping"),
        (
            Policy(halves, observation_space=spaces.Box(-1, 1, (60,))),
            "takes observations of 60 numbers; those of dqgym",
        ),
        (Policy(halves, observation_space=spaces.Box(-1, 1, (2, 30))), r"the shape \(2, 30\), not one dimension"),
        (
            Policy(halves, observation_space=spaces.Box(-1, 1, (observation_size(8),))),
            "vcpu_slots=4 is said of its training, its observations have 8 slots",
        ),
        (Policy(lambda obs: np.zeros(3)), r"the actions have the shape \(3,\), not \(3, 4\)"),
        (Policy(lambda obs: 1 / 0), r"predict, asked with observations \[3, \d+\]: ZeroDivisionError"),
        (Policy(lambda obs: (halves(obs), 1)), "keeps a state between decisions"),
    ],
)
def test_what_does_not_fit_is_said_before_a_migration(policy, message):
    with pytest.raises(BadInputError, match=message):
        predicting_policy("p", policy)


@pytest.mark.slow
def test_a_policy_that_names_its_network_is_exported_and_one_without_is_not(tmp_path):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(SIZE, 8), nn.Tanh(), nn.Linear(8, SLOTS))

    def ask(obs):
        with torch.no_grad():
            return 3 * network(torch.as_tensor(obs))

    with pytest.raises(BadInputError, match="p cannot be exported: it names no torch module"):
        write_bundle(predicting_policy("p", Policy(ask)), None, tmp_path / "none", observations=5)
    assert not (tmp_path / "none").exists()
    honest = Policy(ask, network=lambda: nn.Sequential(network, Times(3.0)))
    assert (
        write_bundle(predicting_policy("p", honest), None, tmp_path / "b", observations=5) / "policy.onnx"
    ).is_file()
    with pytest.raises(RuntimeError, match="differs from the trained network"):
        write_bundle(predicting_policy("p", Policy(ask, network=network)), None, tmp_path / "other", observations=5)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values):
        return self.factor * values


def test_what_a_module_has_is_told_apart(tmp_path, monkeypatch):
    (tmp_path / "mine_kinds.py").write_text(
        "class Policy:\n    environment = {'vcpu_slots': 1}\n"
        "    def predict(self, obs):\n        return [[0.0]] * len(obs)\n"
        "made = Policy()\ndef make():\n    return Policy()\ndef needs(path):\n    return Policy()\n"
        "def fails():\n    raise OSError('no checkpoint')\n"
        "class Cap:\n    control_interval = None\n    def reset(self, f): ...\n    def act(self, t): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("Policy", "made", "make"):
        assert foreign_policy(f"mine_kinds:{name}").name == f"mine_kinds:{name}"
    for name in ("mine_kinds:Cap", "mine_kinds:needs", "auto-converge", "none", "folder/none.zip"):
        assert foreign_policy(name) is None
    with pytest.raises(BadInputError, match="mine_kinds:fails cannot be made: OSError: no checkpoint"):
        foreign_policy("mine_kinds:fails")
