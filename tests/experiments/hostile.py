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

        return os.mkdir, (self.trace,)


def pickled(trace: Path) -> bytes:
    """A pickle that makes the folder ``trace``."""
    return pickle.dumps(MakesFolder(trace))


def plant_everywhere(model: Path, trace: Path) -> None:
    """Put a hostile pickle into every entry of ``data`` and every ``.pth`` of a model zip."""
    members = read_members(model)
    data = json.loads(members["data"])
    for value in data.values():
        if isinstance(value, dict) and ":serialized:" in value:
            value[":serialized:"] = base64.b64encode(pickled(trace)).decode()
    members["data"] = json.dumps(data).encode()
    write_members(model, members)
    plant_in_data_alone = dict(members)
    for name in members:
        if name.endswith(".pth"):
            members[name] = hostile_tensors(trace)
    write_members(model.with_name("all-" + model.name), members)
    write_members(model, plant_in_data_alone)


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
