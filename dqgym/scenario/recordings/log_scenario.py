"""A log of a migration as a scenario, and what in it was inferred, with how sure that is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.errors import BadInputError
from dqgym.scenario.bounds import MOST_NAME_CHARACTERS
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.scenario.faults import telling
from dqgym.scenario.limits import Limits
from dqgym.scenario.link import TraceLink
from dqgym.scenario.recordings.inference import STEADY_MISS, Demand, demand_of_resent, infer_demand
from dqgym.scenario.recordings.migration_log import MigrationLog, Reading, rounds_of
from dqgym.scenario.recordings.qemu_runs import RecordingError
from dqgym.scenario.recordings.qemu_scenario import limits
from dqgym.scenario.recordings.replay import held
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.vm import BASE_PAGE_BYTES, VirtualMachine, whole_pages
from dqgym.scenario.workload import MAX_VCPUS, Recorded, Schedule, Steady, VcpuGroup
from dqgym.units import MIB, format_time

Sureness = Literal["told", "sure", "rough", "at least", "assumed"]
"""``told``: by the log or the user. ``sure``: inferred, and nothing else would fit. ``rough``: inferred, but the log is
coarse. ``at least``: it may be more. ``assumed``: the log does not say."""
STEP_S = 1.0
"""A step of the link's trace, at least."""


@dataclass(frozen=True)
class Finding:
    """One thing about a migration.

    Attributes:
        what: in words.
        value: with a unit.
        sure: how sure it is.
        why: from what it was taken.
    """

    what: str
    value: str
    sure: Sureness
    why: str


@dataclass(frozen=True)
class Told:
    """What the user says of a migration, beside its log.

    Attributes:
        name: of the scenario.
        vcpus: how many.
        writers: of them that write; the others read.
        downtime_limit_s: that was set.
    """

    name: str | None = None
    vcpus: int | None = None
    writers: int | None = None
    downtime_limit_s: float | None = None


@dataclass(frozen=True)
class Imported:
    """A scenario, and where it comes from.

    Attributes:
        scenario: for any throttle.
        log: that it was made of.
        demand: of its guest; None: it never wrote.
        findings: what was told, inferred and assumed.
    """

    scenario: Scenario
    log: MigrationLog
    demand: Demand | None
    findings: tuple[Finding, ...]


def import_log(log: MigrationLog, told: Told | None = None) -> Imported:
    """The scenario that a log shows: what its guest demanded, not what was found dirty or what a throttle left of it.

    Raises:
        RecordingError: nothing was sent, or the scenario is beyond the limits of ``dqgym.scenario.bounds``.
        BadInputError: what the user tells does not fit.
    """
    told = told or Told()
    zero_bytes = whole_pages(_zero_bytes(log))
    memory_bytes = max(whole_pages(log.total_bytes) - zero_bytes, BASE_PAGE_BYTES)
    vcpus, writers = _vcpus(log, told)
    demand = _demand(log, memory_bytes)
    with telling(f"the log {log.name[:60]!r} makes no scenario", RecordingError):
        link = _link(log)
        limit_s = told.downtime_limit_s or log.downtime_limit_s or Limits().downtime_s
        most_time_s = log.most_time_s or 0.0
        scenario = Scenario(
            name=_name(told.name or log.name),
            vm=VirtualMachine(memory_bytes=memory_bytes, zero_bytes=zero_bytes),
            workload=_workload(demand, memory_bytes, vcpus, writers),
            link=link,
            limits=limits(limit_s, most_time_s * link.nominal_bandwidth_bytes_per_s / memory_bytes),
            dirty_log=DirtyLog(kind="ring", ring_entries=log.ring_entries) if log.ring_entries else DirtyLog(),
        )
    return Imported(scenario, log, demand, tuple(_findings(log, told, scenario, demand)))


def with_demand(scenario: Scenario, demand: Demand) -> Scenario:
    """An imported scenario whose guest writes otherwise."""
    first = scenario.workload[0]
    workload = _workload(demand, scenario.vm.memory_bytes, scenario.vcpus, first.vcpus)
    return scenario.model_copy(update={"workload": workload})


def refound(imported: Imported, demand: Demand, told: Told | None = None) -> Imported:
    """The import with another guest, and what is then found."""
    scenario = with_demand(imported.scenario, demand)
    findings = tuple(_findings(imported.log, told or Told(), scenario, demand))
    return replace(imported, scenario=scenario, demand=demand, findings=findings)


def _demand(log: MigrationLog, memory_bytes: float) -> Demand | None:
    demand = infer_demand(rounds_of(log), memory_bytes, log.written_bytes, log.in_a_loop)
    if demand is None and not log.rounds_told:
        last = log.readings[-1]
        demand = demand_of_resent(last.sent_bytes, memory_bytes, last.time_s)
    return demand


def _zero_bytes(log: MigrationLog) -> float:
    """Zero pages of the first pass, which is over with the second sync after it; later ones were written to zero."""
    first_pass = [one for one in log.readings if one.syncs is not None and one.syncs <= 2] or log.readings
    return min(first_pass[-1].zero_bytes, log.total_bytes)


def _link(log: MigrationLog) -> TraceLink:
    """What was sent, step by step, without the last stage of a migration that completed."""
    readings = log.readings[:-1] if log.converged and len(log.readings) > 2 else log.readings
    steps = [Reading(0.0, 0.0), *_spaced(readings)]
    time_s = np.array([one.time_s for one in steps])
    sent, zeros = (np.diff([getattr(one, name) for one in steps]) for name in ("sent_bytes", "zero_bytes"))
    bandwidth: FloatArray = sent / np.diff(time_s)
    # While zero pages are scanned little is sent, which says nothing of the link.
    known = (sent > 0) & (zeros <= sent)
    rates = held(bandwidth, known if known.any() else sent > 0)
    if not rates.any():
        raise RecordingError(f"{log.name}: nothing was sent: there is nothing to import")
    return TraceLink(times_s=tuple(time_s[:-1].tolist()), bandwidths_bytes_per_s=tuple(rates.tolist()))


def _spaced(readings: tuple[Reading, ...]) -> list[Reading]:
    """Those that are ``STEP_S`` apart, or more; the last one always, instead of one that would be too near."""
    kept: list[Reading] = []
    for reading in readings:
        if reading.time_s - (kept[-1].time_s if kept else 0.0) >= STEP_S:
            kept.append(reading)
    if not kept or kept[-1] is not readings[-1]:
        kept = [*kept[:-1], readings[-1]] if kept else [readings[-1]]
    return kept


def _vcpus(log: MigrationLog, told: Told) -> tuple[int, int]:
    vcpus = told.vcpus or log.vcpus or told.writers or 1
    writers = told.writers or vcpus
    if not 1 <= writers <= vcpus <= MAX_VCPUS:
        raise BadInputError(
            f"{writers} writers of {vcpus} vCPUs: writers must be from 1 to the vCPUs, {MAX_VCPUS} at most"
        )
    return vcpus, writers


def _workload(demand: Demand | None, memory_bytes: int, vcpus: int, writers: int) -> tuple[VcpuGroup, ...]:
    if demand is None:
        return (VcpuGroup(vcpus=vcpus, pattern="read-only"),)
    each_bytes = max(whole_pages(min(demand.working_set_bytes, memory_bytes) / writers), BASE_PAGE_BYTES)
    schedule: Schedule = Recorded(times_s=demand.times_s, rate_factors=demand.factors) if demand.factors else Steady()
    group = VcpuGroup(
        vcpus=writers,
        pattern=demand.pattern,
        working_set_bytes=each_bytes,
        write_rate_bytes_per_s=demand.rate_bytes_per_s / writers,
        schedule=schedule,
    )
    readers = vcpus - writers
    return (group, VcpuGroup(vcpus=readers, pattern="read-only")) if readers else (group,)


def _findings(log: MigrationLog, told: Told, scenario: Scenario, demand: Demand | None) -> Iterator[Finding]:
    vm = scenario.vm
    zeros: Sureness = "told" if log.rounds_told else "rough"
    yield Finding("memory", _mib(vm.memory_bytes), zeros, "the guest's memory without its zero pages")
    yield Finding("zero pages", _mib(vm.zero_bytes), zeros, "announced in the first pass")
    yield Finding(
        "vCPUs",
        f"{scenario.vcpus}, {sum(group.write_rate_bytes_per_s > 0 for group in scenario.vcpu_groups)} of them write",
        "told" if told.vcpus or log.vcpus else "assumed",
        "all writers alike; --vcpus and --writers say otherwise",
    )
    bandwidth = scenario.link.nominal_bandwidth_bytes_per_s
    yield Finding("bandwidth", f"{_mib(bandwidth)}/s in the mean", "sure", "what was sent, step by step")
    yield from _of_demand(demand)
    limit = told.downtime_limit_s or log.downtime_limit_s
    yield Finding(
        "downtime limit",
        format_time(scenario.limits.downtime_s),
        "assumed" if limit is None else "told",
        "the log does not say it; --downtime does" if limit is None else "as it was set",
    )


def _of_demand(demand: Demand | None) -> Iterator[Finding]:
    if demand is None:
        yield Finding("writes", "none", "sure", "no round found more than the rounding of the log")
        return
    words = {"sequential": "in a loop", "uniform": "at random"}[demand.pattern]
    why = (
        f"{demand.rounds} rounds, met within {demand.miss:.0%} in the mean" if demand.rounds else "sent more than once"
    )
    close: Sureness = "sure" if demand.rounds > 1 and demand.miss <= STEADY_MISS and not demand.factors else "rough"
    yield Finding("writes", words + (", at a rate that changes" if demand.factors else ", at one rate"), close, why)
    yield Finding(
        "working set",
        _mib(demand.working_set_bytes),
        "at least" if demand.set_is_least else close,
        "one of twice the size would have left the same log"
        if demand.set_is_least
        else "where rounds of other lengths level off",
    )
    yield Finding(
        "write rate",
        f"{_mib(demand.rate_bytes_per_s)}/s",
        "at least" if demand.rate_is_least else close,
        "one twice as fast would have left the same log"
        if demand.rate_is_least
        else "found over the time that vCPUs ran",
    )


def _mib(size_bytes: float) -> str:
    """Four digits are more than a log is good for."""
    return f"{float(f'{size_bytes / MIB:.4g}'):,g} MiB"


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:MOST_NAME_CHARACTERS]
