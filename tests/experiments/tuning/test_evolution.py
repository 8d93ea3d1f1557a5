import numpy as np
import pytest

from dqgym.errors import BadInputError
from dqgym.throttles.rules.contextual_rule import OUTPUTS, WEIGHTS
from dqgym.throttles.rules.tuned import TunedEntry
from experiments.tuning import evolution
from experiments.tuning.distribution import draw_distribution
from experiments.tuning.evolution import Evolution, State, descend, estimated_gradient, evolve, first_state

SUITES = {"stationary": 1.0}
TUNED = [
    TunedEntry(
        preference=0.2,
        options={"free_rounds": 0.0, "quota_fraction": 1e-3, "working_set_threshold": 1e-3, "floor": 1e-5},
        cost=1.5,
        suites=SUITES,
        scenarios=1,
        seed=1,
        trials=1,
    )
]
SMALL = Evolution(SUITES, 5, TUNED, scenarios_per_weight=40, pairs=40)


def ignored(step):
    return None


def test_the_first_network_is_the_tuned_rule():
    weights = first_state(1).weights
    assert (weights[-len(OUTPUTS) :] == 0).all()
    assert (first_state(1).weights == weights).all()
    assert (first_state(2).weights != weights).any()


def test_adam_goes_downhill_to_the_lowest_point():
    state = State(0, np.zeros(WEIGHTS), np.zeros(WEIGHTS), np.zeros(WEIGHTS))
    lowest = np.linspace(-1, 1, WEIGHTS)
    for _ in range(300):
        descend(state, state.weights - lowest, 0.02)
    np.testing.assert_allclose(state.weights, lowest, atol=0.02)


@pytest.mark.slow
def test_the_gradient_says_that_a_quota_far_too_small_should_grow():
    pool = draw_distribution(SUITES, None, 200, 6).scenarios
    search = Evolution(SUITES, 5, TUNED, pairs=200)
    gradient = estimated_gradient(search, first_state(5), pool)
    assert gradient.shape == (WEIGHTS,)
    biases = dict(zip(OUTPUTS, gradient[-len(OUTPUTS) :], strict=True))
    assert biases["quota_fraction"] < 0
    np.testing.assert_array_equal(gradient, estimated_gradient(search, first_state(5), pool))


@pytest.mark.slow
def test_an_interrupted_search_that_goes_on_ends_like_one_that_was_not(tmp_path, monkeypatch):
    whole = evolve(SMALL, 4, tmp_path / "whole.npz", False, ignored)
    gradients = []

    def interrupted(*arguments):
        if len(gradients) == 2:
            raise KeyboardInterrupt
        gradients.append(estimated_gradient(*arguments))
        return gradients[-1]

    path = tmp_path / "state.npz"
    with monkeypatch.context() as patched:
        patched.setattr(evolution, "estimated_gradient", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evolve(SMALL, 4, path, False, ignored)
    with pytest.raises(BadInputError, match="of another search: 4 steps"):
        evolve(SMALL, 5, path, True, ignored)  # the learning rate would fall more slowly
    np.testing.assert_array_equal(evolve(SMALL, 4, path, True, ignored), whole)


def test_a_state_that_cannot_be_used_is_refused(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(BadInputError, match=f"nothing to resume: there is no {path}"):
        State.load(path, "mine")
    first_state(1).save(path, "mine")
    whole = path.read_bytes()
    for damaged in (b"no archive", whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        with pytest.raises(BadInputError, match="not the state of a search"):
            State.load(path, "mine")
    State(3, np.zeros(2), np.zeros(2), np.zeros(2)).save(path, "mine")
    with pytest.raises(BadInputError, match=f"of a network of 2 numbers, not {WEIGHTS}"):
        State.load(path, "mine")
    with pytest.raises(BadInputError, match="of another search: mine; not yours"):
        State.load(path, "yours")
