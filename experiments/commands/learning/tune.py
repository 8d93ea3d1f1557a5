"""``dqgym tune``: the best options of a throttle on a distribution of migrations, one set for each preference."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dqgym.cost import FAST, GENTLE
from dqgym.errors import BadInputError, RunInterruptedError
from dqgym.stopping import uninterrupted
from experiments.errors import is_interruption
from experiments.extras import require_extra

if TYPE_CHECKING:
    from dqgym.arrays import FloatArray
    from dqgym.throttles.rules.tuned import TunedEntry
    from experiments.reporting.tables import Table
    from experiments.tuning.distribution import Distribution
    from experiments.tuning.search import Trials

    Costs = Mapping[float, Mapping[str, FloatArray]]
    """[N] J of every migration, by preference and by what was run."""

CONTEXTUAL = "contextual-rule"
TUNABLE = ("tuned-rule", CONTEXTUAL, "dirty-limit", "dirty-quota", "auto-converge")
DEFAULT_PREFERENCES = [0.05, FAST, GENTLE, 2.0]
TUNING_SEED = 7_000_003
EVALUATION_SEEDS = (0, 1_000_003)
"""What ``dqgym evaluate`` and the evaluations of a training draw from, unless told otherwise."""


def tune_command(
    throttle: Annotated[str, typer.Argument(help=f"What is tuned: {', '.join(TUNABLE)}.")],
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=WEIGHT]", help="Tune on this suite; repeat for more. Else on those of training."),
    ] = None,
    preference: Annotated[
        list[float], typer.Option(help="What guest runtime is worth against time; repeat for more.", min=1e-3)
    ] = DEFAULT_PREFERENCES,
    count: Annotated[int, typer.Option(help="Scenarios of each suite, times its weight.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Decides the scenarios and the search.", min=0)] = TUNING_SEED,
    trials: Annotated[
        int,
        typer.Option(help=f"Sets of options tried for each preference; of {CONTEXTUAL}: steps of the search.", min=1),
    ] = 300,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the distribution; else 'training', or the suites'.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"File that takes the results, beside what it holds; else tuned.yaml. Of {CONTEXTUAL}: file that is"
            " written anew; else contextual_rule.yaml.",
            dir_okay=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted search: the same options, and its --out.")
    ] = False,
) -> None:
    """Find the options of a throttle that cost least on the model, for each preference."""
    from dqgym.names import did_you_mean
    from experiments.reporting.tables import terminal
    from experiments.tuning.distribution import draw_distribution, parse_suites

    if throttle not in TUNABLE:
        raise BadInputError(f"cannot tune {throttle!r}{did_you_mean(throttle, TUNABLE)}; can: {', '.join(TUNABLE)}")
    if throttle != CONTEXTUAL:
        require_extra("tune", "dqgym tune")
    if seed in EVALUATION_SEEDS:
        raise BadInputError(f"--seed {seed}: evaluations draw their migrations with it; tune with another one")
    distribution = draw_distribution(parse_suites(suite), name, count, seed)
    preferences = sorted(set(preference))
    if throttle == CONTEXTUAL:
        path = out or Path("contextual_rule.yaml")
        tables = [_tune_contextual(distribution, preferences, trials, path, resume)]
    else:
        path = out or Path("tuned.yaml")
        tables = _tune_options(throttle, distribution, preferences, trials, path, resume)
    for table in tables:
        table.print(terminal())
    terminal().print(f"results: {path}", soft_wrap=True, markup=False)


def _tune_options(
    throttle: str, distribution: Distribution, preferences: Sequence[float], trials: int, out: Path, resume: bool
) -> list[Table]:
    from dqgym.throttles.registry import default_options, make_throttle
    from dqgym.throttles.rules.tuned import read_tuned
    from experiments.tuning.search import Trials

    read_tuned(out)  # what is wrong with it shows before the search
    _require_writable(out)
    kept = Trials(out.with_name(f".{out.name}.trials"), _setting(throttle, distribution, preferences), resume)
    with _saying_how_to_go_on(lambda: bool(kept.all), out), _progress(throttle, trials) as on_trial:
        entries = tune(throttle, distribution, preferences, trials, kept, on_trial)
        costs = {
            entry.preference: {
                label: distribution.costs(make_throttle(throttle, **options), entry.preference)
                for label, options in (("tuned", entry.options), ("default", default_options(throttle)))
            }
            for entry in entries
        }
    with uninterrupted():
        store(out, throttle, distribution.name, entries)
        kept.discard()
    return [_options_table(throttle, distribution, entries), _cost_table(throttle, distribution, costs)]


def _setting(throttle: str, distribution: Distribution, preferences: Sequence[float]) -> dict[str, Any]:
    """What decides the cost of options."""
    return {
        "throttle": throttle, "preferences": list(preferences), "suites": dict(distribution.suites),
        "scenarios": len(distribution.scenarios), "seed": distribution.seed,
    }  # fmt: skip


def tune(
    throttle: str,
    distribution: Distribution,
    preferences: Sequence[float],
    trials: int,
    kept: Trials,
    on_trial: Callable[[int], None],
) -> list[TunedEntry]:
    """The best of ``trials`` sets of options for each preference; those that are kept already are not tried again."""
    from dqgym.throttles.registry import make_throttle
    from dqgym.throttles.rules.tuned import TunedEntry
    from experiments.tuning.search import Options, search
    from experiments.tuning.spaces import SPACES, STARTS

    def mean_costs(options: Options) -> list[float]:
        outcomes = distribution.migrate(make_throttle(throttle, **options))
        return [float(outcomes.cost(preference).mean()) for preference in preferences]

    found = search(
        kept,
        mean_costs,
        len(preferences),
        SPACES[throttle],
        STARTS.get(throttle, []),
        trials,
        distribution.seed,
        on_trial,
    )
    return [
        TunedEntry(
            preference=preference,
            options=best.options,
            cost=best.costs[index],
            suites=dict(distribution.suites),
            scenarios=len(distribution.scenarios),
            seed=distribution.seed,
            trials=trials,
        )
        for index, (preference, best) in enumerate(zip(preferences, found, strict=True))
    ]


def store(path: Path, throttle: str, distribution: str, entries: Sequence[TunedEntry]) -> None:
    """Put entries into a file, in place of those for the same throttle, distribution and preferences."""
    from dqgym.files import write_text
    from dqgym.throttles.rules.tuned import dump_tuned, read_tuned

    content = read_tuned(path)
    of_throttle = content.setdefault(throttle, {})
    merged = {entry.preference: entry for entry in [*of_throttle.get(distribution, []), *entries]}
    of_throttle[distribution] = [merged[preference] for preference in sorted(merged)]
    write_text(path, dump_tuned(content))


def _tune_contextual(
    distribution: Distribution, preferences: Sequence[float], steps: int, out: Path, resume: bool
) -> Table:
    from dqgym.files import write_text
    from dqgym.throttles.registry import make_throttle
    from dqgym.throttles.rules.contextual_rule import ContextualRule
    from dqgym.throttles.rules.contextual_weights import (
        ContextualFile,
        contextual_network,
        dump_contextual,
        read_contextual,
    )
    from dqgym.throttles.rules.rule_features import FEATURES
    from dqgym.throttles.rules.tuned import TRAINING, tuned_entries
    from experiments.tuning.evolution import SURVEY, Evolution, evolve

    _require_writable(out)
    if out.exists():
        read_contextual(out)  # what is replaced must be such a file
    tuned = tuned_entries("tuned-rule", TRAINING)
    kept = out.with_name(f".{out.name}.state.npz")
    with _saying_how_to_go_on(kept.exists, out):
        with _progress(CONTEXTUAL, steps) as on_step:
            weights = evolve(Evolution(distribution.suites, distribution.seed, tuned), steps, kept, resume, on_step)
        network = contextual_network(tuned, weights)
        costs = {
            value: {
                "contextual": distribution.costs(ContextualRule(network, value), value),
                "and a survey": distribution.costs(ContextualRule(network, value, SURVEY), value),
                "tuned rule": distribution.costs(make_throttle("tuned-rule", value), value),
            }
            for value in preferences
        }
    content = ContextualFile(
        suites=dict(distribution.suites),
        seed=distribution.seed,
        steps=steps,
        costs={value: float(of["contextual"].mean()) for value, of in costs.items()},
        tuned_costs={value: float(of["tuned rule"].mean()) for value, of in costs.items()},
        features=list(FEATURES),
        tuned=tuned,
        weights=[float(f"{weight:.5g}") for weight in weights],
    )
    with uninterrupted():
        write_text(out, dump_contextual(content))
        kept.unlink()
    return _cost_table(CONTEXTUAL, distribution, costs)


def _require_writable(path: Path) -> None:
    """Make the folder. BadInputError where that cannot be."""
    from dqgym.files import writing

    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def _options_table(throttle: str, distribution: Distribution, entries: Sequence[TunedEntry]) -> Table:
    from experiments.reporting.tables import Table

    return Table.of(
        title=f"{throttle}, tuned on {distribution.name}",
        header=("c", *entries[0].options),
        rows=[(f"{entry.preference:g}", *(str(value) for value in entry.options.values())) for entry in entries],
    )


def _cost_table(throttle: str, distribution: Distribution, costs: Costs) -> Table:
    """Mean J over all migrations and over those of each suite."""
    from experiments.reporting.tables import Table

    rows = []
    for value, of in costs.items():
        for label, cost in of.items():
            suites = distribution.by_suite(cost).values()
            rows.append((f"{value:g}", label, *(f"{mean:.4f}" for mean in (cost.mean(), *suites))))
    return Table.of(
        title=f"{throttle} on {distribution.name}: mean J of {len(distribution.scenarios)} migrations",
        header=("c", "", "J", *distribution.suites),
        rows=rows,
        text_columns=2,
    )


@contextmanager
def _saying_how_to_go_on(any_kept: Callable[[], bool], out: Path) -> Iterator[None]:
    """Where something is done already, the message of an interruption says how to go on."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not is_interruption(error) or not any_kept():
            raise
        raise RunInterruptedError(
            f"what is done is kept; go on with the same command and --out {shlex.quote(str(out))} --resume"
        ) from error


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; yields what is called with the number of trials that are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from experiments.reporting.tables import terminal

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = terminal(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda done: progress.update(bar, completed=done)
