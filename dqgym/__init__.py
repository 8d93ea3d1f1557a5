"""dqgym: learn how to throttle a virtual machine's memory writes while it is migrated live.

Importing the package makes the environment ``dqgym/Migration-v0`` known to Gymnasium, without loading that. The names
that most programs need can be taken from here (``from dqgym import load, read_bundle``); each is imported when it is
first asked for. Everything else is in the subpackages, from the bottom up: ``scenario`` and ``jit``, ``telemetry``,
``cost``, ``model``, ``results``, ``backends``, ``throttles``, ``oracle``, ``controller``, ``envs``. Your own throttles,
suites, patterns and backends are added with ``register_throttle`` and the like (``dqgym.plugins``).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dqgym.registration import register_environments

if TYPE_CHECKING:  # the same names for type checkers, which cannot read the table
    from dqgym.backends.base import Outcomes as Outcomes
    from dqgym.backends.registry import make_backend as make_backend
    from dqgym.controller.bundle import Bundle as Bundle
    from dqgym.controller.bundle import BundleError as BundleError
    from dqgym.controller.bundle import read_bundle as read_bundle
    from dqgym.controller.guard import Guard as Guard
    from dqgym.controller.guard import GuardOptions as GuardOptions
    from dqgym.controller.loop import run_migrations as run_migrations
    from dqgym.controller.shipped import SHIPPED_BUNDLE as SHIPPED_BUNDLE
    from dqgym.errors import BadInputError as BadInputError
    from dqgym.errors import DqgymError as DqgymError
    from dqgym.plugins import register_backend as register_backend
    from dqgym.plugins import register_pattern as register_pattern
    from dqgym.plugins import register_suite as register_suite
    from dqgym.plugins import register_throttle as register_throttle
    from dqgym.results.loaded import Results as Results
    from dqgym.results.reading import load as load
    from dqgym.scenario.scenario import Scenario as Scenario
    from dqgym.scenario.suites.registry import get_suite as get_suite
    from dqgym.scenario.suites.registry import suite_names as suite_names
    from dqgym.scenario.yaml_files import load_scenario as load_scenario
    from dqgym.scenario.yaml_files import save_scenario as save_scenario
    from dqgym.telemetry.command import Command as Command
    from dqgym.telemetry.interval import ControlInterval as ControlInterval
    from dqgym.telemetry.telemetry import Facts as Facts
    from dqgym.telemetry.telemetry import Telemetry as Telemetry
    from dqgym.telemetry.telemetry import VcpuField as VcpuField
    from dqgym.telemetry.telemetry import VmField as VmField
    from dqgym.telemetry.telemetry import first_telemetry as first_telemetry
    from dqgym.throttles.base import Throttle as Throttle
    from dqgym.throttles.registry import make_throttle as make_throttle
    from dqgym.throttles.registry import throttle_names as throttle_names

    __version__: str

_LAZY = {
    "BadInputError": "dqgym.errors",
    "Bundle": "dqgym.controller.bundle",
    "BundleError": "dqgym.controller.bundle",
    "Command": "dqgym.telemetry.command",
    "ControlInterval": "dqgym.telemetry.interval",
    "DqgymError": "dqgym.errors",
    "Facts": "dqgym.telemetry.telemetry",
    "Guard": "dqgym.controller.guard",
    "GuardOptions": "dqgym.controller.guard",
    "Outcomes": "dqgym.backends.base",
    "Results": "dqgym.results.loaded",
    "SHIPPED_BUNDLE": "dqgym.controller.shipped",
    "Scenario": "dqgym.scenario.scenario",
    "Telemetry": "dqgym.telemetry.telemetry",
    "Throttle": "dqgym.throttles.base",
    "VcpuField": "dqgym.telemetry.telemetry",
    "VmField": "dqgym.telemetry.telemetry",
    "first_telemetry": "dqgym.telemetry.telemetry",
    "get_suite": "dqgym.scenario.suites.registry",
    "load": "dqgym.results.reading",
    "load_scenario": "dqgym.scenario.yaml_files",
    "make_backend": "dqgym.backends.registry",
    "make_throttle": "dqgym.throttles.registry",
    "read_bundle": "dqgym.controller.bundle",
    "register_backend": "dqgym.plugins",
    "register_pattern": "dqgym.plugins",
    "register_suite": "dqgym.plugins",
    "register_throttle": "dqgym.plugins",
    "run_migrations": "dqgym.controller.loop",
    "save_scenario": "dqgym.scenario.yaml_files",
    "suite_names": "dqgym.scenario.suites.registry",
    "throttle_names": "dqgym.throttles.registry",
}
"""The module of each name that is imported when it is first asked for."""

__all__ = ["__version__", *_LAZY]

register_environments()


def __getattr__(name: str) -> Any:
    """A name of the table, imported now and kept; or the version."""
    if name == "__version__":
        from dqgym.installed import version

        value: Any = version()
    elif name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What there is, whether it has been imported yet or not."""
    return sorted({*globals(), *__all__})
