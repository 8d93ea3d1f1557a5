"""Files that execute something when they are unpickled."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path

import torch


class MakesFolder:
    """Makes a folder when it is unpickled: the trace of an execution."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self):
        import os

        return os.makedirs, (self.trace, 0o777, True)


def pickled(trace: Path) -> bytes:
    """A pickle that makes the folder ``trace``."""
    return pickle.dumps(MakesFolder(trace))


def plant_in_data(model: Path, trace: Path) -> None:
    """Put a hostile pickle into every pickled entry of a model zip's ``data``."""
    members = read_members(model)
    data = json.loads(members["data"])
    planted = [value for value in data.values() if isinstance(value, dict) and ":serialized:" in value]
    assert planted
    for value in planted:
        value[":serialized:"] = base64.b64encode(pickled(trace)).decode()
    write_members(model, members | {"data": json.dumps(data).encode()})


def plant_in_tensors(model: Path, name: str, trace: Path) -> None:
    """Put a hostile pickle into one ``.pth`` of a model zip."""
    write_members(model, read_members(model) | {name: hostile_tensors(trace)})


def hostile_tensors(trace: Path) -> bytes:
    """What ``torch.save`` makes of it: torch executes it unless it loads weights only."""
    buffer = io.BytesIO()
    torch.save({"weights": MakesFolder(trace)}, buffer)
    return buffer.getvalue()


def read_members(model: Path) -> dict[str, bytes]:
    """Name -> content."""
    with zipfile.ZipFile(model) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(model: Path, members: dict[str, bytes]) -> None:
    """Write a zip of these members."""
    with zipfile.ZipFile(model, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
