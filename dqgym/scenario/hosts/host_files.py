"""Host files: YAML with the fields of ``Host``, each value as text with its unit; some come with the package."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dqgym.documents import read_yaml
from dqgym.errors import BadInputError
from dqgym.names import unknown
from dqgym.scenario.faults import described
from dqgym.scenario.hosts.host import DEFAULT_HOST, Host
from dqgym.scenario.record import FROM_FILE

_SUFFIXES = (".yaml", ".yml")


class HostError(BadInputError):
    """A host cannot be used; the message names the file, the field, the value and what is allowed."""


def host_names() -> tuple[str, ...]:
    """The hosts that come with the package; ``default`` is the first."""
    shipped = sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("dqgym.scenario.hosts").iterdir()
        if entry.name.endswith(".yaml")
    )
    return (DEFAULT_HOST.name, *shipped)


def find_host(name_or_file: str, folder: Path | None = None) -> Host:
    """The host of that name, or of that file.

    Args:
        name_or_file: what ends in .yaml or .yml, or has a folder in it, is a file.
        folder: where a relative path begins; the current folder where None.

    Raises:
        HostError: there is none of that name, or the file cannot be used.
    """
    path = Path(name_or_file)
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        return _load_host((folder or Path()) / path)
    if name_or_file == DEFAULT_HOST.name:
        return DEFAULT_HOST
    if name_or_file not in host_names():
        raise HostError(f"{unknown('host', name_or_file, host_names(), 'hosts')}; or give a file, PATH.yaml")
    with as_file(files("dqgym.scenario.hosts").joinpath(f"{name_or_file}.yaml")) as shipped:
        return _load_host(shipped)


def _load_host(path: Path) -> Host:
    content: Any = read_yaml(path, "the host", HostError)
    if not isinstance(content, dict):
        raise HostError(f"{path}: must be a mapping with the keys of a host")
    try:
        return Host.model_validate({"name": path.stem, **content}, context=FROM_FILE)
    except ValidationError as error:
        raise HostError("\n".join(f"{path}: {line}" for line in described(error))) from error
