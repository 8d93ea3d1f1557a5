"""Observations: ranges, invariances, and the definitions of the feature table computed another way."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.model import ModelBackend
from dqgym.envs.spaces import observation_space
from dqgym.scenario import ConstantLink, Limits, Scenario, VirtualMachine
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.command import free_command
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES
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


def random_run(seed: int, steps: int = 12, extreme: bool = False) -> tuple[Facts, list[Telemetry]]:
    rng = np.random.default_rng(seed)
    facts = random_facts(rng)
    run = [first_telemetry(facts)]
    for _ in range(steps):
        run.append(random_telemetry(rng, facts, run[-1], extreme))
    return facts, run[1:]


def encode_run(facts: Facts, run: list[Telemetry], slots: int = SLOTS, preference=0.2) -> np.ndarray:
    """[T + 1, N, D]."""
    encoder = Encoder(slots)
    return np.array([encoder.reset(facts, preference), *(encoder.encode(each) for each in run)])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), preference=st.floats(1e-4, 1e4), extreme=st.booleans())
def test_features_keep_to_their_ranges(seed, preference, extreme):
    facts, run = random_run(seed, extreme=extreme)
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


@pytest.mark.parametrize("seed", range(5))
def test_every_feature_is_what_the_table_says(seed):
    facts, run = random_run(seed)
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


def test_each_migration_is_encoded_by_itself():
    facts, run = random_run(4)
    preferences = np.linspace(0.1, 1.0, len(facts.memory_bytes))
    together = encode_run(facts, run, preference=preferences)
    for k, preference in enumerate(preferences):
        only = slice(k, k + 1)
        alone = encode_run(
            Facts(**{name: getattr(facts, name)[only] for name in Facts.__dataclass_fields__}),
            [Telemetry(each.vcpu[only], each.vm[only], each.done[only]) for each in run],
            preference=preference,
        )
        np.testing.assert_array_equal(alone[:, 0], together[:, k])


def test_a_scale_of_bytes_cannot_be_seen_in_telemetry():
    facts, run = random_run(5)
    larger = replace(
        facts, memory_bytes=1000 * facts.memory_bytes, bandwidth_bytes_per_s=1000 * facts.bandwidth_bytes_per_s
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
    facts, run = random_run(seed)
    permuted = encode_run(
        replace(facts, present=facts.present[:, order]), [replace(each, vcpu=each.vcpu[:, :, order]) for each in run]
    )
    plain = encode_run(facts, run)
    np.testing.assert_allclose(permuted[..., :G], plain[..., :G], rtol=1e-5, atol=1e-6)
    shape = (*plain.shape[:2], len(VCPU_FEATURES), SLOTS)
    np.testing.assert_array_equal(permuted[..., G:].reshape(shape), plain[..., G:].reshape(shape)[..., order])


def test_more_slots_add_zeros_and_change_nothing_else():
    facts, run = random_run(8)
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
    facts, run = random_run(8)
    padding = ((0, 0), (0, WIDER_SLOTS - SLOTS))
    wide = replace(facts, present=np.pad(facts.present, padding))
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
