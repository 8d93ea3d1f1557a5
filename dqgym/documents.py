"""YAML and JSON from outside: parsed with bounds, so that a damaged or hostile file ends in one message.

YAML is the safe subset, without repeated keys (plain YAML would silently take the last), nested at most
``MOST_LEVELS`` deep, and with at most ``MOST_VALUES`` values after its aliases are expanded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dqgym.errors import BadInputError
from dqgym.files import read_text

MOST_LEVELS = 50
MOST_VALUES = 200_000
MOST_YAML_BYTES = 16 * 2**20
MOST_BITS = 4096
"""Of a whole number."""

# libyaml is ten times as fast; PyYAML is built without it in some places.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: str | Path, what: str = "", error: type[BadInputError] = BadInputError) -> Any:
    """The content of a YAML file; ``what`` names it in messages (``cannot read WHAT PATH``)."""
    return parse_yaml(read_text(path, what, MOST_YAML_BYTES, error), str(path), error)


def read_json(path: str | Path, what: str = "", error: type[BadInputError] = BadInputError) -> Any:
    """The content of a JSON file."""
    return parse_json(read_text(path, what, error=error), str(path), error)


def parse_yaml(text: str, source: str, error: type[BadInputError] = BadInputError) -> Any:
    """The content of a YAML text; ``source`` is how messages call it."""
    try:
        _check_shape(text)
        content = yaml.load(text, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as failure:
        # Values such as 2001-13-45, or a tag on a word that it does not fit, make PyYAML raise what it pleases.
        raise error(f"{source}: not valid YAML: {failure}") from failure
    _check_size(content, source, error)
    return content


def parse_json(text: str | bytes, source: str, error: type[BadInputError] = BadInputError) -> Any:
    """The content of a JSON text; ``source`` is how messages call it."""
    try:
        return json.loads(text)
    except RecursionError as failure:
        raise error(f"{source}: not valid JSON: nested too deep") from failure
    except ValueError as failure:
        raise error(f"{source}: not valid JSON: {failure}") from failure


class _UniqueKeyLoader(_SafeLoader):
    """A safe loader for which a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    problem="a key must be a plain word", problem_mark=key_node.start_mark
                )
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key_node.value!r} is repeated", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _check_shape(text: str) -> None:
    """Before anything that recurses, or takes its time, sees the text."""
    level = 0
    for number, event in enumerate(yaml.parse(text, Loader=_SafeLoader)):
        if number > 2 * MOST_VALUES:
            raise yaml.YAMLError(f"more than {MOST_VALUES:,} values")
        if isinstance(event, yaml.events.CollectionStartEvent):
            level += 1
            if level > MOST_LEVELS:
                raise yaml.YAMLError(f"more than {MOST_LEVELS} levels of nesting")
        elif isinstance(event, yaml.events.CollectionEndEvent):
            level -= 1


def _check_size(content: object, source: str, error: type[BadInputError]) -> None:
    """Refuse values that hold themselves, and aliases that would expand beyond all bounds."""
    sizes: dict[int, int | None] = {}

    def size(value: object) -> int:
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            # Python refuses to write such a number, so no message could name it.
            raise error(f"{source}: not valid YAML: a whole number of more than {MOST_BITS:,} bits")
        if not isinstance(value, Mapping | list | tuple | set):
            return 1
        if id(value) in sizes:
            known = sizes[id(value)]
            if known is None:
                raise error(f"{source}: not valid YAML: a value holds itself")
            return known
        sizes[id(value)] = None
        if isinstance(value, Mapping):
            total = 1 + sum(map(size, value.values()))
            for key in value:
                size(key)
        else:
            total = 1 + sum(map(size, value))
        sizes[id(value)] = total
        return total

    if (total := size(content)) > MOST_VALUES:
        raise error(f"{source}: not valid YAML: {total:,} values, at most {MOST_VALUES:,} are read")
