import numpy as np
import pytest
import yaml

from dqgym.controller.loop import run_migrations
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.survey import MARKS, Survey
from dqgym.telemetry.telemetry import Facts, first_telemetry
from dqgym.throttles.registry import make_throttle
from dqgym.throttles.rules.contextual_rule import (
    HIDDEN,
    INPUTS,
    OUTPUTS,
    WEIGHTS,
    ContextualNetwork,
    ContextualRule,
    network_outputs,
)
from dqgym.throttles.rules.contextual_weights import CONTEXTUAL_FILE, dump_contextual, read_contextual
from dqgym.throttles.rules.quota_rule import QuotaRule
from dqgym.throttles.rules.rule_features import FEATURES, rule_features
from dqgym.throttles.rules.tuned_rule import TunedRule, TunedRuleOptions
from tests.controller.fakes import MIB, FakeBackend, FakeMigration, writers

MIGRATIONS = [writers(500), writers(100, vcpus=2), FakeMigration((500 * MIB, 200 * MIB), (124 * MIB, 1 * MIB))]
TUNED = np.array([[0.1, 0.2, 0.01, 0.001], [0.3, 0.4, 0.09, 0.003]])
RNG = np.random.default_rng(1)


def network(weights):
    return ContextualNetwork(np.log([0.1, 1.0]), TUNED, np.asarray(weights, dtype=np.float32))


def biased(**moves):
    """A network that puts out these moves, whatever it is told."""
    weights = np.zeros(WEIGHTS)
    weights[-len(OUTPUTS) :] = [moves.get(name, 0.0) for name in OUTPUTS]
    return network(weights)


def run(throttle):
    backend = FakeBackend()
    outcome = run_migrations(backend, MIGRATIONS, throttle, range(len(MIGRATIONS)))
    return outcome.total_time_s, np.array([command.dirty_limit_bytes_per_s for command in backend.commands])


@pytest.mark.slow
@pytest.mark.parametrize(("preference", "between"), [(0.1, 0.0), (10**-0.5, 0.5), (1.0, 1.0), (5.0, 1.0)])
def test_outputs_of_zero_leave_the_tuned_rule(preference, between):
    values = TUNED[0] + between * (TUNED[1] - TUNED[0])
    tuned = TunedRule(TunedRuleOptions(**dict(zip(OUTPUTS, values, strict=True))))
    for ours, theirs in zip(run(ContextualRule(biased(), preference)), run(tuned), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_outputs_move_the_numbers_and_no_further_than_they_may_go():
    features, preference = np.zeros((1, INPUTS), np.float32), np.array([0.1])
    moved = biased(free_rounds=1.0, quota_fraction=np.log(2), working_set_threshold=0.4, floor=-np.log(2)).parameters(
        features, preference, np.array([0])
    )
    assert moved.free_rounds == pytest.approx([1.1])
    assert moved.quota_fraction == pytest.approx([0.4])
    assert moved.working_set_threshold == pytest.approx([0.04])  # (0.1 + 0.4 / 4) ** 2
    assert moved.floor == pytest.approx([0.0005])
    least = biased(free_rounds=-9, working_set_threshold=-9).parameters(features, preference, np.array([0]))
    assert least.free_rounds == least.working_set_threshold == 0
    most = biased(quota_fraction=99, floor=99).parameters(features, np.array([1.0]), np.array([0]))
    assert most.quota_fraction == pytest.approx(0.4 * np.exp(4))
    assert most.floor == pytest.approx(0.003 * np.exp(4))


def test_the_network_is_two_layers_for_one_set_of_weights_and_for_one_each():
    weights, features = RNG.normal(size=(3, WEIGHTS)).astype("f4"), RNG.normal(size=(3, INPUTS)).astype("f4")
    expected = []
    for w, x in zip(weights, features, strict=True):
        into, rest = w[: INPUTS * HIDDEN].reshape(INPUTS, HIDDEN), w[INPUTS * HIDDEN :]
        bias, out, out_bias = rest[:HIDDEN], rest[HIDDEN : -len(OUTPUTS)], rest[-len(OUTPUTS) :]
        expected.append(np.tanh(x @ into + bias) @ out.reshape(HIDDEN, len(OUTPUTS)) + out_bias)
    np.testing.assert_allclose(network_outputs(weights, features), expected, rtol=1e-4)
    np.testing.assert_allclose(network_outputs(weights[1], features)[1], expected[1], rtol=1e-4)


@pytest.mark.slow
def test_with_weights_of_its_own_each_migration_runs_as_it_does_alone():
    weights = RNG.normal(0, 0.3, size=(len(MIGRATIONS), WEIGHTS))
    together, _ = run(ContextualRule(network(weights), np.array([0.1, 0.5, 1.0])))
    for index, preference in enumerate((0.1, 0.5, 1.0)):
        alone = run_migrations(
            FakeBackend(), [MIGRATIONS[index]], ContextualRule(network(weights[index]), preference), [0]
        )
        assert alone.total_time_s[0] == pytest.approx(together[index])


def surveyed_facts(survey):
    return Facts(
        present=np.array([[True, True, False]]),
        memory_bytes=np.array([1e9]),
        bandwidth_bytes_per_s=np.array([1e8]),
        downtime_limit_s=np.array([0.3]),
        deadline_s=np.array([200.0]),
        ring_bytes=np.array([16.0 * MIB]),
        survey=survey,
    )


def test_features_at_the_start_are_finite_and_tell_of_a_survey_only_where_there_was_one():
    counts = np.zeros((1, len(MARKS), 3), np.float32)
    counts[0, :, 0] = 1e7, 2e7, 3e7, np.nan
    for survey in (None, Survey(np.array([1.0]), counts)):
        rule = QuotaRule(surveyed_facts(survey))
        running = rule.observe(first_telemetry(rule.facts))
        features = dict(zip(FEATURES, rule_features(rule, running, np.array([2.0]))[0], strict=True))
        assert np.isfinite(list(features.values())).all()
        assert features["preference"] == pytest.approx(1.0)
        assert features["run_share"] == features["bandwidth"] == features["bandwidth_mean"] == 1
        assert features["survey"] == (survey is not None)
        assert (features["survey_rate"] > 0) == (survey is not None)


@pytest.mark.slow
def test_the_shipped_network_serves_every_preference_and_makes_a_survey_when_asked():
    for preference in (0.05, 0.2, 2.0):
        time_s, _ = run(make_throttle("contextual-rule", preference))
        assert np.isfinite(time_s).all()
    assert make_throttle("contextual-rule").survey is None
    assert make_throttle("contextual-rule", survey="0.01 T0").survey == ControlInterval(0.0, 0.01)


def test_a_file_reads_back_as_it_was_written(tmp_path):
    shipped = read_contextual(CONTEXTUAL_FILE)
    path = tmp_path / "network.yaml"
    path.write_text(dump_contextual(shipped))
    assert read_contextual(path) == shipped


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1.0]}, "weights"),
        ({"features": ["other"]}, "tune it anew"),
        ({"tuned": []}, "tuned"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path, change, message):
    path = tmp_path / "network.yaml"
    path.write_text(yaml.safe_dump(read_contextual().model_dump() | change))
    with pytest.raises(ValueError, match=message):
        read_contextual(path)
    with pytest.raises(ValueError, match="not tuned"):
        read_contextual(tmp_path / "absent.yaml")
