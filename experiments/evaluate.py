"""``dqgym evaluate``: learned policies and all baselines on the same migrations; rows, report and pictures."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dqgym.cost import FAST, GENTLE
from experiments.backends import BACKEND_HELP, backend_maker
from experiments.files import writing

if TYPE_CHECKING:
    from dqgym.controller.loop import OnProgress
    from experiments.contenders import Contender
    from experiments.cover_letter import Comparison
    from experiments.evaluation import Evaluation, MakeBackend, Task
    from experiments.journal import Journal
    from experiments.report import Picture
    from experiments.results import Row
    from experiments.tables import Table

DEFAULT_SUITES = ["cover-letter"]
DEFAULT_PREFERENCES = [FAST, GENTLE]
DEFAULT_COUNT = 256
"""Scenarios drawn from a sampler."""


def evaluate_command(
    throttles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|BUNDLE|THROTTLE...",
            help="Training runs, policy bundles or baselines; without any, the baselines alone.",
            show_default=False,
        ),
    ] = None,
    suite: Annotated[list[str], typer.Option(help="A suite of scenarios; repeat for more.")] = DEFAULT_SUITES,
    preference: Annotated[
        list[float], typer.Option(help="What guest runtime is worth against time; repeat for more.", min=0.0)
    ] = DEFAULT_PREFERENCES,
    count: Annotated[
        int | None,
        typer.Option(help=f"Scenarios of each suite; else all of a fixed one, {DEFAULT_COUNT} of a sampler.", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the sampled scenarios and all that is random.", min=0)] = 0,
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "model",
    repeat: Annotated[int, typer.Option(help="Migrate each scenario so often, with other seeds.", min=1)] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; else results/<time>.", file_okay=False)
    ] = None,
    survey: Annotated[
        str | None,
        typer.Option(help="Run each policy once more, with a survey of this length: '0.005 T0' or '2 s'."),
    ] = None,
    opponent: Annotated[
        str | None,
        typer.Option(help="What the statistics compare with; else tuned-rule, dirty-quota or the first baseline."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    baselines: Annotated[bool, typer.Option(help="Run all baselines beside the named throttles.")] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted evaluation: the same options, and its --out.")
    ] = False,
) -> None:
    """Compare learned policies with the baselines on the same migrations."""
    from dqgym.telemetry.interval import parse_survey
    from experiments.contenders import line_up
    from experiments.errors import BadInputError
    from experiments.evaluation import draw_task, evaluate
    from experiments.journal import Journal
    from experiments.tables import terminal

    if resume and out is None:
        raise BadInputError("--resume needs the --out of the evaluation that was interrupted")
    make_backend = backend_maker(backend)
    tasks = [draw_task(name, _count(name, count), seed, repeat) for name in dict.fromkeys(suite)]
    contenders = line_up(throttles or [], baselines, None if survey is None else parse_survey(survey))
    if not contenders:
        raise BadInputError("nothing to evaluate: name a throttle, or leave out --no-baselines")
    preferences = sorted(set(preference))
    against = choose_opponent(contenders, opponent)
    folder = out or Path("results") / f"{datetime.now():%Y%m%d-%H%M%S}"
    setting = {"backend": backend, "preferences": preferences, "migrations": _migrations(tasks)}
    with filling_folder(folder) as draft:  # first, so that a folder that cannot be written costs no evaluation
        journal = Journal(folder.with_name(f".{folder.name}.journal"), setting, resume)
        runs = len(tasks) * sum(len(preferences) if one.heeds_preference else 1 for one in contenders)
        with _saying_how_to_go_on(journal, runs, folder):
            with _progress(runs) as on_run:
                evaluation = evaluate(contenders, tasks, preferences, make_backend, on_run, journal)
            tables = _write_results(draft, contenders, tasks, evaluation, make_backend, against)
    journal.discard()

    console = terminal(stderr=as_json)
    if as_json:
        print(json.dumps(evaluation.document(), indent=2))
    else:
        for table in tables:
            table.print(console)
    console.print(f"results: {folder}", soft_wrap=True, markup=False)


def _migrations(tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Scenario and seed of every migration, by suite."""
    return {
        task.suite: [f"{scenario.name} {seed}" for scenario, seed in zip(task.scenarios, task.seeds, strict=True)]
        for task in tasks
    }


@contextmanager
def _saying_how_to_go_on(journal: Journal, runs: int, folder: Path) -> Iterator[None]:
    """Whatever stops the block, the message says how to go on, where a run is finished already."""
    from experiments.errors import RunInterruptedError, is_interruption
    from experiments.tables import terminal

    try:
        yield
    except BaseException as error:
        if not len(journal):
            raise
        kept = f"{len(journal)} of {runs} runs are kept; go on with the same command and --out {folder} --resume"
        if is_interruption(error):
            raise RunInterruptedError(kept) from error
        terminal(stderr=True).print(kept, soft_wrap=True, markup=False)
        raise


def _count(suite: str, count: int | None) -> int | None:
    """How many scenarios to take of a suite: of a fixed one never more than it has."""
    from dqgym.scenario.suites import get_suite

    chosen = get_suite(suite)
    if chosen.kind == "sampler":
        return DEFAULT_COUNT if count is None else count
    return None if count is None else min(count, len(chosen.scenarios()))


def _write_results(
    folder: Path,
    contenders: Sequence[Contender],
    tasks: Sequence[Task],
    evaluation: Evaluation,
    make_backend: MakeBackend,
    opponent: str | None,
) -> list[Table]:
    """All files of an evaluation, into a folder that is there; returns the tables that are in its report."""
    from experiments import cover_letter
    from experiments.report import evaluation_tables, markdown_report
    from experiments.summary import summarise_evaluation

    learned = [contender.name for contender in contenders if contender.learned]
    has_letter = any(task.suite == cover_letter.SUITE for task in tasks)
    comparison = cover_letter.compare(evaluation.rows, learned) if has_letter else None
    command = shlex.join(["dqgym", *sys.argv[1:]])
    summary = summarise_evaluation(evaluation, learned, opponent, command)
    tables = evaluation_tables(evaluation, learned, comparison, summary)

    _write_rows(folder, evaluation.rows)
    (folder / "summary.json").write_text(summary.model_dump_json(indent=1), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(evaluation.document(), indent=1), encoding="utf-8")
    pictures = _draw_pictures(folder, contenders, tasks, evaluation, comparison, make_backend)
    report = markdown_report(command, tables, pictures)
    (folder / "report.md").write_text(report, encoding="utf-8")
    return tables


def choose_opponent(contenders: Sequence[Contender], wanted: str | None) -> str | None:
    """The throttle that statistics compare with; None where none but policies compete, and none is wanted.

    Raises:
        BadInputError: the wanted one does not compete.
    """
    from dqgym.names import did_you_mean
    from experiments.errors import BadInputError

    names = [one.name for one in contenders]
    if wanted is not None:
        if wanted not in names:
            raise BadInputError(f"--opponent {wanted!r} does not compete{did_you_mean(wanted, names)}: {names}")
        return wanted
    baselines = [one.name for one in contenders if not one.learned]
    usual = [name for name in ("tuned-rule", "dirty-quota") if name in baselines]
    return next(iter([*usual, *baselines]), None)


def _write_rows(folder: Path, rows: Sequence[Row]) -> None:
    """All rows as CSV; compressed where they are many."""
    import gzip

    from experiments.results import MOST_ROWS_AS_JSON, rows_as_csv

    text = rows_as_csv(rows)
    if len(rows) <= MOST_ROWS_AS_JSON:
        (folder / "results.csv").write_text(text, encoding="utf-8")
    else:
        (folder / "results.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


@contextmanager
def filling_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; its files move to ``folder`` together when the block succeeds, or vanish.

    Raises:
        BadInputError: the folder cannot be written.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-")
    with scratch:
        yield Path(scratch.name)
        with writing(folder):
            folder.mkdir(exist_ok=True)
            for file in Path(scratch.name).iterdir():
                file.replace(folder / file.name)


def _draw_pictures(
    folder: Path,
    contenders: Sequence[Contender],
    tasks: Sequence[Task],
    evaluation: Evaluation,
    comparison: Comparison | None,
    make_backend: MakeBackend,
) -> list[Picture]:
    from experiments.evaluation import trace_migration
    from experiments.plots import cover_letter_figure, save_figure, timeline_figure, tradeoff_figure
    from experiments.report import Picture
    from experiments.results import typical_row

    shown = _featured(contenders)
    pictures = []
    for task in tasks:
        tradeoff = Picture(f"tradeoff-{task.suite}.png", f"{task.suite}: migration time against guest runtime")
        save_figure(tradeoff_figure(evaluation.rows, task.suite), folder / tradeoff.file)

        example = typical_row(evaluation.rows, task.suite, shown.name)
        trace = trace_migration(shown, task, task.seeds.index(example.seed), example.preference, make_backend)
        caption = f"{task.suite}: {example.scenario} under {example.throttle}, the migration of median cost"
        timeline = Picture(f"timeline-{task.suite}.png", caption)
        save_figure(timeline_figure(trace, f"{example.scenario}, {example.throttle}"), folder / timeline.file)
        pictures += [tradeoff, timeline]
    if comparison is not None:
        bars = Picture("cover-letter-rows.png", "Migration time of the letter's configurations")
        save_figure(cover_letter_figure(comparison), folder / bars.file)
        pictures.append(bars)
    return pictures


def _featured(contenders: Sequence[Contender]) -> Contender:
    """The one whose time line is worth a picture: the first policy, else dirty quota, else the first."""
    from experiments.contenders import FALLBACK

    policies = [contender for contender in contenders if contender.learned]
    return next((one for one in [*policies, *contenders] if one.learned or one.name == FALLBACK), contenders[0])


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[str, str], OnProgress]]:
    """A progress bar on standard error; yields what ``evaluate`` calls before each of its runs."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from experiments.tables import terminal

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("migrations"),
        TimeElapsedColumn(),
    )  # fmt: skip
    console = terminal(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("")
        started = 0

        def on_run(suite: str, throttle: str) -> OnProgress:
            nonlocal started
            started += 1
            progress.reset(bar, description=f"{started}/{runs} {suite}: {throttle}")
            return lambda done, total: progress.update(bar, completed=done, total=total)

        yield on_run
