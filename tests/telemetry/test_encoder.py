"""Observations: ranges, invariances, and the definitions of the feature table computed another way."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.model import ModelBackend
from dqgym.envs.spaces import observation_space
from dqgym.scenario import ConstantLink, DirtyLog, Limits, Scenario, VirtualMachine
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.command import free_command
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.survey import MARKS, Survey
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField, first_telemetry
from tests.model.migrations import MB, NO_COSTS, READERS, writers

SLOTS = 4
WIDER_SLOTS = 8
G = len(GLOBAL_FEATURES)
GLOBAL = {feature.name: k for k, feature in enumerate(GLOBAL_FEATURES)}
PER_VCPU = {feature.name: k for k, feature in enumerate(VCPU_FEATURES)}


def per_vcpu(observation: np.ndarray, name: str) -> np.ndarray:
    """[N, V] one feature of all vCPUs."""
    slots = (observation.shape[1] - G) // len(VCPU_FEATURES)
    first = G + PER_VCPU[name] * slots
    return observation[:, first : first + slots]


def random_facts(rng: np.random.Generator, n: int = 6) -> Facts:
    memory = 10.0 ** rng.uniform(7, 13, n)
    bandwidth = memory / 10.0 ** rng.uniform(-1, 4, n)
    return Facts(
        present=np.arange(SLOTS) < rng.integers(1, SLOTS + 1, n)[:, None],
        memory_bytes=memory,
        bandwidth_bytes_per_s=bandwidth,
        downtime_limit_s=10.0 ** rng.uniform(-3, 1, n),
        deadline_s=rng.uniform(2, 40, n) * memory / bandwidth,
        ring_bytes=np.full(n, 4096.0 * 4096),
    )


def random_survey(rng: np.random.Generator, facts: Facts) -> Survey:
    """Of a third of the migrations none; counts that grow from mark to mark."""
    n, slots = facts.present.shape
    duration_s = rng.choice([0.0, 1e-4, 0.05], size=n) * facts.pass_time_s
    grown = rng.random((n, len(MARKS), slots)) * facts.memory_bytes[:, None, None] / (len(MARKS) * slots)
    counts = np.cumsum(grown, axis=1) * facts.present[:, None, :] * (duration_s > 0.0)[:, None, None]
    return Survey(duration_s, counts.astype(np.float32))


def of_one(facts: Facts, k: int) -> Facts:
    only = slice(k, k + 1)
    arrays = {name: getattr(facts, name)[only] for name in Facts.__dataclass_fields__ if name != "survey"}
    survey = facts.survey and Survey(facts.survey.duration_s[only], facts.survey.dirtied_bytes[only])
    return Facts(**arrays, survey=survey)


def random_telemetry(rng: np.random.Generator, facts: Facts, before: Telemetry, extreme: bool) -> Telemetry:
    """One more interval of what a VMM might report, or of anything at all; syncs in a third of the intervals."""
    n, slots = facts.present.shape
    interval_s = facts.pass_time_s * 10.0 ** (rng.uniform(-6, 1, n) if extreme else rng.uniform(-3, -1, n))
    rate = facts.bandwidth_bytes_per_s[:, None] * 10.0 ** rng.uniform(-6, 5 if extreme else 1, (n, slots))
    run_s = interval_s[:, None] * rng.choice([0.0, 0.3, 1.0, 1.0001] if extreme else [0.1, 0.3, 1.0], size=(n, slots))
    vcpu = np.stack(
        [rate * interval_s[:, None], rng.integers(0, 1000, (n, slots)), interval_s[:, None] - run_s, run_s], axis=1
    )
    vm = before.vm.copy()
    synced = rng.random(n) < 0.3
    vm[:, VmField.INTERVAL_S] = interval_s
    vm[:, VmField.TIME_S] += interval_s
    vm[:, VmField.SENT_BYTES] += interval_s * facts.bandwidth_bytes_per_s
    vm[:, VmField.REMAINING_BYTES] = facts.memory_bytes * rng.random(n)
    vm[:, VmField.ROUND] += synced
    vm[:, VmField.SYNCS] += synced
    vm[:, VmField.SYNC_TIME_S] = np.where(
        synced, vm[:, VmField.TIME_S] - rng.random(n) * interval_s, vm[:, VmField.SYNC_TIME_S]
    )
    vm[:, VmField.SYNCED_DIRTY_BYTES] += synced * rng.random(n) * facts.memory_bytes
    vm[:, VmField.BANDWIDTH_BYTES_PER_S] = facts.bandwidth_bytes_per_s * 10.0 ** rng.uniform(-2, 1, n)
    present = facts.present[:, None, :]
    return Telemetry(vcpu=(vcpu * present).astype(np.float32), vm=vm, done=before.done)


def random_run(
    seed: int, steps: int = 12, extreme: bool = False, surveyed: bool = False
) -> tuple[Facts, list[Telemetry]]:
    rng = np.random.default_rng(seed)
    facts = random_facts(rng)
    if surveyed:
        facts = replace(facts, survey=random_survey(rng, facts))
    run = [first_telemetry(facts)]
    for _ in range(steps):
        run.append(random_telemetry(rng, facts, run[-1], extreme))
    return facts, run[1:]


def encode_run(facts: Facts, run: list[Telemetry], slots: int = SLOTS, preference=0.2) -> np.ndarray:
    """[T + 1, N, D]."""
    encoder = Encoder(slots)
    return np.array([encoder.reset(facts, preference), *(encoder.encode(each) for each in run)])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), preference=st.floats(1e-4, 1e4), extreme=st.booleans(), surveyed=st.booleans())
def test_features_keep_to_their_ranges(seed, preference, extreme, surveyed):
    facts, run = random_run(seed, extreme=extreme, surveyed=surveyed)
    observations = encode_run(facts, run, preference=preference)
    space = observation_space(SLOTS)
    assert observations.dtype == np.float32
    assert np.isfinite(observations).all()
    outside = (observations < space.low) | (observations > space.high)
    assert not outside.any(), np.argwhere(outside)


class ReferenceEncoder:
    """The feature table in float64 and plain numpy."""

    def __init__(self, facts: Facts, preference: float) -> None:
        n, slots = facts.present.shape
        self.facts, self.preference = facts, preference
        self.before = first_telemetry(facts)
        self.bandwidth_mean = facts.bandwidth_bytes_per_s.copy()
        self.sync_dirty = np.zeros(n)
        self.peaks = [np.zeros((n, slots)), np.zeros((n, slots))]  # this round's, the previous one's
        self.mean_demand, self.round_dirty, self.largest = np.zeros((3, n, slots))
        survey = facts.survey or Survey(np.zeros(n), np.zeros((n, len(MARKS), slots), np.float32))
        self.survey_s, self.surveyed = survey.duration_s, survey.dirtied_bytes.astype(np.float64)

    def encode(self, telemetry: Telemetry) -> dict[str, np.ndarray]:
        """Per-vCPU features are called ``vcpu.NAME``."""
        facts, vm = self.facts, telemetry.vm
        memory, pass_time_s, present = facts.memory_bytes, facts.pass_time_s, facts.present
        dirtied, exits, _, run_s = telemetry.vcpu.astype(np.float64).swapaxes(0, 1)
        interval_s, bandwidth = vm[:, VmField.INTERVAL_S], vm[:, VmField.BANDWIDTH_BYTES_PER_S]
        weight = 1.0 - np.exp(-interval_s / (0.25 * pass_time_s))
        synced = vm[:, VmField.SYNCS] > self.before.vm[:, VmField.SYNCS]
        found = vm[:, VmField.SYNCED_DIRTY_BYTES] - self.before.vm[:, VmField.SYNCED_DIRTY_BYTES]
        self.sync_dirty = np.where(synced, found, self.sync_dirty)
        self.bandwidth_mean += weight * (bandwidth - self.bandwidth_mean)
        rate = dirtied / interval_s[:, None] / bandwidth[:, None]
        share = np.minimum(run_s / interval_s[:, None], 1.0)
        demand = rate / np.maximum(share, 1e-3)
        now, previous = self.peaks
        restart = synced[:, None]
        self.peaks = [np.where(restart, demand, np.maximum(now, demand)), np.where(restart, now, previous)]
        self.mean_demand += weight[:, None] * (demand - self.mean_demand)
        since_sync = np.where(synced, (vm[:, VmField.TIME_S] - vm[:, VmField.SYNC_TIME_S]) / interval_s, 1.0)
        self.round_dirty = self.round_dirty * ~restart + dirtied / memory[:, None] * since_sync[:, None]
        self.largest = np.maximum(self.largest, self.round_dirty)
        self.before = telemetry
        peak = np.maximum(*self.peaks)
        squashed = {
            "time": vm[:, VmField.TIME_S] / pass_time_s,
            "round_time": (vm[:, VmField.TIME_S] - vm[:, VmField.SYNC_TIME_S]) / pass_time_s,
            "interval": interval_s / pass_time_s,
            "remaining": vm[:, VmField.REMAINING_BYTES] / memory,
            "dirty_rate": (rate * present).sum(axis=1),
            "demand": (peak * present).sum(axis=1),
            "round_dirty": (self.round_dirty * present).sum(axis=1),
            "sync_dirty": self.sync_dirty / memory,
            "vcpu.dirty_rate": rate * present,
            "vcpu.demand": demand * present,
            "vcpu.peak_demand": peak * present,
            "vcpu.mean_demand": self.mean_demand * present,
            "vcpu.round_dirty": self.round_dirty * present,
            "vcpu.largest_round": self.largest * present,
            "survey": self.survey_s / pass_time_s,
            "vcpu.survey_rate": self.survey_rate(0.0, 0.125) * present,
            "vcpu.survey_late_rate": self.survey_rate(0.5, 1.0) * present,
            "vcpu.survey_set": self.surveyed[:, -1] / memory[:, None] * present,
        }
        return {name: np.minimum((value + 1e-4) ** 0.25 - 0.1, 6.0) for name, value in squashed.items()} | {
            "round": np.minimum(vm[:, VmField.ROUND] / 20.0, 1.0),
            "bandwidth": np.minimum(bandwidth / facts.bandwidth_bytes_per_s, 4.0),
            "bandwidth_mean": np.minimum(self.bandwidth_mean / facts.bandwidth_bytes_per_s, 4.0),
            "threshold": np.clip(-np.log10(bandwidth * facts.downtime_limit_s / memory) / 5.0, 0.0, 1.5),
            "preference": np.full(len(memory), np.clip(np.log10(self.preference / 0.2), -1.0, 1.5)),
            "vcpus": np.log(facts.vcpus) / np.log(64.0),
            "run_share": (share * present).sum(axis=1) / facts.vcpus,
            "deadline": np.minimum(vm[:, VmField.TIME_S] / facts.deadline_s, 1.0),
            "vcpu.present": present.astype(float),
            "vcpu.run_share": share * present,
            "vcpu.exits": exits / (exits + 10.0) * present,
        }

    def survey_rate(self, begin: float, end: float) -> np.ndarray:
        """[N, V] distinct bytes per second between two marks of the survey, over the bandwidth."""
        counts = {0.0: np.zeros_like(self.surveyed[:, 0])} | {mark: self.surveyed[:, k] for k, mark in enumerate(MARKS)}
        could_send = (end - begin) * self.survey_s * self.facts.bandwidth_bytes_per_s
        made = (self.survey_s > 0.0)[:, None]
        return (counts[end] - counts[begin]) * made / np.where(made, could_send[:, None], 1.0)


@pytest.mark.parametrize("surveyed", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_every_feature_is_what_the_table_says(seed, surveyed):
    facts, run = random_run(seed, surveyed=surveyed)
    observations = encode_run(facts, run, preference=0.7)[1:]
    reference = ReferenceEncoder(facts, 0.7)
    for observation, telemetry in zip(observations, run, strict=True):
        expected = reference.encode(telemetry)
        assert len(expected) == G + len(VCPU_FEATURES)
        for name, value in expected.items():
            ours = (
                per_vcpu(observation, name.removeprefix("vcpu."))
                if name.startswith("vcpu.")
                else observation[:, GLOBAL[name]]
            )
            np.testing.assert_allclose(ours, value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_first_observation_says_that_nothing_has_happened():
    facts = random_facts(np.random.default_rng(0))
    observation = Encoder(SLOTS).reset(facts, 0.2)
    nothing = (
        "time",
        "round_time",
        "interval",
        "dirty_rate",
        "demand",
        "round_dirty",
        "sync_dirty",
        "deadline",
        "preference",
    )
    for name in nothing:
        np.testing.assert_array_equal(observation[:, GLOBAL[name]], 0.0, err_msg=name)
    np.testing.assert_allclose(observation[:, GLOBAL["remaining"]], (1 + 1e-4) ** 0.25 - 0.1, rtol=1e-6)
    for name in ("bandwidth", "bandwidth_mean"):
        np.testing.assert_allclose(observation[:, GLOBAL[name]], 1.0, rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(per_vcpu(observation, "present"), facts.present)


def test_a_backend_starts_with_the_first_telemetry():
    backend = ModelBackend(vcpu_slots=SLOTS)
    begun = backend.start(get_suite("mixed").scenarios(5, seed=1, max_vcpus=SLOTS), [0] * 5)
    expected = first_telemetry(backend.facts)
    np.testing.assert_array_equal(begun.vcpu, expected.vcpu)
    np.testing.assert_array_equal(begun.vm, expected.vm)
    np.testing.assert_array_equal(begun.done, expected.done)


def test_a_backend_that_has_made_a_survey_starts_with_the_first_telemetry_too():
    """All of it is as if nothing had happened, but for the time that the survey took."""
    backend = ModelBackend(vcpu_slots=SLOTS)
    scenarios = get_suite("mixed").scenarios(5, seed=1, max_vcpus=SLOTS)
    begun = backend.start(scenarios, [0] * 5, ControlInterval(0.0, 0.01))
    expected = first_telemetry(backend.facts)
    assert (expected.vm[:, VmField.TIME_S] == backend.facts.survey.duration_s).all()
    np.testing.assert_array_equal(begun.vcpu, expected.vcpu)
    np.testing.assert_array_equal(begun.vm, expected.vm)


def squash(x: float) -> float:
    return min((x + 1e-4) ** 0.25 - 0.1, 6.0)


def one_migration(survey: Survey | None = None) -> Facts:
    """1 GB at 100 MB/s; two of the four slots are vCPUs."""
    return Facts(
        present=np.array([[True, True, False, False]]),
        memory_bytes=np.array([1e9]),
        bandwidth_bytes_per_s=np.array([1e8]),
        downtime_limit_s=np.array([0.3]),
        deadline_s=np.array([200.0]),
        ring_bytes=np.array([2.0**24]),
        survey=survey,
    )


def surveyed_mb(*vcpus: tuple[float, float, float, float]) -> np.ndarray:
    """float32 [1, len(MARKS), SLOTS] from megabytes at the four marks of each vCPU."""
    counts = np.zeros((1, len(MARKS), SLOTS), dtype=np.float32)
    counts[0, :, : len(vcpus)] = np.array(vcpus).T * MB
    return counts


def test_the_features_of_a_survey_are_rates_first_and_late_and_the_set():
    """Two seconds: marks at 0.25, 0.5, 1 and 2 s. One vCPU writes on and on, the other has a set of 30 MB."""
    survey = Survey(np.array([2.0]), surveyed_mb((50.0, 100.0, 200.0, 400.0), (25.0, 28.0, 30.0, 30.0)))
    observation = Encoder(SLOTS).reset(one_migration(survey), 0.2)
    assert observation[0, GLOBAL["survey"]] == pytest.approx(squash(0.2), rel=1e-6)
    assert observation[0, GLOBAL["time"]] == pytest.approx(squash(0.2), rel=1e-6)
    assert observation[0, GLOBAL["round_time"]] == 0.0
    for name, values in {
        "survey_rate": [50.0 / 0.25 / 100.0, 25.0 / 0.25 / 100.0],
        "survey_late_rate": [200.0 / 1.0 / 100.0, 0.0],
        "survey_set": [0.4, 0.03],
    }.items():
        expected = [*(squash(value) for value in values), 0.0, 0.0]
        np.testing.assert_allclose(per_vcpu(observation, name)[0], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_what_a_survey_found_stays_in_view_to_the_end():
    facts, run = random_run(11, surveyed=True)
    observations = encode_run(facts, run)
    for name in ("survey_rate", "survey_late_rate", "survey_set"):
        seen = np.array([per_vcpu(each, name) for each in observations])
        assert (seen[0] > 0.0).any()
        np.testing.assert_array_equal(seen, np.broadcast_to(seen[0], seen.shape), err_msg=name)
    np.testing.assert_array_equal(observations[1:, :, GLOBAL["survey"]], observations[:-1, :, GLOBAL["survey"]])


def test_without_a_survey_its_features_are_zero_as_they_are_where_none_was_made():
    nothing = Survey(np.zeros(1), np.zeros((1, len(MARKS), SLOTS), np.float32))
    without, none_made = (Encoder(SLOTS).reset(one_migration(survey), 0.2) for survey in (None, nothing))
    np.testing.assert_array_equal(without, none_made)
    for name in ("survey_rate", "survey_late_rate", "survey_set"):
        assert (per_vcpu(without, name) == 0.0).all()
    assert without[0, GLOBAL["survey"]] == 0.0


def test_counts_that_a_survey_could_not_take_count_as_nothing_observed():
    """Of the first vCPU all, of the second the first mark: its rate at first is unknown, the rest is as it was."""
    counts = surveyed_mb((50.0, 100.0, 200.0, 400.0), (25.0, 28.0, 30.0, 40.0))
    gaps = counts.copy()
    gaps[0, :, 0] = gaps[0, 0, 1] = np.nan
    whole, partly = (Encoder(SLOTS).reset(one_migration(Survey(np.ones(1), each)), 0.2) for each in (counts, gaps))
    assert np.isfinite(partly).all()
    for name, expected in {"survey_rate": [0.0, 0.0], "survey_late_rate": [0.0, 1.0], "survey_set": [0.0, 1.0]}.items():
        np.testing.assert_array_equal(per_vcpu(partly, name)[0, :2], expected * per_vcpu(whole, name)[0, :2], name)


@pytest.mark.parametrize("duration_s", [1e-300, 1e-30, 1e-9, 1e9])
def test_a_survey_of_any_length_gives_finite_features(duration_s):
    survey = Survey(np.array([duration_s]), surveyed_mb((0.0, 0.0, 0.0, 0.0), (1000.0, 1000.0, 1000.0, 1000.0)))
    observation = Encoder(SLOTS).reset(one_migration(survey), 0.2)
    space = observation_space(SLOTS)
    assert ((space.low <= observation) & (observation <= space.high)).all()
    assert per_vcpu(observation, "survey_rate")[0, 0] == 0.0


def test_encoding_the_telemetry_of_the_start_again_changes_nothing():
    facts, run = random_run(3)
    encoder = Encoder(SLOTS)
    first = encoder.reset(facts, 0.2)
    np.testing.assert_array_equal(encoder.encode(first_telemetry(facts)), first)
    after_two_starts = [encoder.encode(each) for each in run]
    np.testing.assert_array_equal(after_two_starts, encode_run(facts, run)[1:])


def test_reset_forgets_the_last_migrations():
    (facts, run), (others, other_run) = random_run(1), random_run(2)
    encoder = Encoder(SLOTS)
    encoder.reset(others, 1.0)
    for telemetry in other_run:
        encoder.encode(telemetry)
    again = [encoder.reset(facts, 0.2), *(encoder.encode(each) for each in run)]
    np.testing.assert_array_equal(again, encode_run(facts, run))


@pytest.mark.parametrize("surveyed", [False, True])
def test_each_migration_is_encoded_by_itself(surveyed):
    facts, run = random_run(4, surveyed=surveyed)
    preferences = np.linspace(0.1, 1.0, len(facts.memory_bytes))
    together = encode_run(facts, run, preference=preferences)
    for k, preference in enumerate(preferences):
        only = slice(k, k + 1)
        alone = encode_run(
            of_one(facts, k),
            [Telemetry(each.vcpu[only], each.vm[only], each.done[only]) for each in run],
            preference=preference,
        )
        np.testing.assert_array_equal(alone[:, 0], together[:, k])


def test_a_scale_of_bytes_cannot_be_seen_in_telemetry():
    facts, run = random_run(5, surveyed=True)
    larger = replace(
        facts,
        memory_bytes=1000 * facts.memory_bytes,
        bandwidth_bytes_per_s=1000 * facts.bandwidth_bytes_per_s,
        survey=Survey(facts.survey.duration_s, 1000 * facts.survey.dirtied_bytes),
    )
    byte_fields = [
        VmField.SENT_BYTES,
        VmField.REMAINING_BYTES,
        VmField.BANDWIDTH_BYTES_PER_S,
        VmField.SYNCED_DIRTY_BYTES,
    ]
    scaled = []
    for telemetry in run:
        vcpu, vm = telemetry.vcpu.copy(), telemetry.vm.copy()
        vcpu[:, VcpuField.DIRTIED_BYTES] *= 1000
        vm[:, byte_fields] *= 1000
        scaled.append(Telemetry(vcpu, vm, telemetry.done))
    np.testing.assert_allclose(encode_run(larger, scaled), encode_run(facts, run), rtol=1e-5, atol=1e-6)


def _migration(scale: int) -> Scenario:
    return Scenario(
        name="scaled",
        vm=VirtualMachine(memory_bytes=400 * MB * scale),
        workload=(
            writers("sequential", set_mb=100.0 * scale, rate_mb_per_s=12.0 * scale),
            writers("uniform", set_mb=150.0 * scale, rate_mb_per_s=3.0 * scale),
            READERS,
        ),
        link=ConstantLink(bandwidth_bytes_per_s=20 * MB * scale),
        limits=Limits(downtime_s=0.3),
        dirty_log=DirtyLog(clear_chunk_bytes=4096),  # QEMU's chunk is as large for one as for the other
    )


def test_migrations_of_a_gigabyte_and_of_a_terabyte_look_alike():
    observations = []
    for scale in (1, 1000):
        backend, encoder = ModelBackend(NO_COSTS, vcpu_slots=SLOTS), Encoder(SLOTS)
        telemetry = backend.start([_migration(scale)], [0])
        seen = [encoder.reset(backend.facts, 0.3)]
        command = replace(
            free_command(backend.facts),
            dirty_limit_bytes_per_s=np.float32([[4.0 * MB * scale, np.inf, np.inf, np.inf]]),
        )
        while not telemetry.done[0]:
            telemetry = backend.step(command, np.array([0.5]))
            seen.append(encoder.encode(telemetry))
        observations.append(np.array(seen))
    assert len(observations[0]) > 20
    np.testing.assert_allclose(observations[1], observations[0], rtol=2e-3, atol=2e-3)


def test_what_a_backend_cannot_measure_counts_as_nothing_observed():
    facts, run = random_run(6)
    unmeasured, filled = [], []
    for telemetry in run:
        vcpu = telemetry.vcpu.copy()
        vcpu[:, [VcpuField.QUOTA_EXITS, VcpuField.RUN_S, VcpuField.STALLED_S]] = np.nan
        unmeasured.append(replace(telemetry, vcpu=vcpu))
        vcpu = telemetry.vcpu.copy()
        vcpu[:, VcpuField.QUOTA_EXITS] = 0.0
        vcpu[:, VcpuField.RUN_S] = telemetry.vm[:, VmField.INTERVAL_S, None]
        filled.append(replace(telemetry, vcpu=vcpu))
    seen = encode_run(facts, unmeasured)
    assert np.isfinite(seen).all()
    np.testing.assert_allclose(seen, encode_run(facts, filled), rtol=1e-6, atol=1e-6)


def test_a_backend_that_measures_no_vcpu_gives_finite_observations():
    facts, run = random_run(7)
    blind = [replace(each, vcpu=np.full_like(each.vcpu, np.nan)) for each in run]
    seen = encode_run(facts, blind)
    assert np.isfinite(seen).all()
    assert (per_vcpu(seen[-1], "dirty_rate") == 0.0).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), order=st.permutations(range(SLOTS)))
def test_vcpus_that_change_places_take_their_features_along(seed, order):
    facts, run = random_run(seed, surveyed=True)
    survey = Survey(facts.survey.duration_s, facts.survey.dirtied_bytes[:, :, order])
    permuted = encode_run(
        replace(facts, present=facts.present[:, order], survey=survey),
        [replace(each, vcpu=each.vcpu[:, :, order]) for each in run],
    )
    plain = encode_run(facts, run)
    np.testing.assert_allclose(permuted[..., :G], plain[..., :G], rtol=1e-5, atol=1e-6)
    shape = (*plain.shape[:2], len(VCPU_FEATURES), SLOTS)
    np.testing.assert_array_equal(permuted[..., G:].reshape(shape), plain[..., G:].reshape(shape)[..., order])


def test_more_slots_add_zeros_and_change_nothing_else():
    facts, run = random_run(8, surveyed=True)
    narrow, wide = encode_run(facts, run), encode_run(facts, run, slots=WIDER_SLOTS)
    np.testing.assert_allclose(wide[..., :G], narrow[..., :G], rtol=1e-6)
    for observation_narrow, observation_wide in zip(narrow, wide, strict=True):
        for name in PER_VCPU:
            # The compiler may round wider loops differently in the last bit.
            np.testing.assert_allclose(
                per_vcpu(observation_wide, name)[:, :SLOTS], per_vcpu(observation_narrow, name), rtol=1e-6
            )
            assert (per_vcpu(observation_wide, name)[:, SLOTS:] == 0.0).all()


def test_absent_slots_of_wider_telemetry_are_cut():
    facts, run = random_run(8, surveyed=True)
    padding = ((0, 0), (0, WIDER_SLOTS - SLOTS))
    counts = np.pad(facts.survey.dirtied_bytes, ((0, 0), *padding))
    wide = replace(facts, present=np.pad(facts.present, padding), survey=Survey(facts.survey.duration_s, counts))
    wide_run = [replace(each, vcpu=np.pad(each.vcpu, ((0, 0), *padding))) for each in run]
    np.testing.assert_array_equal(encode_run(wide, wide_run), encode_run(facts, run))


def test_more_vcpus_than_slots_are_refused():
    facts = random_facts(np.random.default_rng(0), n=20)
    with pytest.raises(ValueError, match="4 vCPUs do not fit the 2 vCPU slots"):
        Encoder(2).reset(facts, 0.2)


def test_a_manifest_can_carry_the_encoder():
    spec = json.loads(json.dumps(Encoder(SLOTS).spec()))
    restored = Encoder.from_spec(spec)
    facts, run = random_run(9)
    assert restored.vcpu_slots == SLOTS
    restored.reset(facts, 0.2)
    np.testing.assert_array_equal([restored.encode(each) for each in run], encode_run(facts, run)[1:])


@pytest.mark.parametrize("key", ["version", "mean_time_constant_t0", "global_features", "vcpu_features"])
def test_a_manifest_of_other_features_is_refused(key):
    spec = Encoder(SLOTS).spec() | {key: "other"}
    with pytest.raises(ValueError, match=rf"observation: {key} is 'other'"):
        Encoder.from_spec(spec)


def test_features_are_described():
    for feature in (*GLOBAL_FEATURES, *VCPU_FEATURES):
        assert feature.low < feature.high
        assert feature.name.isidentifier()
        assert feature.unit
        assert feature.source
    assert len(GLOBAL) == G
    assert len(PER_VCPU) == len(VCPU_FEATURES)
    assert Encoder(SLOTS).observation_size == G + len(VCPU_FEATURES) * SLOTS == observation_space(SLOTS).shape[0]


def test_the_threshold_is_that_of_the_downtime_limit_in_force():
    facts = random_facts(np.random.default_rng(3))
    start = first_telemetry(facts)

    def threshold(limit_s):
        encoder = Encoder(SLOTS)
        encoder.reset(facts, 0.2)
        vm = start.vm.copy()
        vm[:, VmField.DOWNTIME_LIMIT_S] = limit_s
        return encoder.encode(replace(start, vm=vm))

    usual = threshold(facts.downtime_limit_s)
    np.testing.assert_array_equal(threshold(0.0), usual)  # who does not say means that of the facts
    doubled = threshold(2.0 * facts.downtime_limit_s)
    expected = Encoder(SLOTS).reset(replace(facts, downtime_limit_s=2.0 * facts.downtime_limit_s), 0.2)
    np.testing.assert_array_equal(doubled, expected)
