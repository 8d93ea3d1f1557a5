"""What every command of the command line has: words for what it takes, examples, names to complete."""

from __future__ import annotations

import math
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from experiments.cli.completion import complete
from experiments.cli.examples import examples_text
from experiments.cli.wording import say_what_is_wanted, what_is_wrong


class _WithManners:
    """Mixed into commands and groups of commands."""

    name: str | None
    epilog: str | None
    params: list[Any]

    def get_params(self, ctx: Any) -> list[Any]:
        """All options and arguments."""
        command = ctx.info_name or self.name or ""
        known: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        return [complete(say_what_is_wanted(one), command) for one in known]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read options and arguments; a wrong value is told with the option, itself and what is allowed."""
        try:
            rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except typer.BadParameter as error:
            error.message = what_is_wrong(error)
            raise
        for one in self.params:
            given = ctx.params.get(one.name)
            for value in given if isinstance(given, list | tuple) else [given]:
                if isinstance(value, float) and math.isinf(value):
                    raise typer.BadParameter(f"{value} must be a finite number", ctx=ctx, param=one)
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The page of help."""
        command = ctx.command_path.partition(" ")[2] if ctx.parent else ""
        self.epilog = self.epilog or examples_text(command)
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(_WithManners, TyperCommand):
    """A command."""


class Group(_WithManners, TyperGroup):
    """A group of commands."""


def with_manners(group: typer.Typer) -> typer.Typer:
    """The same group, its commands' classes replaced."""
    group.info.cls = Group
    for one in group.registered_commands:
        one.cls = Command
    return group
