"""Scenarios as arrays: what the kernel starts migrations from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import IntArray
from dqgym.errors import BadInputError
from dqgym.model.kernel.links import NEVER
from dqgym.model.layout import IN_STEP, UNLIMITED_RATE, VCPU_PARAMETERS, VM_PARAMETERS, LinkKind, Vcpu, Vm, slots_for
from dqgym.model.parameters import ModelParameters, fault_s_of, ring_exit_s, run_slice_s
from dqgym.scenario import (
    Bursty,
    ConstantLink,
    HotSet,
    Link,
    MarkovLink,
    OrnsteinUhlenbeckLink,
    Phased,
    Recorded,
    Scenario,
    Schedule,
    StepsLink,
    TraceLink,
    VcpuGroup,
)
from dqgym.scenario.limits import Span
from dqgym.scenario.link import ORNSTEIN_UHLENBECK_CLIP
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.telemetry.telemetry import Facts

_NO_PERIOD_S = 1e30
_MOST_SETS = 1e6
_MOST_TABLE_ENTRIES = 2**24
"""Of all scenarios of a pool together: indices of tables are float32 numbers, which are whole up to here."""


@dataclass(frozen=True)
class ScenarioPool:
    """M scenarios for kernels with V vCPU slots.

    Attributes:
        vcpu: float32 [M, VCPU_PARAMETERS, V], the parameter rows of ``Vcpu``.
        vm: float64 [M, VM_PARAMETERS], the parameter columns of ``Vm``.
        table_times: float64, the times of all stepped links and recorded schedules, one after another (LINK_A and
            TABLE_FIRST say where each begins).
        table_values: float64, their bandwidths, or integrals of the rate factor.
    """

    vcpu: NDArray[np.float32]
    vm: NDArray[np.float64]
    table_times: NDArray[np.float64]
    table_values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.vm)

    @property
    def slots(self) -> int:
        """Number of vCPU slots."""
        return self.vcpu.shape[2]

    def take(self, places: IntArray) -> ScenarioPool:
        """The scenarios at these places, in that order; one may come more than once."""
        return replace(self, vcpu=self.vcpu[places], vm=self.vm[places])

    def facts(self) -> Facts:
        """Of a migration of each scenario."""
        return Facts(
            present=self.vcpu[:, Vcpu.PRESENT] > 0,
            memory_bytes=self.vm[:, Vm.MEMORY_BYTES].copy(),
            bandwidth_bytes_per_s=self.vm[:, Vm.NOMINAL_BANDWIDTH].copy(),
            downtime_limit_s=self.vm[:, Vm.DOWNTIME_LIMIT_S].copy(),
            deadline_s=self.vm[:, Vm.DEADLINE_S].copy(),
            ring_bytes=self.vm[:, Vm.RING_BYTES].copy(),
        )


def pack_scenarios(
    scenarios: Sequence[Scenario],
    parameters: ModelParameters | Sequence[ModelParameters],
    vcpu_slots: int | None = None,
) -> ScenarioPool:
    """Arrays of the scenarios, all under the same constants or each under its own.

    A scenario object that comes more than once is packed once: searches play the same few again and again.

    Raises:
        BadInputError: a scenario has more vCPUs than ``vcpu_slots`` (None: as many as needed), or tables are too long.
    """
    if not scenarios:
        raise BadInputError("no scenarios: at least one is needed")
    constants = [parameters] * len(scenarios) if isinstance(parameters, ModelParameters) else parameters
    distinct, places = _distinct(list(zip(scenarios, constants, strict=True)))
    pool = _packed(distinct, vcpu_slots)
    return pool if len(distinct) == len(scenarios) else pool.take(places)


_Pair = tuple[Scenario, ModelParameters]
"""A scenario, and the constants that it is played under."""


def _distinct(pairs: Sequence[_Pair]) -> tuple[list[_Pair], IntArray]:
    """The pairs without those that are the same objects as an earlier one; where each of all pairs is among them."""
    first: dict[tuple[int, int], int] = {}
    distinct: list[_Pair] = []
    places = np.empty(len(pairs), dtype=np.int64)
    for n, pair in enumerate(pairs):
        place = first.setdefault((id(pair[0]), id(pair[1])), len(distinct))
        if place == len(distinct):
            distinct.append(pair)
        places[n] = place
    return distinct, places


def _packed(pairs: Sequence[_Pair], vcpu_slots: int | None) -> ScenarioPool:
    most = max(scenario.vcpus for scenario, _ in pairs)
    slots = slots_for(most if vcpu_slots is None else vcpu_slots)
    if most > slots:
        widest, _ = max(pairs, key=lambda pair: pair[0].vcpus)
        raise BadInputError(f"scenario {widest.name!r} has {most} vCPUs, more than vcpu_slots={slots}")
    vcpu = np.zeros((len(pairs), VCPU_PARAMETERS, slots), dtype=np.float32)
    vm = np.zeros((len(pairs), VM_PARAMETERS))
    # The kernel divides by these, in absent slots, too.
    vcpu[:, [Vcpu.LOW, Vcpu.DUTY, Vcpu.FIRST_S, Vcpu.AGAIN_S, Vcpu.RING_STORES]] = 1.0
    vcpu[:, Vcpu.PERIOD] = _NO_PERIOD_S
    table: list[tuple[float, float]] = [(0.0, 0.0)]
    """(time, bandwidth) of stepped links and (time, integral of the rate factor) of recorded schedules."""
    for m, (scenario, own) in enumerate(pairs):
        slot = 0
        for group in scenario.workload:
            columns = slice(slot, slot + group.vcpus)
            for row, value in _vcpu_parameters(group, scenario, own, table).items():
                vcpu[m, row, columns] = value
            slot += group.vcpus
        for column, number in _vm_parameters(scenario, own, table).items():
            vm[m, column] = number
    if len(table) > _MOST_TABLE_ENTRIES:
        raise BadInputError(
            f"the tables of links and recorded schedules have {len(table):,} entries in all; allowed: at most"
            f" {_MOST_TABLE_ENTRIES:,}"
        )
    times, values = np.array(table).T
    return ScenarioPool(vcpu, vm, np.ascontiguousarray(times), np.ascontiguousarray(values))


def _vcpu_parameters(
    group: VcpuGroup, scenario: Scenario, parameters: ModelParameters, table: list[tuple[float, float]]
) -> dict[Vcpu, float | list[float]]:
    """The parameter rows of the vCPUs of a group; a list has a number for each, in order.

    A store at random dirties a whole page, so its demand and speed count in pages; a sequential writer fills a page
    with many stores and takes one fault for it.
    """
    page_bytes, sequential = scenario.vm.dirty_granule_bytes, group.sequential
    store_s = BASE_PAGE_BYTES / parameters.write_bytes_per_s
    stores_per_page = page_bytes / BASE_PAGE_BYTES if sequential else 1.0
    hot, working_set = group.hot_set, group.working_set_bytes
    hot_bytes = working_set * hot.fraction if hot else 0.0
    fault_s = fault_s_of(scenario, parameters)
    ring_stores = _stores_that_fill(scenario.full_ring_bytes, group)
    rows: dict[Vcpu, float | list[float]] = {
        Vcpu.PRESENT: 1.0,
        Vcpu.SEQUENTIAL: float(sequential),
        Vcpu.OPEN: float(group.demand == "open"),
        Vcpu.RATE: group.write_rate_bytes_per_s * (1.0 if sequential else page_bytes / BASE_PAGE_BYTES),
        Vcpu.FIRST_S: (stores_per_page * store_s + fault_s) / page_bytes,
        Vcpu.AGAIN_S: stores_per_page * store_s / page_bytes,
        Vcpu.HOT_SHARE: hot.share if hot else 0.0,
        Vcpu.HOT_BYTES: hot_bytes,
        Vcpu.COLD_BYTES: working_set - hot_bytes,
        Vcpu.PER_HOT: _inverse(hot_bytes),
        Vcpu.PER_COLD: _inverse(working_set - hot_bytes),
        Vcpu.PER_BYTE: _inverse(working_set),
        Vcpu.PAGE_BYTES: page_bytes,
        Vcpu.RING_STORES: ring_stores,
        Vcpu.RUN_SLICE_S: run_slice_s(scenario.dirty_log, parameters),
        Vcpu.RING_EXIT_S: ring_exit_s(scenario, parameters) / ring_stores if scenario.dirty_log.kind == "ring" else 0.0,
    }
    schedule = group.schedule
    if isinstance(schedule, Phased | Bursty):
        rows |= {
            Vcpu.RANDOM_PERIOD: _random_periods(schedule, group.vcpus),
            Vcpu.LOW: schedule.low_rate_fraction,
            Vcpu.DUTY: schedule.duty,
            Vcpu.PERIOD: schedule.period_s,
            Vcpu.OFFSET: schedule.offset * schedule.period_s,
        }
    elif isinstance(schedule, Recorded):
        entries = _integrated(schedule)
        rows |= {
            Vcpu.DUTY: 0.0,
            Vcpu.TABLE_FIRST: len(table),
            Vcpu.TABLE_ENTRIES: len(entries),
            Vcpu.TABLE_PERIOD: schedule.period_s or 0.0,
        }
        table.extend(entries)
    return rows


def _random_periods(schedule: Schedule, vcpus: int) -> float | list[float]:
    """RANDOM_PERIOD of the vCPUs of a group."""
    if isinstance(schedule, Phased) and schedule.jitter > 0:
        return [schedule.jitter, *[IN_STEP] * (vcpus - 1)]
    return float(isinstance(schedule, Bursty))


def _integrated(schedule: Recorded) -> list[tuple[float, float]]:
    """(time, integral of the rate factor from 0 to then), up to the period's end or 1 s beyond the last time."""
    times_s = np.array([*schedule.times_s, schedule.period_s or schedule.times_s[-1] + 1.0])
    integrals_s = np.concatenate([[0.0], np.cumsum(np.diff(times_s) * schedule.rate_factors)])
    return list(zip(times_s.tolist(), integrals_s.tolist(), strict=True))


def _stores_that_fill(ring_bytes: int, group: VcpuGroup) -> float:
    """Bytes of stores after which an empty ring is full: it takes each page once, until it is emptied."""
    working_set = group.working_set_bytes
    if working_set <= ring_bytes:
        return UNLIMITED_RATE
    if group.sequential:
        return ring_bytes
    if group.hot_set is None:
        return -math.log1p(-ring_bytes / working_set) * working_set
    return min(_hot_cold_sets_that_enter(ring_bytes / working_set, group.hot_set) * working_set, UNLIMITED_RATE)


def _hot_cold_sets_that_enter(share_of_set: float, hot: HotSet) -> float:
    """Stores, in working sets, that reach this share of a hot-cold set's pages."""
    parts = ((hot.fraction, hot.share), (1.0 - hot.fraction, 1.0 - hot.share))

    def missing(working_sets: float) -> float:
        return share_of_set + sum(size * math.expm1(-working_sets * share / size) for size, share in parts if size > 0)

    if missing(_MOST_SETS) >= 0:  # stores that (all but) never go to the cold part fill no ring that is larger
        return UNLIMITED_RATE
    return _root(missing, 0.0, _MOST_SETS)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a function goes from positive to negative, to the last bit, by halving [low, high]."""
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (middle, high) if falling(middle) > 0.0 else (low, middle)
    return high


def _inverse(size: float) -> float:
    return 1.0 / size if size > 0 else 0.0


def _vm_parameters(
    scenario: Scenario, parameters: ModelParameters, table: list[tuple[float, float]]
) -> dict[Vm, float]:
    """The parameter columns of a scenario; a stepped link appends its (time, bandwidth) pairs to ``table``."""
    return {
        Vm.MEMORY_BYTES: scenario.vm.memory_bytes,
        Vm.ZERO_BYTES: scenario.vm.zero_bytes,
        Vm.NOMINAL_BANDWIDTH: scenario.bandwidth_bytes_per_s,
        Vm.DOWNTIME_LIMIT_S: scenario.limits.downtime_s,
        Vm.DEADLINE_S: scenario.deadline_s,
        Vm.PASS_TIME_S: scenario.pass_time_s,
        Vm.VCPUS: scenario.vcpus,
        Vm.RECORDED: float(any(isinstance(group.schedule, Recorded) for group in scenario.workload)),
        Vm.LAZY_CLEAR: float(scenario.cleared_ahead < 1.0),
        Vm.CLEARED_AHEAD: scenario.cleared_ahead if scenario.cleared_ahead < 1.0 else 0.0,
        Vm.SYNC_WAITS: float(scenario.dirty_log.sync_waits),
        Vm.RINGS: float(scenario.dirty_log.kind == "ring"),
        Vm.RING_BYTES: scenario.ring_bytes,
        Vm.LINE_SPEED: scenario.link.last_stage_bytes_per_s or 0.0,
        Vm.DEVICE_RATE: scenario.device.rate_bytes_per_s * scenario.vm.dirty_granule_bytes / BASE_PAGE_BYTES,
        Vm.DEVICE_BYTES: scenario.device.working_set_bytes,
        Vm.SCAN_BYTES_PER_S: scenario.host_or_default.scan_speed_bytes_per_s,
        Vm.LAST_STAGE_S: scenario.last_stage_s,
        Vm.EXIT_BYTES_PER_S: parameters.exit_bytes_per_s,
        Vm.CONTENTION: parameters.contention,
        Vm.OVERSHOOT_BYTES: parameters.overshoot_bytes,
        Vm.PAUSES_AT_DEADLINE: float(scenario.limits.pauses_at_deadline),
        Vm.MAX_ROUNDS: scenario.limits.max_rounds or NEVER,
        Vm.PAUSES_AFTER_ROUNDS: float(scenario.limits.pauses_after_rounds),
        **_growth_parameters(scenario),
        **_link_parameters(scenario.link, table),
    }


def _growth_parameters(scenario: Scenario) -> dict[Vm, float]:
    """The columns of a downtime limit that grows."""
    growth = scenario.limits.downtime_growth
    if growth is None or growth.end_s <= scenario.limits.downtime_s:
        return {Vm.GROWTH_FIRST_S: NEVER, Vm.GROWTH_FIRST_ROUND: NEVER}
    pace, rise = growth.pace, growth.rise_from(scenario.limits.downtime_s)
    by_rounds = pace.unit == "rounds"
    # A delay of one round is over when the second begins.
    first = growth.first or (Span(pace.value + 1.0, "rounds") if by_rounds else pace)
    first_by_rounds = first.unit == "rounds"
    return {
        Vm.GROWTH_FIRST_S: NEVER if first_by_rounds else scenario.in_seconds(first),
        Vm.GROWTH_FIRST_ROUND: first.value if first_by_rounds else NEVER,
        Vm.GROWTH_EVERY_S: 0.0 if by_rounds else scenario.in_seconds(pace),
        Vm.GROWTH_EVERY_ROUNDS: pace.value if by_rounds else 0.0,
        Vm.GROWTH_FACTOR: rise.factor,
        Vm.GROWTH_ADD_S: rise.add_s,
        Vm.GROWTH_END_S: rise.end_s,
    }


def _link_parameters(link: Link, table: list[tuple[float, float]]) -> dict[Vm, float]:
    """LINK_KIND and LINK_A .. LINK_D, as ``LinkKind`` says."""
    kind, numbers = LinkKind.CONSTANT, tuple[float, ...]()
    match link:
        case ConstantLink():
            kind, numbers = LinkKind.CONSTANT, (link.as_sent(link.bandwidth_bytes_per_s),)
        case StepsLink() | TraceLink():
            first = len(table)
            table.extend(zip(link.times_s, map(link.as_sent, link.bandwidths_bytes_per_s), strict=True))
            kind, numbers = LinkKind.TABLE, (first, len(link.times_s), link.period_s or 0.0)
        case MarkovLink():
            levels = (link.as_sent(link.high_bandwidth_bytes_per_s), link.as_sent(link.low_bandwidth_bytes_per_s))
            kind, numbers = LinkKind.MARKOV, (*levels, link.high_hold_s, link.low_hold_s)
        case OrnsteinUhlenbeckLink():
            mean = link.mean_bandwidth_bytes_per_s
            highest = link.as_sent(min(ORNSTEIN_UHLENBECK_CLIP[1] * mean, link.line_speed_bytes_per_s or np.inf))
            kind, numbers = (
                LinkKind.ORNSTEIN_UHLENBECK,
                (mean, link.relative_sd * mean, link.correlation_time_s, highest),
            )
    columns = (Vm.LINK_A, Vm.LINK_B, Vm.LINK_C, Vm.LINK_D)
    return {Vm.LINK_KIND: float(kind), **dict(zip(columns, numbers, strict=False))}
