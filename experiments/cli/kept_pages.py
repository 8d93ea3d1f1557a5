"""Pages that were shown before: ``dqgym --help`` without the libraries that lay it out.

Typer and Rich take ten times as long to import as Python takes to start, and their page is the same every time. So the
first one is kept in ``$XDG_CACHE_HOME/dqgym/pages`` (``~/.cache`` without that), and shown again as long as nothing has
changed that it depends on:

* what was asked, Python and its path, and whatever the layout depends on: the terminal's width, colours, encoding;
* the time and size of every file that was imported to lay it out, and of every folder on Python's path, where a package
  that is installed, updated or removed leaves its mark.

A page that cannot be read is made anew, one that cannot be kept is not. Imports next to nothing, for a quick start.
"""

from __future__ import annotations

import os
import sys
import time

HELP_FLAGS = ("-h", "--help")
MOST_WORDS = 2
"""Of a command and its subcommand."""
MOST_PAGES = 300
"""When there are more, all go: widths of windows that nobody has any more, versions that are gone."""
SETTLED_NS = 2_000_000_000
"""A file younger than that may change again within the same tick of its file system's clock."""
LAYOUT_VARIABLES = (
    "COLUMNS", "LINES", "TERMINAL_WIDTH", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "TTY_COMPATIBLE",
    "TTY_INTERACTIVE", "GITHUB_ACTIONS", "TYPER_USE_RICH", "_TYPER_FORCE_DISABLE_TERMINAL", "JUPYTER_COLUMNS",
)  # fmt: skip
"""Of the environment, what Typer and Rich look at."""


def kept_page_shown(arguments: list[str]) -> bool:
    """Show the page that these arguments ask for; ends the process with its exit code, unless that is 0.

    Returns:
        Whether there was one. Without it nothing was shown.
    """
    if not _ask_for_a_page(arguments):
        return False
    key = _key()
    try:
        with open(_path(key), encoding="utf-8", newline="") as file:
            kept_key, files, code, out, err = file.read().split("\0")
    except (OSError, ValueError):
        return False
    if kept_key != key or any(_stamp(line.partition("\t")[0]) != line for line in files.split("\n")):
        return False
    sys.stdout.write(out)
    sys.stdout.flush()
    sys.stderr.write(err)
    if int(code):
        sys.exit(int(code))
    return True


class KeepingPage:
    """Within the block, what is shown is kept where it is a page; see ``kept_page_shown``."""

    def __init__(self, arguments: list[str]) -> None:
        self._wanted = _ask_for_a_page(arguments)

    def __enter__(self) -> None:
        if self._wanted:
            self._key, self._began_ns = _key(), time.time_ns()
            self._streams = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = self._out, self._err = _Tee(sys.stdout), _Tee(sys.stderr)  # type: ignore[assignment]

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not self._wanted:
            return
        sys.stdout, sys.stderr = self._streams
        code = error.code or 0 if isinstance(error, SystemExit) else None
        shown = (self._key, _files(self._began_ns), str(code), "".join(self._out.shown), "".join(self._err.shown))
        if isinstance(code, int) and shown[1] and not any("\0" in part for part in shown):
            _keep(_path(self._key), "\0".join(shown))


class _Tee:
    """A stream that remembers what was written to it."""

    def __init__(self, stream: object) -> None:
        self._stream = stream
        self.shown: list[str] = []

    def write(self, text: str) -> int:
        written: int = self._stream.write(text)  # type: ignore[attr-defined]
        self.shown.append(text)  # not before: whether a stream takes bytes is found out by writing some
        return written

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _ask_for_a_page(arguments: list[str]) -> bool:
    """Whether these are words and ``--help``, ``--version``, or nothing (which shows the help, too)."""
    if "_DQGYM_COMPLETE" in os.environ:
        return False
    if arguments in ([], ["--version"]):
        return True
    *words, last = arguments
    return last in HELP_FLAGS and len(words) <= MOST_WORDS and all(word.isalpha() for word in words)


def _key() -> str:
    """All that a page depends on, except for files."""
    terminals: list[tuple[int, ...] | None] = []
    for number in range(3):
        try:
            terminals.append(tuple(os.get_terminal_size(number)))
        except (OSError, ValueError):
            terminals.append(None)
    streams = [(stream.isatty(), stream.encoding) for stream in (sys.stdout, sys.stderr)]
    layout = [os.environ.get(name) for name in LAYOUT_VARIABLES]
    return repr((sys.version, sys.argv, sys.path, streams, terminals, layout))


def _path(key: str) -> str:
    """The file of a page. Keys that meet in one replace each other, as each page says whose it is."""
    from zlib import crc32

    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "dqgym", "pages", f"{crc32(key.encode(errors='replace')):08x}")


def _files(began_ns: int) -> str:
    """The stamps of what was imported, a line each; empty where something may have changed in the meantime."""
    standard = os.path.dirname(os.__file__) + os.sep
    modules = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    own = {file for file in modules if not file.startswith(standard) or f"{os.sep}site-packages{os.sep}" in file}
    stamps = [_stamp(name) for name in sorted({*own, *sys.path} - {""})]
    newest_ns = max(int(stamp.split("\t")[1]) for stamp in stamps)
    return "" if newest_ns > began_ns - SETTLED_NS else "\n".join(stamps)


def _stamp(name: str) -> str:
    """Name, time and size; of something that is not there, zeros."""
    try:
        found = os.stat(name)
    except OSError:
        return f"{name}\t0\t0"
    return f"{name}\t{found.st_mtime_ns}\t{found.st_size}"


def _keep(path: str, text: str) -> None:
    """Write a page, whole or not at all. Not by ``dqgym.files``, whose package takes as long as all the rest."""
    folder, part = os.path.dirname(path), f"{path}.{os.getpid()}"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        kept = os.listdir(folder)
        for name in kept if len(kept) > MOST_PAGES else ():
            os.unlink(os.path.join(folder, name))
        with open(part, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(part, path)
    except (OSError, ValueError):
        return  # a read-only home, a full disk, a name that is no Unicode: there are pages without it
