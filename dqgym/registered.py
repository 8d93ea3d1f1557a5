"""Tables that others add to: what ships, what a program registers, what is installed, and ``module:name``.

A name is looked up in this order, and the first that has it wins:

1. the rows that ship with dqgym;
2. those that a program has registered;
3. entry points of installed distributions, in the table's group; they are looked at where a name is unknown, or where
   all are listed, and one that cannot be loaded is told of in a line and left out;
4. ``module:name``: anything that can be imported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from dqgym.errors import BadInputError
from dqgym.names import did_you_mean, unknown
from dqgym.references import NoSuchModuleError, is_reference, load_reference

Row = TypeVar("Row")
log = logging.getLogger(__name__)


class Registry(Generic[Row]):
    """The rows of one kind, by name.

    Args:
        what: a row is, for messages: ``suite``.
        listed_as: what a list of their names begins with, in messages.
        group: of the entry points.
        shipped: the rows that come with dqgym.
        beside: ends the message about an unknown name: what else could be given.
        adopt: makes a row of what a reference or an entry point stands for, and its name; BadInputError where it
            cannot be one.
    """

    def __init__(
        self,
        what: str,
        listed_as: str,
        group: str,
        shipped: Mapping[str, Row],
        adopt: Callable[[str, object], Row],
        beside: str = "",
    ) -> None:
        self.what = what
        self.listed_as = listed_as
        self.group = group
        self.beside = beside
        self.shipped = shipped
        self._adopt = adopt
        self._added: dict[str, Row] = {}
        self._referenced: dict[str, Row] = {}
        self._told: set[str] = set()

    def register(self, name: str, row: Row) -> None:
        """Add a row, or replace one that was registered.

        Raises:
            BadInputError: the name is taken by a row that ships, or cannot be told from ``module:name`` or a path.
        """
        if name in self.shipped:
            raise BadInputError(f"{self.what} {name!r} ships with dqgym: register yours under another name")
        if not name or any(sign in name for sign in ":/,=") or name != name.strip():
            raise BadInputError(f"{self.what} {name!r}: a name must not be empty, nor have any of : / , = in it")
        self._added[name] = row

    def knows(self, name: str) -> bool:
        """Whether there is a row of that name; for ``module:name``: whether it is one to look up."""
        return name in self.present() or is_reference(name) or name in self._installed()

    def row(self, name: str) -> Row:
        """The row of that name.

        Raises:
            BadInputError: there is none (the message has the nearest name and all of them), or what is installed or
                referred to under this name cannot be loaded, or is nothing of this kind.
        """
        found = self.present().get(name)
        if found is not None:
            return found
        if is_reference(name):
            self._referenced[name] = self._adopt(name, self._referred(name))
            return self._referenced[name]
        installed = self._installed()
        if name not in installed:
            known = [*self.shipped, *self._added, *installed]
            raise BadInputError(unknown(self.what, name, known, self.listed_as) + self.beside)
        self._added[name] = self._loaded(installed[name])
        return self._added[name]

    def present(self) -> dict[str, Row]:
        """Those that ship, were registered, or have been loaded so far, in this order."""
        return {**self.shipped, **self._added, **self._referenced}

    def names(self) -> list[str]:
        """All names: those that ship, the registered, the installed."""
        return list({**self.shipped, **self._added, **self._installed()})

    def rows(self) -> dict[str, Row]:
        """All rows that have a name, in the order of ``names``; one that cannot be loaded is told of and left out."""
        for name, entry in self._installed().items():
            try:
                self._added.setdefault(name, self._loaded(entry))
            except BadInputError as error:
                self._tell(str(error))
        return {**self.shipped, **self._added}

    def addition(self, name: str) -> Row | None:
        """The row of a name where it does not ship with dqgym, for those who carry it to another process."""
        return None if name in self.shipped else self.present().get(name)

    def carry(self, name: str, row: Row) -> None:
        """Take a row that another process knew under this name; one that is known here stays."""
        if name not in self.present():
            self._referenced[name] = row

    def _referred(self, reference: str) -> Any:
        try:
            return load_reference(reference)
        except NoSuchModuleError as error:
            hint = did_you_mean(reference.partition(":")[0], self.names())
            raise BadInputError(f"{error}{hint}") from error

    def _installed(self) -> dict[str, EntryPoint]:
        """The entry points that may be used, by name; those that are not are told of."""
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.group):
            if entry.name in self.shipped:
                self._tell(f"{_whose(entry)} is left out: dqgym ships a {self.what} of the name {entry.name!r}")
            elif entry.name in found and found[entry.name] != entry:
                self._tell(f"{_whose(entry)} is left out: {_whose(found[entry.name])} has the name {entry.name!r}, too")
            elif entry.name not in self._added:
                found[entry.name] = entry
        return found

    def _loaded(self, entry: EntryPoint) -> Row:
        """Its row. BadInputError, which names the distribution, where its code fails."""
        try:
            return self._adopt(entry.name, entry.load())
        except Exception as error:  # whatever the code of others raises
            reason = str(error) if isinstance(error, BadInputError) else f"{type(error).__name__}: {error}"
            raise BadInputError(f"{_whose(entry)} cannot be used: {reason}") from error

    def _tell(self, line: str) -> None:
        """Say something once."""
        if line not in self._told:
            self._told.add(line)
            log.warning("dqgym: %s", line)


def _whose(entry: EntryPoint) -> str:
    distribution = "an unknown distribution" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    return f"plug-in {entry.name!r} ({entry.value}) of {distribution}"


def by_name(rows: Iterable[Row]) -> dict[str, Row]:
    """Rows by their attribute ``name``."""
    return {str(row.name): row for row in rows}  # type: ignore[attr-defined]
