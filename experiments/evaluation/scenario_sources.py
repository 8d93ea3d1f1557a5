"""Which scenarios a command line names: a file, one that is shipped, one of a suite, or what is drawn of a suite."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence

from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.scenario import Scenario, load_scenario
from dqgym.scenario.hosts.host_files import find_host
from dqgym.scenario.suites import Suite, get_suite
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.units import format_bytes
from experiments.named_files import SCENARIOS

log = logging.getLogger(__name__)

DEFAULT_COUNT = 256
"""Scenarios drawn from a sampler."""
FEW = 16
"""The same for migrations that are shown one by one."""
IN_SMALL = "-scaled"
"""Ends the name of a scenario that was scaled down: its results are not those of the original."""


def find_scenario(source: str) -> Scenario:
    """The scenario in a YAML file, or the one that a name or ``suite:name`` stands for.

    Raises:
        BadInputError: there is none, or the file does not hold a valid one.
    """
    found = _find(source)
    _hint_at_granules([found])
    return found


def _find(source: str) -> Scenario:
    suite_name, colon, name = source.rpartition(":")
    if not colon or os.path.exists(source):
        return _load(source)
    suite = get_suite(suite_name)
    if suite.kind != "fixed":
        raise BadInputError(f"{source!r}: suite {suite_name!r} is a sampler, its scenarios have no lasting names")
    scenarios = {scenario.name: scenario for scenario in suite.scenarios()}
    if name not in scenarios:
        hint = did_you_mean(name, scenarios)
        raise BadInputError(f"suite {suite_name!r} has no scenario {name!r}{hint}; scenarios: {', '.join(scenarios)}")
    return scenarios[name]


def on_host(scenarios: Iterable[Scenario], host: str | None) -> list[Scenario]:
    """The scenarios on a host that a command line names; as they are where it names none.

    Raises:
        BadInputError: there is no such host, its file cannot be used, or it keeps more of a ring than there is.
    """
    if host is None:
        return list(scenarios)
    found = find_host(host)
    return [Scenario.model_validate({**dict(scenario), "host": found}) for scenario in scenarios]


def _hint_at_granules(scenarios: Sequence[Scenario]) -> None:
    """Warn, once for all of them, where dirty pages are tracked otherwise than QEMU does on x86."""
    coarse = [scenario for scenario in scenarios if scenario.vm.dirty_granule_bytes != BASE_PAGE_BYTES]
    if coarse:
        first, others = coarse[0], f" and {len(coarse) - 1} more" if len(coarse) > 1 else ""
        granule = format_bytes(first.vm.dirty_granule_bytes)
        log.warning(
            "%s%s: vm.dirty_granule is %s. QEMU on x86 tracks %s whatever pages back the guest; if those were meant,"
            " say vm.backing: %s",
            first.name, others, granule, format_bytes(BASE_PAGE_BYTES), granule,
        )  # fmt: skip


def _load(source: str) -> Scenario:
    path = SCENARIOS.find(source)
    if os.path.isdir(path):  # which takes any name
        raise BadInputError(f"{source} is a folder: name one of its scenarios as {path}:NAME")
    return load_scenario(path)


def draw_scenarios(
    suite: Suite,
    count: int | None,
    seed: int,
    max_vcpus: int | None = None,
    scaled: bool = False,
    of_sampler: int = DEFAULT_COUNT,
) -> list[Scenario]:
    """The scenarios that a command takes from a suite: the same for the same arguments.

    Args:
        suite: where they come from.
        count: how many; of a fixed suite never more than it has. None: all of a fixed suite.
        seed: of a sampler.
        max_vcpus: scenarios with more vCPUs are left out; a sampler draws from a smaller range.
        scaled: those that are too large for KVM are scaled down until they fit.
        of_sampler: how many of a sampler where no count is given.

    Raises:
        BadInputError: none of its scenarios is left, or one cannot be scaled.
    """
    if suite.kind == "sampler":
        scenarios = suite.scenarios(of_sampler if count is None else count, seed, max_vcpus)
    else:
        scenarios = _narrow(suite, max_vcpus)[:count]
    _hint_at_granules(scenarios)
    return [in_small(scenario) for scenario in scenarios] if scaled else scenarios


def choose_scenarios(
    suite: str | None, scenario: str | None, count: int | None, seed: int, max_vcpus: int | None, scaled: bool
) -> list[Scenario]:
    """One scenario, or what a few migrations take of a suite: ``FEW`` of a sampler unless told otherwise.

    Raises:
        BadInputError: not exactly one of both is named, or an option does not go with it; else as ``draw_scenarios``.
    """
    if (suite is None) == (scenario is None):
        raise BadInputError("name either --suite or --scenario")
    if scenario is not None:
        for option, value in (("--count", count), ("--max-vcpus", max_vcpus)):
            if value is not None:
                raise BadInputError(f"{option} goes with --suite, not with --scenario")
        one = find_scenario(scenario)
        return [in_small(one) if scaled else one]
    assert suite is not None
    return draw_scenarios(get_suite(suite), count, seed, max_vcpus, scaled, of_sampler=FEW)


def _narrow(suite: Suite, max_vcpus: int | None) -> list[Scenario]:
    members = suite.scenarios()
    narrow = [scenario for scenario in members if max_vcpus is None or scenario.vcpus <= max_vcpus]
    if not narrow:
        fewest = min(scenario.vcpus for scenario in members)
        raise BadInputError(f"suite {suite.name!r} has no scenario with {max_vcpus} vCPUs or fewer, only from {fewest}")
    return narrow


def in_small(scenario: Scenario) -> Scenario:
    """The scenario where KVM can play it, else the same pressures in a small machine, under another name.

    Raises:
        BadInputError: it cannot be made to fit: it has too many vCPUs.
    """
    from dqgym.backends.kvm.feasibility import scaled_to_fit

    fitting = scaled_to_fit(scenario)
    if fitting is not scenario:
        log.info(
            "%s is played in small: %.4g MB of memory instead of %.4g, %d vCPUs instead of %d",
            scenario.name, fitting.vm.memory_bytes / 1e6, scenario.vm.memory_bytes / 1e6, fitting.vcpus, scenario.vcpus,
        )  # fmt: skip
    return scenario if fitting is scenario else fitting.model_copy(update={"name": scenario.name + IN_SMALL})
