"""The arrays of a page-exact migration (``dqgym.model.page_exact.migration``), and how a scenario becomes them.

All sizes are whole pages: what is left over of a memory or a working set is dropped.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dqgym.jit.random import streams
from dqgym.model.layout import VM_PARAMETERS, Vm
from dqgym.model.parameters import ModelParameters, fault_s_of, ring_exit_s, run_slice_s
from dqgym.model.pool import ScenarioPool
from dqgym.scenario import Bursty, Phased, Recorded, Scenario, VcpuGroup
from dqgym.scenario.vm import BASE_PAGE_BYTES

Layout = Literal["scattered", "contiguous"]
LAYOUTS: tuple[Layout, ...] = ("scattered", "contiguous")

PENDING = np.uint8(1)
"""Bit of a page that is still to send in this round."""
DIRTY = np.uint8(2)
"""Bit of a page that the dirty log says was written since the last sync."""
IN_RING = np.uint8(4)
"""Bit of a page that its vCPU's dirty ring holds: stores to it are not noticed before the ring is emptied."""
CLEARED = np.uint8(8)
"""Bit of a page whose dirty log has been cleared since the last sync: a store to it makes it dirty, pending or not."""

PAGES, LINK, PERIODS = 0, 1, 2
"""Streams of random numbers: for stores, for the bandwidth and the lengths of bursty periods, and then one for each
vCPU, for those of jittered ones; it is the same for the vCPUs of a group, which are in step."""
_STORES_SEED = 0x5EED
_PERIODS_SEED = 0x7EED

VCPU = np.dtype(
    [
        # What it writes. Its region is ``pages`` numbers of pages from ``first_page`` on.
        ("first_page", np.int64),
        ("pages", np.int64),
        ("sequential", np.bool_),
        ("hot_pages", np.int64),
        ("hot_share", np.float64),
        ("zipf_first", np.int64),  # index into ``zipf``; -1: no Zipf law
        ("open_loop", np.bool_),
        ("pages_per_s", np.float64),  # demand at full rate; 0: writes nothing
        ("store_s", np.float64),  # least time to write a page that is dirty already
        ("schedule_first", np.int64),  # index into ``schedule``
        ("schedule_entries", np.int64),
        ("mean_period_s", np.float64),  # inf: never repeats
        ("random_period", np.bool_),  # exponential
        ("jitter", np.float64),  # what a period may be longer or shorter, over the mean
        ("periods", np.int64),  # stream of random numbers that jittered periods come from
        # Where it is.
        ("period_began_s", np.float64),
        ("period_s", np.float64),
        ("entry", np.int64),
        ("next_in_order", np.int64),
        ("run_slice_s", np.float64),
        ("next_page", np.int64),  # that it is about to write; -1: not chosen yet
        ("progress", np.float64),  # share of the time for that page that has gone by
        ("backlog", np.float64),  # open-loop demand: pages that are due
        ("quota_bytes", np.float64),  # left; negative after an overshoot
        ("out_of_quota", np.bool_),  # has been stopped in this quota interval
        ("ring_bytes", np.float64),  # in its dirty ring
        ("asleep_until_s", np.float64),
        ("busy_until_s", np.float64),  # with emptying its ring
        # What is commanded.
        ("limit_bytes_per_s", np.float64),
        ("cap", np.float64),
        ("cap_since_s", np.float64),
        ("ring_sleep_s", np.float64),
        # Telemetry of the control interval.
        ("dirtied_bytes", np.float64),
        ("quota_exits", np.float64),
        ("run_s", np.float64),
    ],
    align=True,
)
"""One vCPU."""

VM = np.dtype(
    [
        ("page_bytes", np.float64),
        ("zero_bytes", np.float64),  # pages of zeros that wait: behind all others, in the next round before them
        ("scan_bytes_per_s", np.float64),  # speed of going through them
        ("last_stage_s", np.float64),  # downtime without anything to send
        ("downtime_limit_s", np.float64),  # in force now
        ("grows_at_s", np.float64),  # when that grows next; inf: not by the clock
        ("grows_in_round", np.float64),  # in which round; inf: not by rounds
        ("growth_every_s", np.float64),  # time between two steps; 0: rounds count
        ("growth_every_rounds", np.float64),
        ("growth_factor", np.float64),
        ("growth_add_s", np.float64),
        ("growth_end_s", np.float64),
        ("deadline_s", np.float64),
        ("ends_at_s", np.float64),  # the deadline, or a later one for a guest that is paused
        ("pauses_at_deadline", np.bool_),
        ("max_rounds", np.float64),
        ("pauses_after_rounds", np.bool_),
        ("paused", np.bool_),
        ("line_speed", np.float64),  # bytes/s; 0: the bandwidth of the moment
        ("cleared_at_sync", np.bool_),
        ("chunk_pages", np.int64),  # otherwise: whose log is cleared when the first of them is sent
        ("sync_waits", np.bool_),
        ("rings", np.bool_),  # the log is made of rings; otherwise only vCPUs that shall sleep for theirs have one
        ("ring_bytes", np.float64),
        ("device_first_page", np.int64),
        ("device_pages", np.int64),
        ("device_pages_per_s", np.float64),
        # Parameters of the model.
        ("fault_s", np.float64),
        ("window_s", np.float64),
        ("quota_interval_s", np.float64),
        ("overshoot_bytes", np.float64),
        ("ring_exit_s", np.float64),
        # The sender.
        ("time_s", np.float64),
        ("pending_pages", np.int64),
        ("address", np.int64),  # where it goes on
        ("window_began_s", np.float64),
        ("window_ends_s", np.float64),
        ("window_began_sent_pages", np.int64),
        ("first_window", np.bool_),
        ("carried_bytes_per_s", np.float64),  # bandwidth that the next line is computed with
        ("threshold_bytes", np.float64),  # that may remain for the migration to complete
        ("budget_bytes", np.float64),  # that it may still send in this window
        ("transmitted_bytes", np.float64),  # that the line has carried, or could have, of the next page
        ("sync_until_s", np.float64),  # when the sync that waits for vCPUs can read the log; inf: there is none
        ("sync_ends_round", np.bool_),
        ("kicks_wake", np.bool_),  # a sync wakes those that sleep for a full ring
        # The rest.
        ("device_due", np.float64),
        ("quota_due_s", np.float64),
        ("pool_bytes", np.float64),  # quota that was left unclaimed
        ("share_unclaimed", np.bool_),
        # Telemetry.
        ("interval_s", np.float64),
        ("sending_s", np.float64),
        ("offered_bytes", np.float64),
        ("sent_pages", np.int64),
        ("rounds", np.int64),
        ("syncs", np.int64),
        ("sync_time_s", np.float64),
        ("synced_dirty_pages", np.int64),
        ("synced_sent_pages", np.int64),
        # Outcome.
        ("done", np.bool_),
        ("converged", np.bool_),
        ("downtime_s", np.float64),
    ],
    align=True,
)
"""The migration."""


class Migration(NamedTuple):
    """A migration that runs; a named tuple so that kernels take it as it is.

    Attributes:
        vm: ``VM`` [1]; a record array, like ``vcpus``, so that a kernel that is not compiled can read ``vm[0].time_s``.
        vcpus: ``VCPU`` [V].
        pages: uint8, the bits of the page at each address.
        address_of: int64, the address of each page: region by region, then what nobody writes.
        schedule: float64 [2, ...], times in s and factors on the demand, the entries of one schedule after another's.
        zipf: float64, the share of the writes that go to a page or to a hotter one; one law after another.
        link: float64 [len(Vm)], the link's row as ``dqgym.model.kernel.links`` works on it.
        link_times: float64, the tables of ``ScenarioPool``.
        link_values: float64.
        random: uint64 [2 + V], the streams ``PAGES``, ``LINK`` and, from ``PERIODS`` on, those of the vCPUs.
    """

    vm: np.recarray[Any, Any]
    vcpus: np.recarray[Any, Any]
    pages: NDArray[np.uint8]
    address_of: NDArray[np.int64]
    schedule: NDArray[np.float64]
    zipf: NDArray[np.float64]
    link: NDArray[np.float64]
    link_times: NDArray[np.float64]
    link_values: NDArray[np.float64]
    random: NDArray[np.uint64]


def new_migration(
    scenario: Scenario, pool: ScenarioPool, m: int, parameters: ModelParameters, layout: Layout, seed: int
) -> Migration:
    """The scenario before anything has happened: every page is pending, none is dirty.

    Args:
        scenario: what is migrated; number ``m`` of the ``pool``, which knows its link as numbers.
    """
    page_bytes = scenario.vm.dirty_granule_bytes
    total = scenario.vm.memory_bytes // page_bytes
    groups = scenario.vcpu_groups
    vcpus = np.zeros(len(groups), VCPU).view(np.recarray)
    vcpus["periods"] = PERIODS + np.arange(len(groups))
    schedules, laws, first_page = _Tables(), _Tables(), 0
    for vcpu, group in zip(vcpus, groups, strict=True):
        for name, value in _vcpu_fields(group, scenario, parameters, schedules, laws).items():
            vcpu[name] = value
        vcpu["first_page"] = first_page
        first_page += int(vcpu["pages"])
    vm = np.zeros(1, VM).view(np.recarray)
    for name, value in _vm_fields(scenario, parameters, first_page, total).items():
        vm[name] = value
    order = np.random.default_rng(seed)
    link = np.zeros(len(Vm))
    link[:VM_PARAMETERS] = pool.vm[m]
    return Migration(
        vm=vm,
        vcpus=vcpus,
        pages=np.full(total, PENDING, dtype=np.uint8),
        address_of=order.permutation(total) if layout == "scattered" else np.arange(total),
        schedule=np.ascontiguousarray(schedules.rows().T),
        zipf=laws.rows().ravel(),
        link=link,
        link_times=pool.table_times,
        link_values=pool.table_values,
        random=streams([seed ^ _STORES_SEED, seed, *_period_seeds(scenario, seed)]),
    )


def _period_seeds(scenario: Scenario, seed: int) -> list[int]:
    """One for each vCPU; those of a group have the same."""
    groups = range(len(scenario.workload))
    of_group = streams(seed ^ _PERIODS_SEED + group for group in groups)
    return [int(of_group[group]) for group in groups for _ in range(scenario.workload[group].vcpus)]


class _Tables:
    """Tables that are laid one after another; the same table is laid once."""

    def __init__(self) -> None:
        self._first: dict[Any, int] = {}
        self._rows: list[NDArray[np.float64]] = []
        self._length = 0

    def add(self, key: Any, rows: NDArray[np.float64]) -> int:
        """The index of the first row of the table known as ``key``."""
        if key not in self._first:
            self._first[key] = self._length
            self._rows.append(rows)
            self._length += len(rows)
        return self._first[key]

    def rows(self) -> NDArray[np.float64]:
        """All of them; a single 0 where there are none."""
        return np.concatenate(self._rows) if self._rows else np.zeros(1)


def _vcpu_fields(
    group: VcpuGroup, scenario: Scenario, parameters: ModelParameters, schedules: _Tables, laws: _Tables
) -> dict[str, Any]:
    """The fields of each vCPU of a group that are not zero.

    A store at random dirties a page of its own; a sequential writer fills a page before it goes on to the next.
    """
    page_bytes, sequential = scenario.vm.dirty_granule_bytes, group.sequential
    stores_per_page = page_bytes / BASE_PAGE_BYTES if sequential else 1.0
    pages = group.working_set_bytes // page_bytes
    fields: dict[str, Any] = {
        "pages": pages,
        "sequential": sequential,
        "zipf_first": -1,
        "next_in_order": int(group.position * pages),
        "open_loop": group.demand == "open",
        "pages_per_s": group.write_rate_bytes_per_s / BASE_PAGE_BYTES / stores_per_page,
        "store_s": stores_per_page * BASE_PAGE_BYTES / parameters.write_bytes_per_s,
        "next_page": -1,
        "limit_bytes_per_s": np.inf,
        "cap": 1.0,
        "run_slice_s": run_slice_s(scenario.dirty_log, parameters),
    }
    if group.zipf_skew is not None:
        fields["zipf_first"] = laws.add((group.zipf_skew, pages), _zipf_law(group.zipf_skew, pages, page_bytes))
    elif group.hot_set is not None:
        fields |= {"hot_pages": round(pages * group.hot_set.fraction), "hot_share": group.hot_set.share}
    return fields | _schedule_fields(group, schedules)


def _zipf_law(skew: float, pages: int, page_bytes: int) -> NDArray[np.float64]:
    """[pages] cumulative shares. The law is over pages of 4 KiB; a larger page holds neighbours in rank."""
    base_pages = page_bytes // BASE_PAGE_BYTES
    weights = np.arange(1, pages * base_pages + 1, dtype=np.float64) ** -skew
    cumulative = np.cumsum(weights.reshape(pages, base_pages).sum(axis=1))
    return np.asarray(cumulative / cumulative[-1])


def _schedule_fields(group: VcpuGroup, schedules: _Tables) -> dict[str, Any]:
    """Every schedule is a table of times and factors, which repeats after a period or does not."""
    schedule = group.schedule
    period_s, offset = np.inf, 0.0
    times_s, factors = (0.0,), (1.0,)
    if isinstance(schedule, Recorded):
        times_s, factors = schedule.times_s, schedule.rate_factors  # type: ignore[assignment]
        period_s = np.inf if schedule.period_s is None else schedule.period_s
    elif isinstance(schedule, Phased | Bursty):
        period_s, offset = schedule.period_s, schedule.offset
        times_s, factors = (0.0, schedule.duty * period_s), (1.0, schedule.low_rate_fraction)  # type: ignore[assignment]
    return {
        "schedule_first": schedules.add(schedule, np.array([times_s, factors]).T),
        "schedule_entries": len(times_s),
        "mean_period_s": period_s,
        "period_s": period_s,
        "period_began_s": -offset * period_s if offset > 0 else 0.0,
        "random_period": isinstance(schedule, Bursty),
        "jitter": schedule.jitter if isinstance(schedule, Phased) else 0.0,
    }


def _vm_fields(scenario: Scenario, parameters: ModelParameters, device_first_page: int, pages: int) -> dict[str, Any]:
    """The fields of the migration that are not zero."""
    page_bytes = scenario.vm.dirty_granule_bytes
    return {
        "page_bytes": page_bytes,
        "zero_bytes": scenario.vm.zero_bytes,
        "scan_bytes_per_s": scenario.host_or_default.scan_speed_bytes_per_s,
        "last_stage_s": scenario.last_stage_s,
        "downtime_limit_s": scenario.limits.downtime_s,
        "deadline_s": scenario.deadline_s,
        "ends_at_s": scenario.deadline_s,
        "pauses_at_deadline": scenario.limits.pauses_at_deadline,
        "max_rounds": scenario.limits.max_rounds or np.inf,
        "pauses_after_rounds": scenario.limits.pauses_after_rounds,
        **_growth_fields(scenario),
        "line_speed": scenario.link.last_stage_bytes_per_s or 0.0,
        "cleared_at_sync": scenario.dirty_log.cleared_at_sync,
        "chunk_pages": max(scenario.dirty_log.clear_chunk_bytes // page_bytes, 1),
        "sync_waits": scenario.dirty_log.sync_waits,
        "rings": scenario.dirty_log.kind == "ring",
        "ring_bytes": scenario.full_ring_bytes,
        "device_first_page": device_first_page,
        "device_pages": scenario.device.working_set_bytes // page_bytes,
        "device_pages_per_s": scenario.device.rate_bytes_per_s / BASE_PAGE_BYTES,
        "fault_s": fault_s_of(scenario, parameters),
        "window_s": parameters.window_s,
        "quota_interval_s": parameters.quota_interval_s,
        "overshoot_bytes": max(parameters.overshoot_bytes, page_bytes),
        "ring_exit_s": ring_exit_s(scenario, parameters),
        "pending_pages": pages,
        "first_window": True,
        "sync_until_s": np.inf,
        "rounds": 1,
        "syncs": 1,  # the one that setup makes
    }


def _growth_fields(scenario: Scenario) -> dict[str, float]:
    """How the downtime limit grows: first and then again and again, by the clock or by rounds."""
    growth = scenario.limits.downtime_growth
    fields = {"grows_at_s": np.inf, "grows_in_round": np.inf}
    if growth is None:
        return fields
    rise, pace = growth.rise_from(scenario.limits.downtime_s), growth.pace
    if pace.unit == "rounds":
        fields |= {"growth_every_rounds": pace.value, "grows_in_round": 1.0 + pace.value}
    else:
        fields |= {"growth_every_s": scenario.in_seconds(pace), "grows_at_s": scenario.in_seconds(pace)}
    if growth.first is not None:
        by_rounds = growth.first.unit == "rounds"
        fields["grows_in_round"] = growth.first.value if by_rounds else np.inf
        fields["grows_at_s"] = np.inf if by_rounds else scenario.in_seconds(growth.first)
    return fields | {"growth_factor": rise.factor, "growth_add_s": rise.add_s, "growth_end_s": rise.end_s}
