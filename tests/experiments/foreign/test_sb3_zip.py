"""Zips of Stable-Baselines3 and what stands beside them."""

import logging

import gymnasium as gym
import pytest
import stable_baselines3 as sb3

import dqgym  # noqa: F401
from dqgym.errors import BadInputError
from experiments.evaluation.throttle_sources import require_bundle, throttle_source
from experiments.foreign.sb3_zip import read_zip

KEYWORDS = {"suite": "phases", "preference": 0.2, "max_vcpus": 4, "vcpu_slots": 4, "pool_size": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("zips") / "mine.zip"
    sb3.A2C("MlpPolicy", gym.make("dqgym/Migration-v0", **KEYWORDS), device="cpu", seed=1).save(path)
    return path


@pytest.fixture
def beside(trained):
    """Writes what stands beside the zip, and takes it away."""
    path = trained.with_suffix(".yaml")
    yield path.write_text
    path.unlink(missing_ok=True)


@pytest.mark.slow
def test_a_zip_is_a_guarded_policy_for_what_it_was_trained_on(trained, beside):
    beside("{suite: phases, preference: 0.2, max_vcpus: 4, vcpu_slots: 4}")
    source = throttle_source(str(trained))
    assert (source.name, source.learned, source.vcpu_slots) == ("mine", True, 4)
    assert len(source.digest) == 64
    assert type(source.make(0.2)).__name__ == "Guard"
    with pytest.raises(BadInputError, match=r"preference=0.6: the policy was trained for 0.2 .. 0.2"):
        source.make(0.6)


@pytest.mark.slow
def test_without_a_file_beside_it_the_defaults_hold_and_that_is_said(trained, caplog):
    with caplog.at_level(logging.WARNING):
        policy = read_zip(trained)
    assert (policy.preference.low, policy.preference.high) == (0.05, 2.0)
    assert f"there is no {trained.with_suffix('.yaml')}" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{vcpu_slots: 8}", "vcpu_slots=8 is said of its training, its observations have 4 slots"),
        ("{prefrence: 0.2}", r"unknown argument 'prefrence' \(did you mean 'preference'"),
        ("[1, 2]", "must be a mapping"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(trained, beside, text, message):
    beside(text)
    with pytest.raises(BadInputError, match=message):
        read_zip(trained)


@pytest.mark.slow
def test_a_policy_of_another_environment_is_refused(tmp_path):
    sb3.PPO("MlpPolicy", "Pendulum-v1", device="cpu", n_steps=8, batch_size=8).save(tmp_path / "pendulum.zip")
    with pytest.raises(BadInputError, match=r"actions go to|takes observations of 3 numbers"):
        throttle_source(str(tmp_path / "pendulum.zip"))


@pytest.mark.slow
def test_a_survey_is_refused_where_the_training_had_none(trained, beside):
    from dqgym.telemetry.interval import parse_survey

    beside("{vcpu_slots: 4}")
    with pytest.raises(BadInputError, match="'mine' was trained without surveys"):
        throttle_source(str(trained), parse_survey("0.01 T0"))
    beside("{vcpu_slots: 4, survey: 0.01 T0}")
    assert throttle_source(str(trained), parse_survey("0.01 T0")).name == "mine+survey"


def test_damaged_zips_are_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    with pytest.raises(BadInputError, match="is damaged"):
        throttle_source(str(tmp_path / "a.zip"))
    with pytest.raises(BadInputError, match=r"dqgym export .* makes a bundle of it"):
        require_bundle(tmp_path / "a.zip")
