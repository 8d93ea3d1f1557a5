"""dqgym: learn how to throttle a virtual machine's memory writes while it is migrated live.

Importing the package makes the environment ``dqgym/Migration-v0`` known to Gymnasium, without loading that; everything
else is in its subpackages, from the bottom up: ``scenario`` and ``jit``, ``telemetry``, ``cost``, ``model``,
``backends``, ``throttles``, ``oracle``, ``controller``, ``envs``. Your own throttles, suites, patterns and backends are
added with ``register_throttle``, ``register_suite``, ``register_pattern`` and ``register_backend`` (``dqgym.plugins``).
"""

from typing import TYPE_CHECKING, Any

from dqgym.registration import register_environments

register_environments()

if TYPE_CHECKING:
    from dqgym.plugins import register_backend, register_pattern, register_suite, register_throttle

__all__ = ["register_backend", "register_pattern", "register_suite", "register_throttle"]


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for, so that ``import dqgym`` stays light."""
    if name in __all__:
        from dqgym import plugins

        return getattr(plugins, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
