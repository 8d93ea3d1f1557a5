import json

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dqgym.errors import BadInputError
from dqgym.throttles.registry import make_throttle, option_names
from experiments.commands.learning.tune import CONTEXTUAL, TUNABLE
from experiments.tuning.search import Goal, open_trials, search
from experiments.tuning.spaces import SPACES, STARTS

SPACE = {
    "x": FloatDistribution(0.01, 10.0, log=True),
    "n": IntDistribution(1, 9),
    "mirror": CategoricalDistribution([False, True]),
}
TARGETS = (0.5, 2.0)
SETTING = {"seed": 1}


def distance(options):
    """The optimum is x = target, n = 3, not mirrored."""
    penalty = (options["n"] - 3) ** 2 * 0.05 + options["mirror"]
    return [abs(options["x"] - target) / target + penalty for target in TARGETS]


def ignored(number):
    return None


def run(path, trials=60, objective=distance, resume=False, starts=()):
    kept = open_trials(path, SETTING, resume)
    goal = Goal(objective, len(TARGETS), SPACE, starts)
    return search(kept, goal, trials, 1, ignored), kept.all


def test_the_search_comes_near_a_known_optimum_for_each_preference(tmp_path):
    best, tried = run(tmp_path / "trials")
    assert len(tried) == 60
    for index, target in enumerate(TARGETS):
        assert best[index].costs[index] == min(trial.costs[index] for trial in tried)
        assert best[index].options["x"] == pytest.approx(target, rel=0.25)
        assert abs(best[index].options["n"] - 3) <= 1
        assert not best[index].options["mirror"]


def test_the_same_seed_makes_the_same_trials(tmp_path):
    assert run(tmp_path / "one", 25) == run(tmp_path / "two", 25)


def test_starts_are_tried_first_and_win_where_they_are_best(tmp_path):
    start = {"x": 0.5, "n": 3, "mirror": False}
    best, tried = run(tmp_path / "trials", 12, starts=[start])
    assert tried[0].options == best[0].options == start
    assert best[0].costs[0] == 0


@pytest.mark.parametrize("after", [0, 1, 2, 13, 30])
def test_an_interrupted_search_that_goes_on_ends_like_one_that_was_not(tmp_path, after):
    starts = [{"x": 1.0, "n": 9, "mirror": True}, {"x": 3.0, "n": 1, "mirror": False}]
    calls = 0

    def interrupted(options):
        nonlocal calls
        if calls == after:
            raise KeyboardInterrupt
        calls += 1
        return distance(options)

    path = tmp_path / "trials"
    with pytest.raises(KeyboardInterrupt):
        run(path, 31, interrupted, starts=starts)
    resumed = run(path, 31, resume=after > 0, starts=starts)
    assert resumed == run(tmp_path / "whole", 31, starts=starts)


def test_trials_that_are_complete_are_not_made_again(tmp_path):
    run(tmp_path / "trials", 20)

    def refused(options):
        raise AssertionError

    best, tried = run(tmp_path / "trials", 20, refused, resume=True)
    assert len(tried) == 20
    assert best == run(tmp_path / "other", 20)[0]


def test_trials_of_another_search_or_none_are_refused_and_forgotten_without_resume(tmp_path):
    path = tmp_path / "trials"
    with pytest.raises(BadInputError, match=f"nothing to resume: there is no {path}"):
        open_trials(path, SETTING, True)
    run(path, 3)
    with pytest.raises(BadInputError, match="of another search: its seed is 1, not 2"):
        open_trials(path, {"seed": 2}, True)
    path.write_text(json.dumps(SETTING) + "\n3\n")
    with pytest.raises(BadInputError, match=r"line 2: not the journal of this command \(search\)"):
        open_trials(path, SETTING, True)
    assert open_trials(path, {"seed": 2}, False).all == []


def test_every_space_is_of_options_that_the_throttle_takes_from_end_to_end():
    assert set(SPACES) == set(TUNABLE) - {CONTEXTUAL}
    for throttle, space in SPACES.items():
        assert set(space) <= set(option_names(throttle))
        for end in ("low", "high"):
            ends = {name: getattr(kind, end, True) for name, kind in space.items()}
            make_throttle(throttle, **ends)
        for start in STARTS.get(throttle, []):
            assert set(start) == set(space)
            assert all(space[name]._contains(space[name].to_internal_repr(value)) for name, value in start.items())
