"""The scenarios that a host of this size can play for real, and what a scenario is scaled to that it cannot."""

from __future__ import annotations

from dqgym.backends.kvm.machine.guest import MOST_MEMORY_BYTES
from dqgym.backends.kvm.machine.vcpu_clocks import TICK_S
from dqgym.errors import BadInputError
from dqgym.scenario import DirtyLog, Scenario, VirtualMachine
from dqgym.scenario.dirty_log import LARGEST_RING_ENTRIES
from dqgym.scenario.scaling import scaled
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.units import MIB, format_bytes, format_rate, format_time

MOST_BANDWIDTH_BYTES_PER_S = 250.0 * MIB
"""The sender, which is a thread of Python's, reaches about 360 MiB/s on an idle host."""
MOST_VCPUS = 16
SCALED_MEMORY_BYTES = MOST_MEMORY_BYTES
SCALED_BANDWIDTH_BYTES_PER_S = 100.0 * MIB
"""The size to which a scenario that does not fit is scaled: a pass takes 10 s. Rings do not shrink with the memory, and
what all vCPUs together dirty before anyone looks must fit into the downtime limit, which does; so the memory is the
largest."""

_NOT_SCALED = f"`--scale` keeps the number of vCPUs; of a suite, `--max-vcpus {MOST_VCPUS}` leaves larger scenarios out"


def require_feasible(scenario: Scenario) -> None:
    """Raise a BadInputError where KVM cannot play the scenario: it names the field, its value and what is allowed."""
    found = _problems(scenario)
    if found:
        way_out = _NOT_SCALED if scenario.vcpus > MOST_VCPUS else "`--scale` plays such a scenario in small"
        raise BadInputError(f"scenario {scenario.name!r} does not fit the kvm backend: {found}. {way_out}")


def scaled_to_fit(scenario: Scenario) -> Scenario:
    """The scenario where it fits; else the same pressures in a small machine (``dqgym.scenario.scaling``).

    Its dirty log becomes the one that this backend has, and memory that was never written is left out.

    Raises:
        BadInputError: it cannot be made to fit: it has too many vCPUs, or its times become too short.
    """
    if not _problems(scenario):
        return scenario
    if scenario.vcpus > MOST_VCPUS:
        raise BadInputError(
            f"scenario {scenario.name!r} has {scenario.vcpus} vCPUs; the kvm backend holds {MOST_VCPUS}. {_NOT_SCALED}"
        )
    link = scenario.link
    peak = link.highest_bandwidth_bytes_per_s / link.nominal_bandwidth_bytes_per_s
    bandwidth = min(SCALED_BANDWIDTH_BYTES_PER_S, (1 - 1e-9) * MOST_BANDWIDTH_BYTES_PER_S / peak)
    small = scaled(scenario, SCALED_MEMORY_BYTES, bandwidth)
    log = DirtyLog(ring_entries=small.dirty_log.ring_entries)
    vm = VirtualMachine(memory_bytes=small.vm.memory_bytes)
    fitting = as_played(small.model_copy(update={"dirty_log": log, "vm": vm}))
    if found := _problems(fitting):
        raise BadInputError(f"scenario {scenario.name!r} does not fit the kvm backend even in small: {found}")
    return fitting


def as_played(scenario: Scenario) -> Scenario:
    """The scenario as this backend plays it, for the model: the log is cleared page by page, on no host of others."""
    log = scenario.dirty_log.model_copy(update={"clear_chunk_bytes": BASE_PAGE_BYTES})
    return scenario.model_copy(update={"dirty_log": log, "host": None})


def _problems(scenario: Scenario) -> str:
    """The fields that do not fit, with value and what is allowed; empty where all fits."""
    entries = scenario.dirty_log.ring_entries
    periods_s = [period_s for group in scenario.workload if (period_s := getattr(group.schedule, "period_s", None))]
    problems = {
        "vm.memory": (
            scenario.vm.memory_bytes > MOST_MEMORY_BYTES or scenario.vm.memory_bytes % BASE_PAGE_BYTES,
            f"{format_bytes(scenario.vm.memory_bytes)} must be whole pages of 4 KiB, at most"
            f" {format_bytes(MOST_MEMORY_BYTES)}",
        ),
        "vm.dirty_granule": (
            scenario.vm.dirty_granule_bytes != BASE_PAGE_BYTES,
            f"{format_bytes(scenario.vm.dirty_granule_bytes)} must be 4 KiB: dirty rings log single pages",
        ),
        "vm.zero": (
            scenario.vm.zero_bytes > 0,
            f"{format_bytes(scenario.vm.zero_bytes)} must be 0: every page of the guest has contents",
        ),
        "workload": (scenario.vcpus > MOST_VCPUS, f"{scenario.vcpus} vCPUs; allowed: 1 to {MOST_VCPUS}"),
        "workload.schedule.period": (
            any(period_s < TICK_S for period_s in periods_s),
            f"{format_time(min(periods_s, default=0.0))} must be at least {format_time(TICK_S)}:"
            " a vCPU gets what is due so often",
        ),
        "link": (
            scenario.link.highest_bandwidth_bytes_per_s > MOST_BANDWIDTH_BYTES_PER_S,
            f"{format_rate(scenario.link.highest_bandwidth_bytes_per_s)} must be at most"
            f" {format_rate(MOST_BANDWIDTH_BYTES_PER_S)}",
        ),
        "dirty_log.kind": (
            scenario.dirty_log.kind != "bitmap",
            f"{scenario.dirty_log.kind!r} must be 'bitmap': rings feed a bitmap that is cleared page by page as pages"
            " are sent, and a sync waits for no vCPU that a quota or a cap keeps out",
        ),
        "dirty_log.ring_entries": (
            entries & (entries - 1) or entries > LARGEST_RING_ENTRIES,
            f"{entries} must be a power of two, at most {LARGEST_RING_ENTRIES}",
        ),
    }
    return "; ".join(f"{field}: {said}" for field, (is_bad, said) in problems.items() if is_bad)
