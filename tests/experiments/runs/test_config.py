from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from agents.config import PairedConfig, PpoConfig, SacConfig
from dqgym.envs.randomisation import Randomisation
from dqgym.errors import BadInputError
from experiments.runs.config import RandomisationConfig, TrainingConfig, load_config

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))
MINIMAL = """
name: tiny
environment: {suites: {mixed: 1}}
algorithm: {kind: ppo}
training: {frames: 1000, checkpoint_every: 500, evaluate_every: 500}
evaluation: {suites: [mixed]}
"""


@pytest.fixture
def config_path(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(MINIMAL)
    return path


def mistakes(path, *overrides):
    with pytest.raises(BadInputError) as caught:
        load_config(path, overrides)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


def test_there_are_configs_for_every_algorithm_and_both_policies():
    found = {(config.algorithm.kind, config.policy.kind) for config in map(load_config, CONFIGS)}
    assert found == {("paired", "per-vcpu"), ("ppo", "mlp"), ("ppo", "per-vcpu"), ("sac", "mlp"), ("sac", "per-vcpu")}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_valid_and_named_after_its_file(path):
    assert load_config(path).name == path.stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_resolved_config_reads_back_as_the_same_config(path, tmp_path):
    config = load_config(path)
    copy = tmp_path / "config.yaml"
    copy.write_text(config.to_yaml())
    assert load_config(copy) == config


def test_the_resolved_config_holds_every_default(config_path):
    resolved = yaml.safe_load(load_config(config_path).to_yaml())
    assert list(resolved) == list(TrainingConfig.model_fields)
    assert resolved["environment"]["n_envs"] == 256
    assert resolved["evaluation"]["preferences"] == [0.2, 0.6]
    assert resolved["algorithm"]["policy"]["kind"] == "per-vcpu"


def test_every_randomisation_of_the_environments_can_be_configured(config_path):
    assert list(RandomisationConfig.model_fields) == [field.name for field in fields(Randomisation)]
    assert Randomisation.of(RandomisationConfig().model_dump()) == Randomisation()
    config = load_config(config_path, ["environment.randomisation.latency=[0, 0.2]"])
    assert Randomisation.of(config.environment.randomisation.model_dump()).latency == (0.0, 0.2)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("nam=x", ["nam: unknown key", "did you mean 'name'?", "known keys: name, seed, environment"]),
        ("environment.n_env=4", ["environment.n_env: unknown key", "did you mean 'n_envs'?"]),
        ("algorithm.learning_rat=1", ["algorithm.learning_rat: unknown key", "did you mean 'learning_rate'?"]),
        ("algorithm.policy.widht=1", ["algorithm.policy.widht: unknown key", "did you mean 'width'?"]),
        ("enviroment.n_envs=4", ["enviroment: unknown key", "did you mean 'environment'?"]),
    ],
)
def test_an_unknown_key_is_told_its_path_and_the_nearest_key(config_path, override, parts):
    (line,) = mistakes(config_path, override)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("environment.n_envs=0", ["environment.n_envs: 0", "greater than or equal to 1"]),
        ("environment.n_envs=many", ["environment.n_envs: 'many'", "valid integer"]),
        ("environment.suites={mixd: 1}", ["environment.suites", "unknown suite 'mixd'", "did you mean 'mixed'?"]),
        ("environment.suites={}", ["environment.suites", "at least one suite"]),
        ("environment.suites={mixed: -1}", ["environment.suites.mixed: -1", "greater than 0"]),
        ("environment.preference=[2, 1]", ["environment.preference", "low <= high"]),
        ("environment.control_interval=4 parsecs", ["environment.control_interval: '4 parsecs'", "'0.04 T0'"]),
        ("environment.control_interval=5", ["environment.control_interval: 5", "'0.04 T0'", "'100 ms'"]),
        ("environment.randomisation.latency=[0.5, 0.1]", ["environment.randomisation.latency", "least <= most"]),
        ("environment.randomisation.latency=[0, 2]", ["environment.randomisation.latency", "less than or equal to 1"]),
        ("environment.randomisation.bandwidth_noise=-1", ["bandwidth_noise: -1", "greater than or equal to 0"]),
        ("algorithm.n_steps=0", ["algorithm.n_steps: 0", "greater than or equal to 1"]),
        ("algorithm.kind=dqn", ["algorithm.kind: 'dqn' is unknown", "allowed: paired, ppo, sac"]),
        ("algorithm.kind=pppo", ["algorithm.kind: 'pppo' is unknown", "did you mean 'ppo'?"]),
        ("algorithm.policy.kind=cnn", ["algorithm.policy.kind: 'cnn'", "'per-vcpu' or 'mlp'"]),
        ("evaluation.suites=[mixed, cover-leter]", ["evaluation.suites", "did you mean 'cover-letter'?"]),
        ("evaluation.preferences=[5]", ["evaluation.preferences: 5.0 is outside", "0.05 .. 2.0"]),
        ("algorithm={kind: paired, policy: {kind: mlp}}", ["algorithm", "kind: paired goes with policy.kind per-vcpu"]),
        ("seed=1000003", ["seed=1000003 and evaluation.seed must differ"]),
        ("name=../x", ["name: '../x'"]),
    ],
)
def test_a_bad_value_is_told_its_path_the_value_and_what_is_allowed(config_path, override, parts):
    (line,) = mistakes(config_path, override)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("training.frames=true", ["training.frames: True", "must be a number, not true"]),
        ("seed=no", ["seed: False", "must be a number, not false"]),
        ("environment.survey_chance=yes", ["environment.survey_chance: True", "must be a number"]),
        ("environment.preference=[0.1, on]", ["environment.preference.1: True", "must be a number"]),
        ("environment.suites={mixed: true}", ["environment.suites.mixed: True", "must be a number"]),
        ("environment.randomisation.latency=[0, true]", ["latency.1: True", "must be a number"]),
        ("evaluation.preferences=[true]", ["evaluation.preferences.0: True", "must be a number"]),
        ("algorithm.learning_rate=true", ["algorithm.learning_rate: True", "must be a number"]),
        ("algorithm.gae_lambda=true", ["algorithm.gae_lambda: True", "must be a number"]),
        ("algorithm.policy.width=true", ["algorithm.policy.width: True", "must be a number"]),
        ("algorithm.policy.history=1", ["algorithm.policy.history: 1", "must be true or false"]),
        ("algorithm.privileged_critic=maybe", ["algorithm.privileged_critic: 'maybe'", "must be true or false"]),
        ("training.frames=5.5e0", ["training.frames: 5.5", "valid integer"]),
        ("training.frames=1e400", ["training.frames"]),
    ],
)
def test_truth_values_and_numbers_are_told_apart(config_path, override, parts):
    (line,) = mistakes(config_path, override)
    assert all(part in line for part in parts), line


def test_no_number_of_any_section_takes_a_truth_value():
    def numbers(model):
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from numbers(field.annotation)
            elif field.annotation in (int, float):
                yield model, name

    sections = (TrainingConfig, PairedConfig, PpoConfig, SacConfig)
    found = [pair for section in sections for pair in numbers(section)]
    assert len(found) > 40
    for model, name in found:
        with pytest.raises(ValidationError, match="must be a number, not true"):
            model.model_validate({name: True})


@pytest.mark.parametrize("text", ["5e6", "5E6", "5e+6", "5.0e6", "5_000_000", "0.5e7", "5000000.0"])
def test_a_whole_number_may_have_an_exponent(config_path, text):
    assert load_config(config_path, [f"training.frames={text}"]).training.frames == 5_000_000
    config_path.write_text(MINIMAL.replace("frames: 1000", f"frames: {text}"))
    assert load_config(config_path).training.frames == 5_000_000
    assert load_config(config_path, ["algorithm.learning_rate=1e-3"]).algorithm.learning_rate == 1e-3


def test_all_mistakes_are_told_at_once(config_path):
    assert len(mistakes(config_path, "seed=-1", "training.frames=0", "name=null")) == 3


def test_a_missing_section_is_named(config_path):
    config_path.write_text(MINIMAL.replace("algorithm: {kind: ppo}\n", ""))
    assert mistakes(config_path) == ["algorithm: missing"]


def test_overrides_replace_values_in_order_and_are_read_as_yaml(config_path):
    config = load_config(
        config_path,
        [
            "algorithm.learning_rate=3e-4",
            "environment.suites={phases: 2}",
            "training.frames=1",
            "training.frames=2_000",
        ],
    )
    assert config.algorithm.learning_rate == 3e-4
    assert config.environment.suites == {"phases": 2}
    assert config.training.frames == 2000


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.frames", "must be path.to.key=value"),
        ("=1", "must be path.to.key=value"),
        ("training..frames=1", "must be path.to.key=value"),
        ("training.frames.more=1", "'frames' is a value, not a section"),
        ("training.frames=[1", "not valid YAML"),
    ],
)
def test_a_malformed_override_is_refused(config_path, override, message):
    assert message in mistakes(config_path, override)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [("- a list", "must be a mapping with the keys name, seed"), ("name: [", "not valid YAML")],
)
def test_a_file_that_is_no_config_is_refused(tmp_path, content, message):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    assert message in mistakes(path)[0]


def test_a_missing_file_is_named(tmp_path):
    assert mistakes(tmp_path / "none.yaml") == [
        f"cannot read config {tmp_path / 'none.yaml'}: No such file or directory"
    ]


def test_pairs_need_an_even_number_of_environments(config_path):
    (line,) = mistakes(config_path, "algorithm={kind: paired}", "environment.n_envs=7")
    assert "environment.n_envs=7 must be even: algorithm.kind is paired" in line


def test_an_override_is_shallow_and_its_errors_are_short(config_path):
    deep, nested = "environment" + ".x" * 400 + "=1", "seed=" + "[" * 500 + "]" * 500
    for override, part in ((deep, "401 levels of keys, at most 50"), (nested, "more than 50 levels of nesting")):
        with pytest.raises(BadInputError, match=part) as caught:
            load_config(config_path, [override])
        assert len(str(caught.value)) < 400
