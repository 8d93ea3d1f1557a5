"""The same migration in small, for hosts that do not have the memory or the link of the original.

Kept is whatever has no dimension, so that times in units of T0 and the guest's run share come out alike: rates over the
bandwidth, sizes over the memory, times (downtime, deadline, periods, hold times) over the pass time T0, and
what each vCPU does. Not kept are constants of the host that no scenario holds, such as the interval of a quota: set
against a shorter T0 they weigh more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from dqgym.errors import BadInputError
from dqgym.scenario.dirty_log import LARGEST_RING_ENTRIES, SMALLEST_RING_ENTRIES, DirtyLog
from dqgym.scenario.faults import telling
from dqgym.scenario.hosts.host import Host
from dqgym.scenario.limits import Span
from dqgym.scenario.record import Record
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.vm import BASE_PAGE_BYTES, VirtualMachine
from dqgym.units import format_bytes

AnyRecord = TypeVar("AnyRecord", bound=Record)


def scaled(scenario: Scenario, memory_bytes: int, bandwidth_bytes_per_s: float) -> Scenario:
    """The scenario with another memory and another nominal bandwidth, and everything else in proportion.

    Pages have 4 KiB. Sizes become whole pages, at least one each, and together no more than the memory; where rounding
    would exceed it, the largest working sets lose a page. Rings become powers of two, as KVM wants them, within the
    bounds of ``DirtyLog``.

    With larger pages a random store dirties more, so that a scenario which has them does not come out quite the same.

    Args:
        scenario: keeps its name.
        memory_bytes: whole pages of 4 KiB, or what is over is dropped.
        bandwidth_bytes_per_s: nominal, of the link; its kind and its course stay.

    Raises:
        BadInputError: less memory than a page for each working set, no positive finite bandwidth, or a scenario beyond
            the limits of ``dqgym.scenario.bounds``.
    """
    if not (math.isfinite(bandwidth_bytes_per_s) and bandwidth_bytes_per_s > 0):
        raise BadInputError(f"bandwidth_bytes_per_s must be positive and finite, not {bandwidth_bytes_per_s!r}")
    memory_pages = memory_bytes // BASE_PAGE_BYTES
    if memory_pages < 1:
        raise BadInputError(f"memory_bytes must be at least a page of {BASE_PAGE_BYTES} bytes, not {memory_bytes!r}")
    size = Fraction(memory_pages * BASE_PAGE_BYTES, scenario.vm.memory_bytes)
    rate = bandwidth_bytes_per_s / scenario.bandwidth_bytes_per_s
    factors = _Factors(size=size, rate=rate, time=float(size) / rate)
    *group_pages, device_pages = _working_sets_pages(scenario, factors, memory_pages)
    with telling("the scenario in small"):
        return Scenario(
            name=scenario.name,
            vm=VirtualMachine(
                memory_bytes=memory_pages * BASE_PAGE_BYTES,
                zero_bytes=_whole_pages(scenario.vm.zero_bytes, factors) * BASE_PAGE_BYTES,
            ),
            workload=tuple(
                _in_proportion(
                    group,
                    factors,
                    working_set_bytes=pages * BASE_PAGE_BYTES,
                    schedule=_in_proportion(group.schedule, factors),
                )
                for group, pages in zip(scenario.workload, group_pages, strict=True)
            ),
            link=_in_proportion(scenario.link, factors),
            device=_in_proportion(scenario.device, factors, working_set_bytes=device_pages * BASE_PAGE_BYTES),
            limits=_in_proportion(scenario.limits, factors),
            dirty_log=DirtyLog(
                kind=scenario.dirty_log.kind,
                ring_entries=_ring_entries(scenario, factors),
                clear_chunk_bytes=max(round(scenario.dirty_log.clear_chunk_bytes * factors.size), BASE_PAGE_BYTES),
            ),
            host=_host(scenario.host, factors),
        )


@dataclass(frozen=True)
class _Factors:
    """The factors of sizes (exactly), rates and times."""

    size: Fraction
    rate: float
    time: float


def _whole_pages(size_bytes: int, factors: _Factors) -> int:
    """Pages of a size after scaling; at least one, unless there was nothing."""
    return max(1, round(size_bytes * factors.size / BASE_PAGE_BYTES)) if size_bytes else 0


def _working_sets_pages(scenario: Scenario, factors: _Factors, memory_pages: int) -> list[int]:
    """Pages of the working set of a vCPU of each group, then of the devices; together they fit into the memory."""
    counts = [*(group.vcpus for group in scenario.workload), 1]
    sizes_bytes = [*(group.working_set_bytes for group in scenario.workload), scenario.device.working_set_bytes]
    pages = [_whole_pages(size_bytes, factors) for size_bytes in sizes_bytes]
    least = sum(count for count, size in zip(counts, pages, strict=True) if size)
    if least > memory_pages:
        raise BadInputError(
            f"memory_bytes: {format_bytes(memory_pages * BASE_PAGE_BYTES)} is too small for {least} working sets of at"
            f" least a page of {BASE_PAGE_BYTES} bytes each"
        )
    while sum(count * size for count, size in zip(counts, pages, strict=True)) > memory_pages:
        pages[pages.index(max(pages))] -= 1
    return pages


def _in_proportion(record: AnyRecord, factors: _Factors, **others: object) -> AnyRecord:
    """The record with its rates and times scaled, which the units in the names of its fields tell.

    Args:
        record: any part of a scenario.
        factors: see there.
        others: fields that are given.
    """
    fields = {name: _scaled_value(name, value, factors) for name, value in record}
    return type(record).model_validate(fields | others)


def _scaled_value(field_name: str, value: Any, factors: _Factors) -> Any:
    if isinstance(value, Record):
        return _in_proportion(value, factors)
    if isinstance(value, Span):
        return _scaled_span(value, factors)
    if value is None or not field_name.endswith("_s"):
        return value
    factor = factors.rate if field_name.endswith("_bytes_per_s") else factors.time
    return tuple(each * factor for each in value) if isinstance(value, tuple) else value * factor


def _scaled_span(span: Span, factors: _Factors) -> Span:
    """A time is scaled; pass times and rounds are what they were."""
    factor = {"s": factors.time, "s/GiB": factors.time / float(factors.size)}.get(span.unit, 1.0)
    return Span(span.value * factor, span.unit)


def _host(host: Host | None, factors: _Factors) -> Host | None:
    """A host whose scans, syncs and last stage take as much of a pass as they did; faults cost what they cost."""
    if host is None:
        return None
    return host.model_copy(
        update={
            "scan_speed_bytes_per_s": host.scan_speed_bytes_per_s * factors.rate,
            "last_stage_s": host.last_stage_s * factors.time,
            "sync_per_gib_s": host.sync_per_gib_s * factors.time / float(factors.size),
            "ring_entries_lost": None,
        }
    )


def _ring_entries(scenario: Scenario, factors: _Factors) -> int:
    entries = max(1.0, float(scenario.ring_bytes * factors.size / BASE_PAGE_BYTES))
    return min(max(2 ** round(math.log2(entries)), SMALLEST_RING_ENTRIES), LARGEST_RING_ENTRIES)
