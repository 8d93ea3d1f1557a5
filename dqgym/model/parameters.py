"""The model's global parameters: one set for every migration, each with its source.

The values lie in ``parameters.yaml`` beside this file. A file of parameters has an entry for each, with ``value``,
``unit`` and ``source``; beside them, under ``throttles``, it may have options of throttles that were fitted along.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dqgym.documents import read_yaml
from dqgym.errors import BadInputError
from dqgym.files import write_text
from dqgym.names import did_you_mean
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.scenario.scenario import Scenario

THROTTLES_KEY = "throttles"
DEFAULT_FILE = Path(__file__).with_name("parameters.yaml")
_ENTRY_KEYS = ("value", "unit", "source")


class ModelParameters(NamedTuple):
    """Constants of the host and of the mechanism; a named tuple so that kernels take it as it is."""

    write_bytes_per_s: float
    """Fastest that one vCPU writes pages that are dirty already."""
    fault_s: float
    """Cost of the write fault on a clean page."""
    exit_bytes_per_s: float
    """Most that one throttled vCPU dirties, for the exits of its quota."""
    contention: float
    """Growth of the exits' cost with n vCPUs throttled at a time: 1 + contention * n * (n - 1)."""
    quota_interval_s: float
    """Quotas are refilled this often."""
    overshoot_bytes: float
    """A vCPU may dirty this much beyond its quota before anyone looks."""
    window_s: float
    """The sender works in windows of this length and looks at the start of each whether to sync."""
    ring_exit_s: float
    """Time to empty a full dirty ring and protect its pages again; its vCPU does not run meanwhile."""
    slice_overrun_s: float
    """Time by which a vCPU under a run-share cap overruns each time slice, where the dirty log is kept in software."""


UNITS = dict(zip(ModelParameters._fields, ("bytes/s", "s", "bytes/s", "1", "s", "bytes", "s", "s", "s"), strict=True))
"""The unit of each parameter, as files of parameters say it."""
_MAY_BE_ZERO = ("fault_s", "contention", "overshoot_bytes", "ring_exit_s", "slice_overrun_s")
BOUNDS = {
    "write_bytes_per_s": (1.0, 1e18),
    "fault_s": (0.0, 1.0),
    "exit_bytes_per_s": (1.0, 1e18),
    "contention": (0.0, 1e6),
    "quota_interval_s": (1e-6, 10.0),
    "overshoot_bytes": (0.0, 1e15),
    "window_s": (1e-3, 10.0),
    "ring_exit_s": (0.0, 1.0),
    "slice_overrun_s": (0.0, 1.0),
}
"""The least and the most of each parameter of a file; with windows of next to nothing no migration would end."""


class ParameterError(BadInputError):
    """A file of parameters cannot be used; the message names the file, the field, the value and what is allowed."""


def load_parameters(path: Path) -> ModelParameters:
    """Read a file of parameters; it must hold all of them and no others.

    Raises:
        ParameterError: the file is missing, is not YAML, lacks a parameter, or has an unknown one or a bad value.
    """
    entries = _read(path)
    for name in entries:
        if name not in (*ModelParameters._fields, THROTTLES_KEY):
            hint = did_you_mean(str(name), ModelParameters._fields)
            known = ", ".join(ModelParameters._fields)
            raise ParameterError(f"{path}: unknown parameter {name!r}{hint}; parameters: {known}")
    return ModelParameters(**{name: _value(path, name, entries.get(name)) for name in ModelParameters._fields})


def parameters_of(values: Mapping[str, float]) -> ModelParameters:
    """The default parameters but for the values given, in the units of ``UNITS``.

    Raises:
        ParameterError: an unknown name, or a bad value.
    """
    for name in values:
        if name not in ModelParameters._fields:
            hint = did_you_mean(str(name), ModelParameters._fields)
            known = ", ".join(ModelParameters._fields)
            raise ParameterError(f"parameters: unknown parameter {name!r}{hint}; parameters: {known}")
    checked = {
        name: _value("parameters", name, {"value": value, "unit": UNITS[name]}) for name, value in values.items()
    }
    return DEFAULT_PARAMETERS._replace(**checked)


def load_throttle_options(path: Path) -> dict[str, dict[str, float]]:
    """The options of throttles that a file of parameters holds, by throttle and option; mostly none.

    Raises:
        ParameterError: the file cannot be read, or an option is no entry with a number as its value.
    """
    throttles = _read(path).get(THROTTLES_KEY, {})
    if not isinstance(throttles, dict) or not all(isinstance(options, dict) for options in throttles.values()):
        raise ParameterError(f"{path}: {THROTTLES_KEY}: must be a mapping of throttles to their options")
    return {
        throttle: {
            name: _number(f"{path}: {THROTTLES_KEY}.{throttle}.{name}", entry) for name, entry in options.items()
        }
        for throttle, options in throttles.items()
    }


def save_parameters(
    parameters: ModelParameters,
    path: Path,
    sources: Mapping[str, str] | None = None,
    throttles: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Write a file of parameters; it is complete or, where writing fails, as it was before.

    Args:
        parameters: the values.
        path: the file.
        sources: where they come from, by name; those left out have the source of the default file.
        throttles: options of throttles, by throttle and option, whose source is given under ``throttle.option``.

    Raises:
        BadInputError: the file cannot be written.
    """
    said = {**{name: entry["source"] for name, entry in _read(DEFAULT_FILE).items()}, **(sources or {})}
    content: dict[str, Any] = {
        name: {"value": float(value), "unit": UNITS[name], "source": said[name]}
        for name, value in parameters._asdict().items()
    }
    if throttles:
        content[THROTTLES_KEY] = {
            throttle: {
                option: {"value": float(value), "unit": "1", "source": said[f"{throttle}.{option}"]}
                for option, value in options.items()
            }
            for throttle, options in throttles.items()
        }
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "the parameters", ParameterError)
    if not isinstance(content, dict):
        raise ParameterError(f"{path}: must be a mapping with the parameters {', '.join(ModelParameters._fields)}")
    return content


def _value(source: str | Path, name: str, entry: Any) -> float:
    """The value of one parameter, checked; ``source`` is how messages call where it comes from."""
    place = f"{source}: {name}"
    if entry is None:
        raise ParameterError(f"{place}: missing")
    value = _number(place, entry)
    if entry["unit"] != UNITS[name]:
        raise ParameterError(f"{place}.unit: {entry['unit']!r} must be {UNITS[name]!r}")
    if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        least = "not be negative" if name in _MAY_BE_ZERO else "be positive"
        raise ParameterError(f"{place}.value: {entry['value']!r} must {least}")
    lowest, highest = BOUNDS[name]
    if not lowest <= value <= highest:
        raise ParameterError(f"{place}.value: {entry['value']!r} must be from {lowest:g} to {highest:g} {UNITS[name]}")
    return value


def _number(place: str, entry: Any) -> float:
    """The value of one entry, a finite number."""
    if not isinstance(entry, dict) or not set(_ENTRY_KEYS) >= set(entry) >= {"value", "unit"}:
        raise ParameterError(f"{place}: {entry!r} must be a mapping with the keys {', '.join(_ENTRY_KEYS)}")
    try:
        value = math.nan if isinstance(entry["value"], bool) else float(entry["value"])
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise ParameterError(f"{place}.value: {entry['value']!r} must be a finite number")
    return value


DEFAULT_PARAMETERS = load_parameters(DEFAULT_FILE)
"""Of ``parameters.yaml``."""


TIMESLICE_S = 0.01
"""A vCPU with a run-share cap c runs this long in each cycle of TIMESLICE_S / c (QEMU: CPU_THROTTLE_TIMESLICE_NS)."""


def fault_s_of(scenario: Scenario, parameters: ModelParameters) -> float:
    """The cost of a write fault: the host's, where it says one."""
    own = scenario.host_or_default.fault_s
    return parameters.fault_s if own is None else own


def ring_exit_s(scenario: Scenario, parameters: ModelParameters) -> float:
    """The time to empty a ring that counts as full: it takes as long as there are entries in it."""
    return parameters.ring_exit_s * (1.0 - scenario.ring_entries_lost / scenario.dirty_log.ring_entries)


def run_slice_s(dirty_log: DirtyLog, parameters: ModelParameters) -> float:
    """The run time of a vCPU with a run-share cap in each cycle."""
    return TIMESLICE_S + (parameters.slice_overrun_s if dirty_log.kind == "software" else 0.0)
