"""The command line ``dqgym``.

Each command lives in its own module, which is imported when the command is asked for; the table below is all that
``dqgym --help`` needs.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from experiments.cli.signals import WORDS, InterruptingSignals, first_signal
from experiments.errors import ExitCode, exit_code, is_interruption, message


@dataclass(frozen=True)
class CommandEntry:
    """Where a command lives: ``module`` holds ``attribute``, a function or (for a group) a ``typer.Typer``."""

    module: str
    attribute: str
    summary: str

    @property
    def panel(self) -> str:
        """The part of ``dqgym --help`` in which it stands: by the folder of its module."""
        return PANELS[self.module.split(".")[-2]]

    def load(self, name: str) -> Any:
        """Import the command's module and make the command."""
        target = getattr(import_module(self.module), self.attribute)
        if isinstance(target, typer.Typer):
            target.info.context_settings = HELP_OPTIONS
            return typer.main.get_command(target)
        holder = typer.Typer(add_completion=False)
        holder.command(name, no_args_is_help=False, context_settings=HELP_OPTIONS)(target)
        return typer.main.get_command(holder)


HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
PANELS = {
    "learning": "Learn",
    "assessment": "Measure and compare",
    "migration": "Migrate",
    "catalogue": "Look up",
}
"""Titles of the parts of the list of commands, by folder."""


COMMANDS = {
    "train": CommandEntry("experiments.commands.learning.train", "train_command", "Train a policy from a config."),
    "evaluate": CommandEntry(
        "experiments.commands.assessment.evaluate", "evaluate_command", "Compare policies with the baselines."
    ),
    "compare": CommandEntry(
        "experiments.commands.assessment.compare", "compare_command", "Compare two throttles on the same migrations."
    ),
    "results": CommandEntry(
        "experiments.commands.assessment.results", "results_command", "Write a page from stored evaluations."
    ),
    "tune": CommandEntry("experiments.commands.learning.tune", "tune_command", "Find the best options of a baseline."),
    "export": CommandEntry(
        "experiments.commands.learning.export", "export_command", "Write a trained policy as a bundle."
    ),
    "control": CommandEntry(
        "experiments.commands.migration.control", "control_command", "Run a bundle's control loop, without PyTorch."
    ),
    "simulate": CommandEntry(
        "experiments.commands.migration.simulate", "simulate_command", "Migrate one scenario on the model."
    ),
    "migrate": CommandEntry(
        "experiments.commands.migration.migrate", "migrate_command", "Migrate a real virtual machine on KVM."
    ),
    "receive": CommandEntry(
        "experiments.commands.migration.receive", "receive_command", "Be the destination of migrations from elsewhere."
    ),
    "calibrate": CommandEntry(
        "experiments.commands.assessment.calibrate",
        "calibrate_command",
        "Compare the model with measurements; fit its parameters.",
    ),
    "suites": CommandEntry(
        "experiments.commands.catalogue.suites", "suites_command", "List and describe the suites of scenarios."
    ),
    "throttles": CommandEntry(
        "experiments.commands.catalogue.throttles", "throttles_command", "List the throttles and their options."
    ),
    "configs": CommandEntry(
        "experiments.commands.catalogue.configs",
        "configs_command",
        "List the configs and scenarios that come with dqgym.",
    ),
    "probe": CommandEntry(
        "experiments.commands.migration.probe", "probe_command", "Say whether migrations under KVM can run here."
    ),
    "bench": CommandEntry(
        "experiments.commands.assessment.bench", "bench_app", "Measure the environment, training and one decision."
    ),
}

EXIT_CODES = (
    "Exit codes: 0 done; 1 the run failed; 2 wrong usage or bad input;"
    " 130 interrupted (Ctrl-C), 143 terminated (SIGTERM), 129 hung up (SIGHUP)."
)


class LazyGroup(TyperGroup):
    """Imports a command's module when that command is called, and turns expected errors into messages."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the placeholder of the named command by the command itself."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = COMMANDS[args[0]].load(args[0])
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
        print(f"dqgym {metadata.version('dqgym')}")
        raise typer.Exit


def _main_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, too.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Learn how to throttle a virtual machine's memory writes while it is migrated live."""


def _placeholder() -> None:
    """Stands for a command in the list of commands until it is called."""


app = typer.Typer(
    cls=LazyGroup,
    name="dqgym",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES,
    context_settings=HELP_OPTIONS,
)
app.callback()(_main_options)
for _name, _entry in COMMANDS.items():
    app.command(_name, help=_entry.summary, rich_help_panel=_entry.panel)(_placeholder)


def require_own_packages() -> None:
    """End with one message where another package of the same name would be imported in place of ours."""
    from experiments.cli.own_packages import shadowed

    problem = shadowed()
    if problem is not None:
        _show(ImportError(problem), ExitCode.BAD_INPUT)
        sys.exit(ExitCode.BAD_INPUT)
