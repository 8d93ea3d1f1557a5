"""``dqgym evaluate``: learned policies and all baselines on the same migrations; rows, report and pictures."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dqgym.cost import FAST, GENTLE
from experiments.commands.options import MaxVcpus, Scale
from experiments.evaluation.backend_sources import BACKEND_HELP, backend_maker
from experiments.folders import FORCE_HELP, FolderKind, filling_folder, require_free
from experiments.reporting.progress import showing_progress

if TYPE_CHECKING:
    from experiments.evaluation.evaluation import Evaluation, MakeBackend, Task
    from experiments.evaluation.journal import Journal
    from experiments.evaluation.throttle_sources import Contender
    from experiments.reporting.letter_rows import Comparison
    from experiments.reporting.report import Picture
    from experiments.reporting.tables import Table
    from experiments.results.summary import EvaluationSummary, Origin

DEFAULT_SUITES = ["cover-letter"]
DEFAULT_PREFERENCES = [FAST, GENTLE]
MOST_ROWS_AS_JSON = 20_000
"""More rows are written as CSV alone."""
RESULTS = FolderKind("folder of `dqgym evaluate`", ("summary.json", "results.json"))


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
        typer.Option(help="Scenarios of each suite; else all of a fixed one, 256 of a sampler.", min=1),
    ] = None,
    max_vcpus: MaxVcpus = None,
    seed: Annotated[int, typer.Option(help="Decides the sampled scenarios and all that is random.", min=0)] = 0,
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "model",
    scale: Scale = False,
    repeat: Annotated[int, typer.Option(help="Migrate each scenario so often, with other seeds.", min=1)] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results, a new or an empty one; else results/<time>.", file_okay=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help=FORCE_HELP)] = False,
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
    from dqgym.errors import BadInputError
    from dqgym.telemetry.interval import parse_survey
    from experiments.evaluation.evaluation import draw_task, evaluate
    from experiments.evaluation.journal import Journal
    from experiments.evaluation.throttle_sources import line_up
    from experiments.reporting.tables import terminal
    from experiments.results.summary import Origin

    if resume and out is None:
        raise BadInputError("--resume needs the --out of the evaluation that was interrupted")
    if out is not None and not resume:  # what is resumed was allowed to write there when it began
        require_free(out, force, RESULTS)
    make_backend = backend_maker(backend)
    tasks = [draw_task(name, count, seed, repeat, max_vcpus, scale) for name in dict.fromkeys(suite)]
    contenders = line_up(throttles or [], baselines, None if survey is None else parse_survey(survey))
    if not contenders:
        raise BadInputError("nothing to evaluate: name a throttle, or leave out --no-baselines")
    for one in contenders:
        one.require_runs_on(backend)
    preferences = sorted(set(preference))
    against = choose_opponent(contenders, opponent)
    folder = out or Path("results") / f"{datetime.now():%Y%m%d-%H%M%S}"
    setting = {
        "backend": backend, "preferences": preferences, "survey": survey, "max_vcpus": max_vcpus,
        "migrations": _migrations(tasks),
    }  # fmt: skip
    journal = Journal(folder.parent / f".{folder.name}.journal", setting, resume)
    # First, so that a folder that cannot be written costs no evaluation.
    with filling_folder(folder, journal.discard) as draft:
        runs = len(tasks) * sum(len(preferences) if one.heeds_preference else 1 for one in contenders)
        with _saying_how_to_go_on(journal, runs, folder):
            with showing_progress(runs) as on_run:
                evaluation = evaluate(contenders, tasks, preferences, make_backend, on_run, journal)
            command = shlex.join(["dqgym", *(part for part in sys.argv[1:] if part != "--resume")])
            origin = Origin(command, backend, f"{datetime.now(UTC):%Y-%m-%d}")
            report = _write_results(draft, contenders, tasks, evaluation, make_backend, against, origin)

    console = terminal(stderr=as_json)
    if as_json:
        print(json.dumps(report.document, indent=2))
    else:
        for table in report.tables:
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
    from dqgym.errors import RunInterruptedError
    from experiments.errors import is_interruption
    from experiments.reporting.tables import terminal

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


@dataclass(frozen=True)
class _Report:
    """What was written: the tables of ``report.md``, the content of ``results.json``."""

    tables: list[Table]
    document: dict[str, Any]


def _write_results(
    folder: Path,
    contenders: Sequence[Contender],
    tasks: Sequence[Task],
    evaluation: Evaluation,
    make_backend: MakeBackend,
    opponent: str | None,
    origin: Origin,
) -> _Report:
    """All files of an evaluation, into a folder that is there."""
    from experiments.reporting.report import evaluation_tables, markdown_report
    from experiments.results.comparisons import Standings
    from experiments.results.rows import strata_of
    from experiments.results.rows_file import write_rows
    from experiments.results.statistics import Bootstrap
    from experiments.results.summary import SUMMARY_FILE, summarise_evaluation

    learned = list(dict.fromkeys(one.name for one in contenders if one.learned))
    standings = Standings(strata_of(evaluation.rows), Bootstrap())
    summary = summarise_evaluation(standings, opponent, learned, origin)
    paired = standings.policies_against_baselines(learned)
    comparison = _letter_comparison(evaluation, contenders)
    document = _document(evaluation, summary)
    tables = evaluation_tables(summary, paired, evaluation.takeovers, comparison)

    write_rows(folder, evaluation.rows)
    (folder / SUMMARY_FILE).write_text(summary.compact(), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    pictures = _draw_pictures(folder, contenders, tasks, evaluation, summary, comparison, make_backend)
    report = markdown_report(origin.command, tables, pictures)
    (folder / "report.md").write_text(report, encoding="utf-8")
    return _Report(tables, document)


def _letter_comparison(evaluation: Evaluation, contenders: Sequence[Contender]) -> Comparison | None:
    """The letter's configurations, where they were migrated; of a policy with several training seeds, the first."""
    from experiments.reporting import letter_rows

    in_the_letter = letter_rows.letter_rows()
    if not any(row.suite == letter_rows.SUITE and row.scenario in in_the_letter for row in evaluation.rows):
        return None
    first: dict[str, int | None] = {}
    for one in contenders:
        first.setdefault(one.name, one.training_seed)
    rows = [row for row in evaluation.rows if row.training_seed == first[row.throttle]]
    return letter_rows.compare(rows, list(dict.fromkeys(one.name for one in contenders if one.learned)))


def _document(evaluation: Evaluation, summary: EvaluationSummary) -> dict[str, Any]:
    """The content of ``results.json``: means, statistics, takeovers and, unless they are too many, the rows."""
    from experiments.results.rows import json_safe

    statistics = summary.document()
    document = {"summary": statistics.pop("means"), "statistics": statistics}
    if len(evaluation.rows) <= MOST_ROWS_AS_JSON:
        document["rows"] = [json_safe(vars(row)) for row in evaluation.rows]
    document["takeovers"] = [asdict(takeover) for takeover in evaluation.takeovers]
    return document


def choose_opponent(contenders: Sequence[Contender], wanted: str | None) -> str | None:
    """The throttle that statistics compare with; None where none but policies compete, and none is wanted.

    Raises:
        BadInputError: the wanted one does not compete.
    """
    from dqgym.errors import BadInputError
    from dqgym.names import did_you_mean
    from dqgym.throttles.roles import OPPONENTS

    names = [one.name for one in contenders]
    if wanted is not None:
        if wanted not in names:
            competing = ", ".join(dict.fromkeys(names))
            raise BadInputError(
                f"--opponent {wanted!r} does not compete{did_you_mean(wanted, names)}; those who do: {competing}"
            )
        return wanted
    baselines = [one.name for one in contenders if not one.learned]
    usual = [name for name in OPPONENTS if name in baselines]
    return next(iter([*usual, *baselines]), None)


def _draw_pictures(
    folder: Path,
    contenders: Sequence[Contender],
    tasks: Sequence[Task],
    evaluation: Evaluation,
    summary: EvaluationSummary,
    comparison: Comparison | None,
    make_backend: MakeBackend,
) -> list[Picture]:
    from experiments.evaluation.evaluation import trace_migration
    from experiments.reporting.plots import (
        cover_letter_figure,
        fronts_figure,
        save_figure,
        timeline_figure,
        tradeoff_figure,
    )
    from experiments.reporting.report import Picture
    from experiments.results.rows import typical_row

    shown = _featured(contenders)
    fronts = Picture("fronts.png", "Time against guest runtime over the preferences: means of every throttle")
    save_figure(fronts_figure(summary.fronts, summary.learned), folder / fronts.file)
    pictures = [fronts]
    for task in tasks:
        tradeoff = Picture(f"tradeoff-{task.suite}.png", f"{task.suite}: migration time against guest runtime")
        save_figure(tradeoff_figure(evaluation.rows, task.suite, summary.learned), folder / tradeoff.file)

        example = typical_row(evaluation.rows, task.suite, shown.name, shown.training_seed)
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
    from dqgym.throttles.roles import FALLBACK

    policies = [contender for contender in contenders if contender.learned]
    return next((one for one in [*policies, *contenders] if one.learned or one.name == FALLBACK), contenders[0])
