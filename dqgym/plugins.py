"""What others add to dqgym, and the names that they need for it: throttles, suites, workload patterns and backends.

Each ``register_...`` adds to one table, and from then on the name works wherever such a name does: on the command line,
in configs, in ``gym.make``, in Python. The same is had without a line of Python by writing ``module:name``, or with an
entry point. ``docs/plugins.md`` shows all three.

What is registered is known to this process. A worker process knows it where it imports the module that registers it;
``module:name`` works in every process, and a pattern travels with the scenarios that use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from dqgym.backends.base import Backend, Capabilities, Outcomes
from dqgym.backends.registry import BACKENDS, BackendRow, backend_row, make_backend
from dqgym.controller.run import run_all
from dqgym.errors import BadInputError
from dqgym.scenario import Scenario
from dqgym.scenario.patterns import PATTERNS, Does, HotSet, PatternRow, own_pattern
from dqgym.scenario.suites import FixedSuite, SampledSuite, Suite, get_suite
from dqgym.scenario.suites.registry import SUITES, own_suite
from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField
from dqgym.throttles.base import Throttle
from dqgym.throttles.options import Described, ThrottleOptions
from dqgym.throttles.registry import make_throttle
from dqgym.throttles.rows.adopted import ELSEWHERE, throttle_row
from dqgym.throttles.rows.row import ThrottleRow
from dqgym.throttles.styles import Style
from dqgym.throttles.table import TABLE

__all__ = [
    "Backend",
    "BackendRow",
    "BadInputError",
    "Capabilities",
    "Command",
    "ControlInterval",
    "Described",
    "Facts",
    "FixedSuite",
    "HotSet",
    "Outcomes",
    "PatternRow",
    "SampledSuite",
    "Scenario",
    "Style",
    "Suite",
    "Telemetry",
    "Throttle",
    "ThrottleOptions",
    "ThrottleRow",
    "VcpuField",
    "VmField",
    "free_command",
    "get_suite",
    "make_backend",
    "make_throttle",
    "register_backend",
    "register_pattern",
    "register_suite",
    "register_throttle",
    "run_all",
]


def register_throttle(
    name: str,
    make: Callable[..., Throttle],
    *,
    options: type[ThrottleOptions] | None = None,
    summary: str = "",
    style: Style | None = None,
    source: str = ELSEWHERE,
) -> None:
    """Add a throttle; a name that was registered before now stands for this one.

    Args:
        name: by which it is asked for, and how reports call it.
        make: a class, or a function: a fresh throttle of its options, or of nothing where it has none.
        options: the class of its options, with defaults and bounds; None: the type of the argument that ``make`` takes.
        summary: one line for `dqgym throttles`; else the first one of the docstring.
        style: how it is drawn; None: a spare style, always the same one.
        source: where its algorithm comes from.

    Raises:
        BadInputError: the name is taken or cannot be one, or ``make`` needs arguments that are no options.
    """
    TABLE.register(name, throttle_row(name, make, options=options, summary=summary, style=style, source=source))


def register_suite(name: str, suite: Suite | Iterable[Scenario] | Callable[[], object], description: str = "") -> None:
    """Add a suite; a name that was registered before now stands for this one.

    Args:
        name: by which it is asked for.
        suite: a suite, some scenarios, or a function without arguments that gives either. It is called now.
        description: one sentence; of scenarios that are no suite yet.

    Raises:
        BadInputError: the name is taken or cannot be one, or there are no scenarios.
    """
    SUITES.register(name, own_suite(name, suite, description))


def register_backend(name: str, make: Callable[..., Backend], *, summary: str = "") -> None:
    """Add a backend; a name that was registered before now stands for this one.

    Args:
        name: by which it is asked for; the attribute ``name`` of its objects should be the same.
        make: a class, or a function: takes ``vcpu_slots`` (None: as many as the widest scenario needs), and
            ``parameters`` of the model, where it has an argument of that name.
        summary: a few words; else the first line of the docstring.

    Raises:
        BadInputError: the name is taken or cannot be one, or ``make`` takes no ``vcpu_slots``.
    """
    BACKENDS.register(name, backend_row(name, make, summary))


def register_pattern(
    name: str,
    what: str,
    *,
    does: Does = "writes",
    sequential: bool = False,
    hot: HotSet | Literal["given"] | None = None,
) -> None:
    """Add a workload pattern that is made of what the model knows; one that was registered before is replaced.

    Args:
        name: for ``pattern:`` in scenario files.
        what: a few words.
        does: what its vCPUs do to their memory.
        sequential: they write in a loop, page after page; otherwise at random.
        hot: of those at random: the hot part of every working set, or ``given`` where each group of vCPUs says which.

    Raises:
        BadInputError: the name is taken or cannot be one, or the parts do not go together.
    """
    PATTERNS.register(name, own_pattern(name, PatternRow(what, does, sequential, hot)))
