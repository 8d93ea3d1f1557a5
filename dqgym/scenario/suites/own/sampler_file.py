"""Samplers in YAML: the keys of a scenario file under ``sampler``, with distributions wherever a value may stand.

A value is a constant, ``{uniform: [low, high]}``, ``{log_uniform: [low, high]}`` or ``{choice: [one, another, ...]}``.
Bounds have units as in a scenario file. A choice may also be between whole parts: links, schedules, lists of groups.
The fields are those of the scenario's own classes: what a scenario file may say, a sampler may say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeGuard, get_args, get_origin

from pydantic import BaseModel, Field, PlainSerializer, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.scenario.faults import described
from dqgym.scenario.hosts.host import Host
from dqgym.scenario.hosts.host_files import find_host
from dqgym.scenario.limits import OLDER_FIELDS, DeviceWrites, Limits
from dqgym.scenario.link import UNLIMITED, ConstantLink
from dqgym.scenario.record import FROM_FILE, Record, yaml_key
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.suites.own.sampler import MEMORY_SHARE, PRESSURE, RELATIVE, Group, Sampler, Workload, fewest
from dqgym.scenario.suites.own.values import Choice, Constant, Fields, Items, PassTimes, Span, Value
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.scenario.workload import MAX_VCPUS, VcpuGroup
from dqgym.scenario.yaml_files import ScenarioError
from dqgym.units import NUMBER, format_bytes

LAWS = ("uniform", "log_uniform")
DISTRIBUTIONS = (*LAWS, "choice")
MOST_PRESSURE = 1e6
_SHOWN_CHARACTERS = 60
_PASS_TIMES = re.compile(rf"\s*({NUMBER})\s*T0\s*")


class _Relative(BaseModel):
    """What a part of a sampler may say beside the fields of a scenario's part."""

    pressure: Annotated[float, Field(gt=0, le=MOST_PRESSURE)] = 1.0
    memory_share: Annotated[float, Field(gt=0, le=1)] = 1.0


_RELATIVE_FIELDS = {
    PRESSURE: _Relative.model_fields["pressure"],
    MEMORY_SHARE: _Relative.model_fields["memory_share"],
}


def read_sampler(content: object, source: str) -> Sampler:
    """The sampler that the content of a file's ``sampler`` describes.

    Raises:
        ScenarioError: one line for each fault, with the field, the value and what is allowed.
    """
    reader = _Reader()
    sampler = reader.sampler(content)
    if reader.faults or sampler is None:
        raise ScenarioError("\n".join(f"{source}: {fault}" for fault in reader.faults))
    return sampler


class _Reader:
    """Reads the parts of a sampler, and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def sampler(self, content: object) -> Sampler | None:
        """The whole of it; None where something is wrong."""
        fields = {name: field for name, field in Scenario.model_fields.items() if name != "name"}
        given = self._given(content, fields, "sampler")
        device, workload = given.pop("device", None), given.pop("workload", None)
        values = {name: self._value(raw, fields[name], f"sampler.{yaml_key(name)}") for name, raw in given.items()}
        workloads = [] if workload is None else self._workloads(workload)
        devices = None if device is None else self._writers(device, DeviceWrites, "sampler.device")
        if self.faults:
            return None
        vm, link = values.pop("vm"), values.pop("link")
        return Sampler(vm, link, tuple(workloads), devices, Fields(tuple(values.items())))

    def _given(self, content: object, fields: Mapping[str, FieldInfo], place: str) -> dict[str, Any]:
        """The values by field, in the order of the fields; unknown and missing keys are faults."""
        if not isinstance(content, Mapping):
            keys = ", ".join(map(yaml_key, fields))
            self.faults.append(f"{place}: {_shown(content)}: must be a mapping with the keys {keys}")
            return {}
        names = {yaml_key(name): name for name in fields}
        for key in content:
            if key not in names:
                hint = did_you_mean(str(key), names)
                self.faults.append(f"{place}: unknown key {key!r}{hint}; valid keys: {', '.join(names)}")
        for key, name in names.items():
            if fields[name].is_required() and key not in content:
                self.faults.append(f"{place}.{key}: missing")
        return {name: content[key] for key, name in names.items() if key in content}

    def _workloads(self, raw: object) -> list[Workload]:
        """Lists of groups to pick from."""
        place = "sampler.workload"
        alternatives = raw["choice"] if _is_choice(raw) else [raw]
        if not isinstance(alternatives, list) or not alternatives:
            self.faults.append(f"{place}: choice: {_shown(alternatives)}: must be a list of lists of groups")
            return []
        places = [f"{place}.choice[{index}]" for index in range(len(alternatives))] if _is_choice(raw) else [place]
        return [self._workload(one, where) for one, where in zip(alternatives, places, strict=True)]

    def _workload(self, raw: object, place: str) -> Workload:
        if not isinstance(raw, list) or not raw:
            self.faults.append(f"{place}: {_shown(raw)}: must be a list of groups of vCPUs")
            return ()
        groups = tuple(self._group(group, f"{place}[{index}]") for index, group in enumerate(raw))
        if not self.faults and fewest(groups) > MAX_VCPUS:
            self.faults.append(f"{place}: at least {fewest(groups)} vCPUs; allowed: 1 to {MAX_VCPUS}")
        return groups

    def _group(self, raw: object, place: str) -> Group:
        value = self._writers(raw, VcpuGroup, place)
        fields = dict(value.entries) if isinstance(value, Fields) else {}
        vcpus = fields.pop("vcpus", Constant(1))
        assert isinstance(vcpus, Constant | Span | Choice)
        return Group(vcpus, Fields(tuple(fields.items())))

    def _writers(self, raw: object, record: type[Record], place: str) -> Value:
        """A group of vCPUs or the device writes, whose rate and size may be relative to the link and the memory."""
        value = self._record(raw, record, place, _RELATIVE_FIELDS)
        for relative, absolute in RELATIVE.items():
            absolute = absolute if record is VcpuGroup else absolute.removeprefix("write_")
            if isinstance(raw, Mapping) and relative in raw and absolute in raw:
                self.faults.append(f"{place}: give either {absolute!r} or {relative!r}, not both")
        return value

    def _record(
        self, raw: object, record: type[Record], place: str, more: Mapping[str, FieldInfo] | None = None
    ) -> Value:
        fields = {**record.model_fields, **(more or {})}
        try:
            raw = record.with_new_names(raw) if isinstance(raw, Mapping) else raw
        except BadInputError as error:
            self.faults.append(f"{place}: {error}")
        given = self._given(raw, fields, place)
        return Fields(
            tuple(
                (name, self._value(value, fields[name], f"{place}.{yaml_key(name)}")) for name, value in given.items()
            )
        )

    def _value(self, raw: object, field: FieldInfo, place: str) -> Value:
        """The value of a field, whatever it is made of."""
        if _is_choice(raw):
            options = raw["choice"]
            if isinstance(options, list) and options:
                return Choice(tuple(self._value(one, field, f"{place}.choice[{i}]") for i, one in enumerate(options)))
            self.faults.append(f"{place}.choice: {_shown(options)}: must be a list of values")
            return Constant(None)
        records = [one for one in _members(field.annotation) if isinstance(one, type) and issubclass(one, Record)]
        if records == [Host] and isinstance(raw, str):
            return self._host(raw, place)
        if len(records) == 1:
            return self._record(raw, records[0], place, OLDER_FIELDS if records[0] is Limits else None)
        if records:
            return self._kind(raw, records, place)
        if get_origin(field.annotation) is tuple:
            return self._list(raw, field, place)
        return self._leaf(raw, field, place)

    def _host(self, name: str, place: str) -> Value:
        """A host by its name."""
        try:
            return Constant(find_host(name))
        except BadInputError as error:
            self.faults.append(f"{place}: {error}")
            return Constant(None)

    def _kind(self, raw: object, records: Sequence[type[Record]], place: str) -> Value:
        """A part that comes in several kinds."""
        kinds = {record.model_fields["kind"].default: record for record in records}
        kind = raw.get("kind") if isinstance(raw, Mapping) else None
        if kind not in kinds:
            hint = did_you_mean(str(kind), kinds)
            said = "needs a 'kind'" if kind is None else f"kind: {kind!r} is unknown{hint}"
            self.faults.append(f"{place}: {said}; allowed: {', '.join(kinds)}")
            return Constant(None)
        return self._record(raw, kinds[kind], place)

    def _list(self, raw: object, field: FieldInfo, place: str) -> Value:
        """A table of numbers."""
        if not isinstance(raw, list):
            self.faults.append(f"{place}: {_shown(raw)}: must be a list")
            return Constant(None)
        item = FieldInfo.from_annotation(get_args(field.annotation)[0])
        return Items(tuple(self._value(one, item, f"{place}[{index}]") for index, one in enumerate(raw)))

    def _leaf(self, raw: object, field: FieldInfo, place: str) -> Value:
        if not isinstance(raw, Mapping):
            return Constant(self._plain(raw, field, place))
        law = next(iter(raw), None)
        if len(raw) != 1 or law not in LAWS or _base(field) not in (int, float):
            allowed = DISTRIBUTIONS if _base(field) in (int, float) else ("choice",)
            hint = did_you_mean(str(law), allowed)
            known = "one of: " + ", ".join(f"{{{one}: [...]}}" for one in allowed)
            self.faults.append(f"{place}: {_shown(dict(raw))}: must be a value or {known}{hint}")
            return Constant(None)
        return self._span(raw[law], law, field, f"{place}.{law}")

    def _span(self, bounds: object, law: Any, field: FieldInfo, place: str) -> Value:
        if not isinstance(bounds, list) or len(bounds) != 2:
            self.faults.append(f"{place}: {_shown(bounds)}: must be [low, high]")
            return Constant(None)
        before = len(self.faults)
        low, high = (self._plain(bound, field, f"{place}[{index}]") for index, bound in enumerate(bounds))
        if len(self.faults) > before:
            return Constant(None)
        pass_times = isinstance(low, PassTimes)
        if pass_times != isinstance(high, PassTimes):
            self.faults.append(f"{place}: {_shown(bounds)}: both or none must be multiples of T0")
            return Constant(None)
        least, most = (low.count, high.count) if pass_times else (low, high)
        if least is None or most is None or not least <= most or (law == "log_uniform" and not least > 0):
            above = "0 < low <= high" if law == "log_uniform" else "low <= high"
            self.faults.append(f"{place}: {_shown(bounds)}: must be [low, high] with {above}")
            return Constant(None)
        return Span(law, least, most, _grain(field), pass_times)

    def _plain(self, raw: object, field: FieldInfo, place: str) -> Any:
        """One value of a field, in base units."""
        if isinstance(raw, str) and (match := _PASS_TIMES.fullmatch(raw)) and place.count(".schedule"):
            return PassTimes(float(match[1]))
        if raw == UNLIMITED and field is ConstantLink.model_fields["bandwidth_bytes_per_s"]:
            return raw
        kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        try:
            return TypeAdapter(kind).validate_python(raw, context=FROM_FILE)
        except ValidationError as error:
            self.faults += [f"{place}: {line.removeprefix(': ')}" for line in described(error)]
            return None


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have: itself, or those of a union."""
    inner = get_args(annotation) if get_origin(annotation) is not tuple else ()
    return tuple(member for one in inner for member in get_args(_bare(one)) or (one,)) or (annotation,)


def _base(field: FieldInfo) -> Any:
    """int or float where the field is a number, with or without None."""
    return next((one for one in map(_bare, _members(field.annotation)) if one in (int, float)), None)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _grain(field: FieldInfo) -> int | None:
    """Sizes are whole pages, other whole numbers are just that."""
    if _base(field) is not int:
        return None
    return BASE_PAGE_BYTES if _is_size(field) else 1


def _is_size(field: FieldInfo) -> bool:
    """Whether it is written as a size, with a unit."""
    return any(isinstance(one, PlainSerializer) and one.func is format_bytes for one in field.metadata)


def _is_choice(raw: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(raw, Mapping) and set(raw) == {"choice"}


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN_CHARACTERS]
