"""dqgym: learn how to throttle a virtual machine's memory writes while it is migrated live.

Importing the package makes the environment ``dqgym/Migration-v0`` known to Gymnasium, without loading that; everything
else is in its subpackages, from the bottom up: ``scenario`` and ``jit``, ``telemetry``, ``cost``, ``model``,
``backends``, ``throttles``, ``oracle``, ``controller``, ``envs``.
"""

from dqgym.registration import register_environments

register_environments()
