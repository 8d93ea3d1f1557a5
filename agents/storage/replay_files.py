"""The replay buffer of an off-policy algorithm as a file of arrays: reading it executes nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from stable_baselines3.common.buffers import ReplayBuffer

from dqgym.errors import BadInputError
from dqgym.files import opened, write_binary

ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
"""Of ``ReplayBuffer``: [steps, environments, ...]."""
POSITION = "position"
"""int64 [2]: where the next step goes, and how many steps there are."""


def save_replay_buffer(buffer: ReplayBuffer, path: Path) -> None:
    """Write the steps that the buffer holds, as npz."""
    steps = buffer.size()
    arrays = {name: getattr(buffer, name)[:steps] for name in ARRAYS}
    arrays[POSITION] = np.array([buffer.pos, steps], dtype=np.int64)
    write_binary(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def load_replay_buffer(buffer: ReplayBuffer, path: Path) -> None:
    """Fill an empty buffer from a file.

    Raises:
        BadInputError: the file is damaged, or of other environments or another size of buffer.
    """
    try:
        with opened(path, "replay buffer") as file, zipfile.ZipFile(file) as archive:
            position = _read(archive, POSITION, (2,), np.dtype(np.int64))
            pos, steps = map(int, position)
            if not 0 <= pos < buffer.buffer_size or steps not in (pos, buffer.buffer_size):
                raise BadInputError(f"step {pos} of {steps} in a buffer of {buffer.buffer_size}")
            for name in ARRAYS:
                own = getattr(buffer, name)
                own[:steps] = _read(archive, name, (steps, *own.shape[1:]), own.dtype)
    except Exception as error:  # zipfile and numpy raise what they please on damaged bytes
        raise BadInputError(
            f"{path} is damaged, or of another environment: {error}; without the file, training goes on with an empty"
            " replay buffer"
        ) from error
    buffer.pos, buffer.full = pos, steps == buffer.buffer_size


def _read(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """One array; its header is compared before anything is allocated."""
    with archive.open(f"{name}.npy") as file:
        found = _header(file)
        if found != (shape, False, dtype):
            raise BadInputError(f"{name} is {found[2]} {list(found[0])}, not {dtype} {list(shape)}")
    with archive.open(f"{name}.npy") as file:
        array: np.ndarray = npy.read_array(file, allow_pickle=False)
        return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    if version != (1, 0):
        raise BadInputError(f"npy version {version}, not (1, 0)")
    return npy.read_array_header_1_0(file)
