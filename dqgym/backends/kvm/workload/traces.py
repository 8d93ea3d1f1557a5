"""The memory accesses of each vCPU, made from its ``VcpuGroup``: how many fall due, and which pages they go to.

A trace knows nothing of KVM. The host tells it how much time has gone by and how much of that the vCPU could run
(``PageTrace.accrue``), then takes the numbers of the pages that are due (``PageTrace.take``) and lets the guest play
them. Patterns, schedules and demand mean what they mean in the page-exact reference (``dqgym.model.page_exact.vcpu``),
with two differences: a read-only vCPU loads, ``READS_PER_S`` times a second, from anywhere in the memory; and what a
host that is briefly too slow keeps a closed-loop vCPU from doing is made up, ``CATCH_UP_S`` at the most.

* Pages are 4 KiB. Each vCPU has a region of its own, and so have the devices; the pages of all regions lie scattered
  over the memory, by a permutation that the seed decides.
* A vCPU's pages and its schedule depend on scenario, seed and vCPU alone: not on how accesses are cut into takes, nor
  on what a throttle does.
* ``state`` holds all that changes, as JSON can carry it. Restored to a fresh trace of the same scenario and seed, it
  goes on number for number.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqgym.backends.kvm.workload.page_law import PageLaw, page_law
from dqgym.backends.kvm.workload.schedule_clock import ScheduleClock
from dqgym.errors import BadInputError
from dqgym.scenario import MAX_VCPUS, Phased, Scenario, Schedule, Steady, VcpuGroup
from dqgym.scenario.vm import BASE_PAGE_BYTES

READS_PER_S = 25_600.0
"""Loads per second of a read-only vCPU at full rate: as many pages as 100 MiB/s of stores; a scenario gives none."""
CATCH_UP_S = 0.05
"""Closed-loop demand that a busy host kept a vCPU from meeting is made up to this much; beyond it, it is lost."""

_PAGES, _PERIODS = 0, 1
"""Streams of random numbers of a vCPU: where it writes, and how long its periods are, where they are random."""
_DEVICE, _LAYOUT = MAX_VCPUS, MAX_VCPUS + 1
"""Streams of random numbers for the devices and for the layout, beside those of the vCPUs."""
_MOST = float(2**53)
"""Largest count in a state: up to here a float counts in ones."""
_HEX_128 = re.compile(r"[0-9a-f]{32}")
_STATE_FIELDS = (
    "due",
    "demanded",
    "taken",
    "position",
    "pages_random",
    "period_began_s",
    "period_s",
    "periods_random",
)

Pages = NDArray[np.uint32]


class PageTrace:
    """The accesses of one vCPU, or of the devices; ``workload_of`` makes them.

    Attributes:
        writes: whether it stores; False: it loads, or is idle.
        idle: never accesses anything.
        demanded: accesses that it would have made by now had it always run: its rate, as scheduled, over all time.
        taken: accesses handed out so far.
    """

    def __init__(self, access: _Access) -> None:
        self.writes = access.writes
        self.idle = access.rate_per_s == 0
        self.demanded = 0.0
        self.taken = 0
        self._access = access
        self._schedule = ScheduleClock(access.schedule, access.random(_PERIODS))
        self._random = access.random(_PAGES)
        self._position = access.position
        self._due = 0.0
        self._most_due = _MOST if access.open_loop else max(1.0, access.rate_per_s * CATCH_UP_S)

    def accrue(self, begin_s: float, end_s: float, run_s: float) -> None:
        """Let time go by.

        Args:
            begin_s: seconds since the migration began, negative before it; where the last call ended.
            end_s: no earlier.
            run_s: how long of it the vCPU could run; all of it at the most. Only closed-loop demand asks for it.
        """
        demand = self._access.rate_per_s * self._schedule.integral(begin_s, end_s)
        self.demanded += demand
        if not self._access.open_loop:
            demand *= min(run_s / (end_s - begin_s), 1.0) if end_s > begin_s else 0.0
        self._due = min(self._due + demand, self._most_due)

    def due(self) -> int:
        """Whole accesses that are due now."""
        return int(self._due)

    def take(self, most: int) -> Pages:
        """The pages of the next accesses, in order: all that are due, or the first ``most`` of them.

        Returns:
            uint32 [count]: numbers of 4 KiB pages of the memory; the array is the caller's.
        """
        count = min(int(most), self.due())
        numbers = self._numbers_in_region(count)
        self._due -= count
        self.taken += count
        return self._access.region[numbers]

    @property
    def period_ends_s(self) -> float:
        """When the present period of its schedule is over, in seconds since the migration began."""
        return self._schedule.period_began_s + self._schedule.period_s

    def state(self) -> dict[str, Any]:
        """All that changes, for ``json.dumps``; ``restore`` describes the fields."""
        clock = self._schedule
        return {
            "due": self._due,
            "demanded": self.demanded,
            "taken": self.taken,
            "position": self._position,
            "pages_random": _random_state(self._random),
            "period_began_s": clock.period_began_s,
            "period_s": clock.period_s,
            "periods_random": _random_state(clock.random),
        }

    def restore(self, state: object) -> None:
        """Go on where another host's trace of the same scenario and seed stopped.

        Args:
            state: of ``state``; nothing about it is trusted. ``due`` and ``demanded`` are numbers of accesses,
                ``taken`` a whole one; ``position`` is where a sequential trace is in its region; ``period_began_s`` and
                ``period_s`` say which period of the schedule it is in; ``pages_random`` and ``periods_random`` are
                states of random generators, as 32 hexadecimal digits.

        Raises:
            BadInputError: a field is missing, unknown or not what it may be; the message names it, its value and what
                is allowed. The trace stays as it was.
        """
        fields = _fields_of(state)
        clock = self._schedule
        due = _number(fields, "due", 0.0, self._most_due)
        demanded = _number(fields, "demanded", 0.0, _MOST)
        taken = _whole_number(fields, "taken", int(_MOST))
        position = _whole_number(fields, "position", max(len(self._access.region) - 1, 0))
        period_began_s = _number(fields, "period_began_s", -clock.mean_period_s, _MOST)
        period_s = _number(fields, "period_s", *clock.period_bounds_s)
        pages_random, periods_random = (_hex_number(fields, name) for name in ("pages_random", "periods_random"))
        self._due, self.demanded, self.taken, self._position = due, demanded, taken, position
        clock.period_began_s, clock.period_s = period_began_s, period_s
        _set_random_state(self._random, pages_random)
        _set_random_state(clock.random, periods_random)

    def _numbers_in_region(self, count: int) -> NDArray[np.intp]:
        """The next pages by their numbers in the region; a random one takes one random number, whatever its law."""
        law, pages = self._access.law, len(self._access.region)
        if self._access.sequential:
            begin, self._position = self._position, (self._position + count) % max(pages, 1)
            return np.arange(begin, begin + count) % max(pages, 1)
        place = self._random.random(count) * pages
        number = place.astype(np.intp)
        if law is None:
            return number
        return np.where(place - number < law.own_share[number], number, law.other[number])


@dataclass(frozen=True)
class Workload:
    """The accesses of a guest and of its devices.

    Attributes:
        traces: one for each vCPU, in order.
        device: the scenario's device writes: uniform, due whatever the vCPUs do; None: there are none.
    """

    traces: tuple[PageTrace, ...]
    device: PageTrace | None


def workload_of(scenario: Scenario, seed: int) -> Workload:
    """The traces of a scenario, before anything has happened.

    Sizes are whole pages: what is left over of a memory or a working set is dropped. Pages of zeros behind the memory
    are never accessed.

    Args:
        scenario: its pages have 4 KiB.
        seed: from 0; decides all that is random.

    Raises:
        BadInputError: larger pages, or a negative seed.
    """
    if scenario.vm.dirty_granule_bytes != BASE_PAGE_BYTES:
        raise BadInputError(
            f"page_bytes: {scenario.vm.dirty_granule_bytes}: accesses are to pages of {BASE_PAGE_BYTES} bytes only"
        )
    if seed < 0:
        raise BadInputError(f"seed must be a whole number from 0, not {seed!r}")
    memory = np.arange(scenario.vm.memory_bytes // BASE_PAGE_BYTES, dtype=np.uint32)
    scattered = _random(seed, _LAYOUT, _PAGES).permutation(memory)
    traces: list[PageTrace] = []
    taken_pages = 0
    for group in scenario.workload:
        pages, first_vcpu = group.working_set_bytes // BASE_PAGE_BYTES, len(traces)
        for vcpu in range(first_vcpu, first_vcpu + group.vcpus):
            region = scattered if group.reads else scattered[taken_pages : taken_pages + pages]
            traces.append(PageTrace(_vcpu_access(group, region, seed, vcpu, first_vcpu)))
            taken_pages += pages
    device_pages = scenario.device.working_set_bytes // BASE_PAGE_BYTES
    if device_pages == 0:
        return Workload(tuple(traces), None)
    device = _Access(
        region=scattered[taken_pages : taken_pages + device_pages],
        sequential=False,
        law=None,
        rate_per_s=scenario.device.rate_bytes_per_s / BASE_PAGE_BYTES,
        open_loop=True,
        seed=seed,
        stream=_DEVICE,
        period_stream=_DEVICE,
        schedule=Steady(),
        position=0,
        writes=True,
    )
    return Workload(tuple(traces), PageTrace(device))


# --- what does not change --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Access:
    """The accesses that a trace is made of.

    Attributes:
        region: the pages that it accesses.
        sequential: one page after the other, in a loop; otherwise at random.
        law: how often each page is picked at random; None: all alike.
        rate_per_s: accesses per second at full rate; 0 for none.
        open_loop: accesses fall due whether the vCPU runs or not.
        seed: of the workload.
        stream: what sets its random numbers apart from those of the others.
        period_stream: likewise, for the lengths of its periods; vCPUs that are in step have the same.
        schedule: of the rate.
        position: sequential: the number in the region that comes first.
        writes: it stores.
    """

    region: Pages
    sequential: bool
    law: PageLaw | None
    rate_per_s: float
    open_loop: bool
    seed: int
    stream: int
    period_stream: int
    schedule: Schedule
    position: int
    writes: bool

    def random(self, purpose: int) -> np.random.Generator:
        """The generator of its numbers for this purpose, at its start."""
        return _random(self.seed, self.period_stream if purpose == _PERIODS else self.stream, purpose)


def _vcpu_access(group: VcpuGroup, region: Pages, seed: int, vcpu: int, first_vcpu: int) -> _Access:
    """Of a vCPU of a group, of which ``first_vcpu`` is the first."""
    return _Access(
        region=region,
        sequential=group.sequential,
        law=page_law(group, len(region)),
        rate_per_s=READS_PER_S if group.reads else group.write_rate_bytes_per_s / BASE_PAGE_BYTES,
        open_loop=group.demand == "open",
        seed=seed,
        stream=vcpu,
        period_stream=first_vcpu if isinstance(group.schedule, Phased) else vcpu,
        schedule=group.schedule,
        position=int(group.position * len(region)),
        writes=group.writes,
    )


def _random(seed: int, stream: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, stream, purpose))))


# --- states ----------------------------------------------------------------------------------------------------------


def _random_state(random: np.random.Generator) -> str:
    """The generator's state. Nothing here draws in halves of 64 bits, so that no half is left over."""
    return f"{random.bit_generator.state['state']['state']:032x}"


def _set_random_state(random: np.random.Generator, state: int) -> None:
    """Its increment, which the seed decided, stays."""
    whole = random.bit_generator.state
    whole["state"]["state"] = state
    random.bit_generator.state = whole


def _fields_of(state: object) -> Mapping[str, object]:
    if not isinstance(state, dict):
        raise _refusal("state", state, f"a mapping with the fields {', '.join(_STATE_FIELDS)}")
    for name in state:
        if name not in _STATE_FIELDS:
            raise BadInputError(f"trace state: {reprlib.repr(name)} is unknown; fields: {', '.join(_STATE_FIELDS)}")
    for name in _STATE_FIELDS:
        if name not in state:
            raise BadInputError(f"trace state: {name}: missing; fields: {', '.join(_STATE_FIELDS)}")
    return state


def _number(fields: Mapping[str, object], name: str, least: float, most: float) -> float:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _refusal(name, value, f"a number from {least!r} to {most!r}")
    return float(value)


def _whole_number(fields: Mapping[str, object], name: str, most: int) -> int:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _refusal(name, value, f"a whole number from 0 to {most}")
    return value


def _hex_number(fields: Mapping[str, object], name: str) -> int:
    value = fields[name]
    if not isinstance(value, str) or not _HEX_128.fullmatch(value):
        raise _refusal(name, value, "text of 32 hexadecimal digits")
    return int(value, 16)


def _refusal(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"trace state: {name}: {reprlib.repr(value)} is not {allowed}")
