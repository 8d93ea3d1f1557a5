"""``dqgym.load``: the results in a folder or file, as pandas frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dqgym.documents import read_json
from dqgym.errors import BadInputError
from dqgym.installed import require_installed
from dqgym.results.documents import DOCUMENTS, Part, read_summary, read_training, takeovers_frame
from dqgym.results.frames import make_frame, records_frame, row_frames
from dqgym.results.loaded import Results
from dqgym.results.rows_file import COMPRESSED_FILE, PLAIN_FILE, read_rows
from dqgym.results.schema import FRAMES, require_known
from dqgym.throttles.rules.tuned import read_tuned

SUMMARY, RESULTS, TRAINING, META = "summary.json", "results.json", "evaluation.json", "meta.json"
SEVERAL = "several"
ELSEWHERE = {
    "manifest.json": "a policy bundle; dqgym.read_bundle reads it",
    META: "a training run that has not evaluated its policy yet",
    "calibration.json": "a calibration; its numbers are in calibration.json",
}
"""What other folders are, by a file in them."""


def load(path: str | Path) -> Results:
    """The results that a command left, as pandas frames.

    Args:
        path: a folder of ``dqgym evaluate`` or ``dqgym train``, or a folder that has such folders; the file of
            ``dqgym tune``; or a file with what ``dqgym evaluate``, ``compare``, ``control``, ``simulate`` or
            ``migrate`` print with ``--json``.

    Returns:
        One object with a frame for each kind of row; see ``Results``.

    Raises:
        BadInputError: there is no such folder or file, it is damaged, it is something else, it was written by a newer
            dqgym, or pandas is not installed. The message says which.
    """
    require_installed("dqgym.load", ("pandas",), "pandas")
    path = Path(path)
    if not path.exists():
        raise BadInputError(f"{path}: no such folder or file")
    source = path.resolve().name
    if not path.is_dir():
        return _results(path, _read_file(path, source))
    if (read := _reader_of(path)) is not None:
        return _results(path, read(path, source))
    parts = {one.name: read(one, one.name) for one in _folders(path) if (read := _reader_of(one)) is not None}
    if not parts:
        raise BadInputError(f"{path}: {_what_else(path)}")
    about = {name: {"kind": part.kind, **part.about} for name, part in parts.items()}
    frames = {name: _joined([part.frames[name] for part in parts.values() if name in part.frames]) for name in FRAMES}
    return _results(path, Part(SEVERAL, about, {name: frame for name, frame in frames.items() if frame is not None}))


def _results(path: Path, part: Part) -> Results:
    empty = {name: make_frame(name, {column: [] for column in FRAMES[name].names}, 0, "") for name in FRAMES}
    return Results(part.kind, path, part.about, **(empty | part.frames))


def _joined(frames: list[Any]) -> Any:
    import pandas as pd

    return pd.concat(frames, ignore_index=True) if frames else None


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _what_else(path: Path) -> str:
    names = [one.name for one in path.iterdir()]
    if not names:
        return "is empty; `dqgym evaluate --out` and `dqgym train --run-dir` fill a folder that can be loaded"
    told = next((what for name, what in ELSEWHERE.items() if name in names), None)
    if told is not None:
        return f"is {told}"
    return (
        f"no folder of `dqgym evaluate` ({SUMMARY}, {PLAIN_FILE}) or `dqgym train` ({TRAINING}), and none of the"
        " folders in it is one"
    )


def _reader_of(folder: Path) -> Callable[[Path, str], Part] | None:
    if any((folder / name).is_file() for name in (SUMMARY, PLAIN_FILE, COMPRESSED_FILE)):
        return _read_evaluation_folder
    return _read_run_folder if (folder / TRAINING).is_file() else None


def _read_evaluation_folder(folder: Path, source: str) -> Part:
    part = Part("evaluation", {}, {})
    if (summary := folder / SUMMARY).is_file():
        part = _read(summary, "dqgym evaluate", read_summary, source)
    if any((folder / name).is_file() for name in (PLAIN_FILE, COMPRESSED_FILE)):
        rows = row_frames(read_rows(folder), part.about.get("backend"), source)
        part = replace(part, frames=part.frames | rows)
    if (results := folder / RESULTS).is_file():
        takeovers = _read(results, "dqgym evaluate", lambda *one: Part("", {}, takeovers_frame(*one)), source)
        part = replace(part, frames=part.frames | takeovers.frames)
    return part


def _read_run_folder(folder: Path, source: str) -> Part:
    part = _read(folder / TRAINING, "dqgym train", read_training, source)
    if not (meta := folder / META).is_file():
        return part
    about = read_json(meta, "meta data")
    if not isinstance(about, dict):
        raise BadInputError(f"{meta}: not what `dqgym train` writes: it must be an object")
    return replace(part, about={**part.about, **about})


def _read_file(path: Path, source: str) -> Part:
    if path.suffix in (".yaml", ".yml"):
        return _read_tuned(path, source)
    if path.name in (PLAIN_FILE, COMPRESSED_FILE):
        raise BadInputError(f"{path}: load the folder that it lies in, {path.parent}")
    document = read_json(path, "results")
    for kind in DOCUMENTS:
        if isinstance(document, dict) and kind.keys <= document.keys():
            return _read(path, kind.written_by, kind.read, source, document)
    raise BadInputError(f"{path}: not what a command writes or prints with --json: {_written()}")


def _written() -> str:
    return ", ".join(dict.fromkeys(f"`{kind.written_by}`" for kind in DOCUMENTS))


def _read(path: Path, written_by: str, read: Callable[[Any, str], Part], source: str, document: Any = None) -> Part:
    """What a reader makes of a file, which is parsed already where there is a ``document``."""
    content = read_json(path, "results") if document is None else document
    require_known(content, path)
    with _one_message(path, written_by):
        return read(content, source)


@contextmanager
def _one_message(path: Path, written_by: str) -> Iterator[None]:
    try:
        yield
    except BadInputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInputError(f"{path} is damaged, or not what `{written_by}` writes: {_said(error)}") from error


def _said(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def _read_tuned(path: Path, source: str) -> Part:
    try:
        content = read_tuned(path)
    except BadInputError as error:
        reason = str(error).removeprefix(f"{path}: ").splitlines()[0]
        raise BadInputError(f"{path}: no file with options that `dqgym tune` found: {reason}") from error
    records = [
        {
            **entry.model_dump(exclude={"options", "suites"}),
            "throttle": throttle, "distribution": distribution, "option": option, "value": float(value),
        }
        for throttle, distributions in content.items()
        for distribution, entries in distributions.items()
        for entry in entries
        for option, value in entry.options.items()
    ]  # fmt: skip
    if not records:
        raise BadInputError(f"{path}: has no options that `dqgym tune` found")
    suites = _suites(entry for distributions in content.values() for entry in distributions.items())
    return Part("tuned options", {"suites": suites}, {"tuning": records_frame("tuning", records, source)})


def _suites(distributions: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What each distribution was drawn from."""
    return {name: entries[0].suites for name, entries in distributions if entries}
