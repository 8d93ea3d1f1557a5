"""The command line ``dqgym``.

Each command lives in its own module, which is imported when the command is asked for; the table below is all that
``dqgym --help`` needs.
"""

from __future__ import annotations

import keyword
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from experiments.cli.manners import Command, Group, with_manners
from experiments.cli.signals import WORDS, InterruptingSignals, first_signal
from experiments.errors import ExitCode, exit_code, is_interruption, message


@dataclass(frozen=True)
class CommandEntry:
    """A command: ``NAME_command`` in the module of its name, a function or (for a group) a ``typer.Typer``.

    Attributes:
        name: of the command.
        folder: of its module, in ``experiments.commands``: what a user wants to do.
        summary: one line.
    """

    name: str
    folder: str
    summary: str

    @property
    def module(self) -> str:
        """The module that holds it; one whose name would be a keyword of Python ends with an underscore."""
        own = f"{self.name}_" if keyword.iskeyword(self.name) else self.name
        return f"experiments.commands.{self.folder}.{own}"

    def load(self) -> Any:
        """Import the command's module and make the command."""
        target = getattr(import_module(self.module), f"{self.name}_command")
        if isinstance(target, typer.Typer):
            target.info.context_settings = HELP_OPTIONS
            return typer.main.get_command(with_manners(target))
        holder = typer.Typer(add_completion=False)
        holder.command(self.name, cls=Command, no_args_is_help=False, context_settings=HELP_OPTIONS)(target)
        return typer.main.get_command(holder)


HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
PANELS = {
    "learning": "Learn",
    "assessment": "Measure and compare",
    "migration": "Migrate",
    "catalogue": "Look up",
}
"""Titles of the parts of the list of commands, by folder."""


_ENTRIES = (
    CommandEntry("train", "learning", "Train a policy from a config."),
    CommandEntry("evaluate", "assessment", "Compare policies with the baselines."),
    CommandEntry("compare", "assessment", "Compare two throttles on the same migrations."),
    CommandEntry("results", "assessment", "Write a page from stored evaluations."),
    CommandEntry("tune", "learning", "Find the best options of a baseline."),
    CommandEntry("export", "learning", "Write a trained policy as a bundle."),
    CommandEntry("control", "migration", "Run a bundle's control loop, without PyTorch."),
    CommandEntry("simulate", "migration", "Migrate one scenario on the model."),
    CommandEntry("migrate", "migration", "Migrate a real virtual machine on KVM."),
    CommandEntry("receive", "migration", "Be the destination of migrations from elsewhere."),
    CommandEntry("import", "migration", "Make a scenario of a migration's log."),
    CommandEntry("record", "migration", "Write down a QEMU migration that somebody else starts."),
    CommandEntry("calibrate", "assessment", "Compare the model with measurements; fit its parameters."),
    CommandEntry("suites", "catalogue", "List and describe the suites of scenarios."),
    CommandEntry("throttles", "catalogue", "List the throttles and their options."),
    CommandEntry("configs", "catalogue", "List the configs and scenarios that come with dqgym."),
    CommandEntry("probe", "migration", "Say whether migrations under KVM can run here."),
    CommandEntry("bench", "assessment", "Measure the environment, training and one decision."),
)
COMMANDS = {entry.name: entry for entry in _ENTRIES}
"""By name, in the order of the help."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 the run failed; 2 wrong usage or bad input;"
    " 130 interrupted (Ctrl-C), 143 terminated (SIGTERM), 129 hung up (SIGHUP)."
)


class LazyGroup(Group):
    """Imports a command's module when that command is called, and turns expected errors into messages."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the placeholder of the named command by the command itself."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = COMMANDS[args[0]].load()
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error that the user can mend is shown as one message, without a traceback."""
        try:
            with InterruptingSignals():
                return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            code = _exit_code(error)
            if code is None:
                raise
            if ctx.params.get("debug"):
                if code not in STOPPED:
                    raise
                traceback.print_exc()
            _show(error, code)
            raise typer.Exit(code) from error


STOPPED = {ExitCode(128 + number): word for number, word in WORDS.items()}


def _exit_code(error: BaseException) -> ExitCode | None:
    """The exit code for an expected error; after a signal, whatever ends a command is one.

    Libraries that are interrupted may raise something else as they wind up; a child that got the signal is missed.
    """
    stopped_by = None if isinstance(error, typer.Exit) else first_signal()
    return exit_code(error) if stopped_by is None else ExitCode(128 + stopped_by)


def _show(error: BaseException, code: ExitCode) -> None:
    """Print an expected error to standard error, which may be gone with the terminal."""
    label, style = (STOPPED[code], "bold yellow") if code in STOPPED else ("error", "bold red")
    said = "" if code in STOPPED and not is_interruption(error) else message(error)
    line = Text.assemble((label, style), f": {said}" if said else "")
    with suppress(OSError):
        Console(stderr=True, soft_wrap=True, highlight=False).print(line)


def _print_version(wanted: bool) -> None:
    if wanted:
        from dqgym.installed import version

        print(f"dqgym {version()}")
        raise typer.Exit


def _main_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, too.")] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, metavar="", help="Log what is done to standard error; -vv logs more."
        ),
    ] = 0,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Learn how to throttle a virtual machine's memory writes while it is migrated live."""
    if verbose:
        from experiments.cli.logs import show_logs

        show_logs(verbose)


def _placeholder() -> None:
    """Stands for a command in the list of commands until it is called."""


app = typer.Typer(
    cls=LazyGroup,
    name="dqgym",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES,
    context_settings=HELP_OPTIONS,
)
app.callback()(_main_options)
for _name, _entry in COMMANDS.items():
    app.command(_name, help=_entry.summary, rich_help_panel=PANELS[_entry.folder])(_placeholder)


def require_own_packages() -> None:
    """End with one message where another package of the same name would be imported in place of ours."""
    from experiments.cli.own_packages import shadowed

    problem = shadowed()
    if problem is not None:
        _show(ImportError(problem), ExitCode.BAD_INPUT)
        sys.exit(ExitCode.BAD_INPUT)
