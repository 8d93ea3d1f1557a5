"""``dqgym tune``: the best options of a throttle on a distribution of migrations, one set for each preference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dqgym.cost import FAST, GENTLE
from experiments.errors import BadInputError, RunInterruptedError

if TYPE_CHECKING:
    import optuna

    from dqgym.scenario import Scenario
    from dqgym.telemetry.telemetry import FloatArray
    from dqgym.throttles.tuned import TunedEntry

TRAINING_SUITES = {
    "mixed": 2.0,
    "phases": 1.5,
    "bandwidth-steps": 1.5,
    "working-sets": 1.0,
    "noisy-neighbour": 0.25,
    "stationary": 0.75,
}
"""What policies are trained on, with weights (configs/default.yaml)."""
DEFAULT_PREFERENCES = [0.05, FAST, GENTLE, 2.0]
TUNING_SEED = 7_000_003
"""Far from the seeds of evaluations and trainings."""

Suggest = Callable[["optuna.Trial"], dict[str, float]]


def _rule(trial: optuna.Trial) -> dict[str, float]:
    return {
        "free_rounds": trial.suggest_float("free_rounds", 0.0, 4.0),
        "quota_fraction": trial.suggest_float("quota_fraction", 0.01, 2.0, log=True),
        "working_set_threshold": trial.suggest_float("working_set_threshold", 0.0, 0.3),
        "floor": trial.suggest_float("floor", 0.0, 0.1),
        "interval_pass_times": trial.suggest_float("interval_pass_times", 0.01, 0.04),
    }


SPACES: dict[str, Suggest] = {
    "tuned-rule": _rule,
    "dirty-quota": lambda trial: {"ratio": trial.suggest_float("ratio", 0.5, 50.0, log=True)},
    "dirty-limit": lambda trial: {"limit_mib_per_s": trial.suggest_int("limit_mib_per_s", 1, 2048, log=True)},
    "auto-converge": lambda trial: {
        "initial_percent": trial.suggest_int("initial_percent", 1, 99),
        "increment_percent": trial.suggest_int("increment_percent", 1, 99),
        "hits_per_step": trial.suggest_int("hits_per_step", 1, 2),
    },
}
"""What is searched, by throttle."""
STARTS: dict[str, list[dict[str, float]]] = {
    "tuned-rule": [
        {"free_rounds": 0.09, "quota_fraction": 0.065, "working_set_threshold": 0.08, "floor": 0.002,
         "interval_pass_times": 0.04},
        {"free_rounds": 0.3, "quota_fraction": 0.1, "working_set_threshold": 0.05, "floor": 0.005,
         "interval_pass_times": 0.04},
        {"free_rounds": 0.8, "quota_fraction": 0.15, "working_set_threshold": 0.06, "floor": 0.008,
         "interval_pass_times": 0.04},
    ],
}  # fmt: skip
"""Tried first."""


@dataclass(frozen=True)
class Distribution:
    """The migrations that options are tuned on: scenarios, and a seed for each."""

    name: str
    suites: Mapping[str, float]
    scenarios: tuple[Scenario, ...]
    seed: int

    def cost(self, throttle: str, options: Mapping[str, Any], preference: float) -> FloatArray:
        """[N] J of every migration, on the model."""
        from dqgym.backends.model import ModelBackend
        from dqgym.controller.loop import run_migrations
        from dqgym.cost import migration_cost
        from dqgym.throttles.registry import make_throttle

        seeds = range(self.seed, self.seed + len(self.scenarios))
        outcomes = run_migrations(ModelBackend(), self.scenarios, make_throttle(throttle, **options), seeds)
        return migration_cost(
            outcomes.total_time_s, outcomes.stall_s, outcomes.pass_time_s, outcomes.converged, preference
        )


def tune_command(
    throttle: Annotated[str, typer.Argument(help=f"What is tuned: {', '.join(SPACES)}.")],
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=WEIGHT]", help="Tune on this suite; repeat for more. Else on all of the training."),
    ] = None,
    preference: Annotated[
        list[float], typer.Option(help="What guest runtime is worth against time; repeat for more.", min=1e-3)
    ] = DEFAULT_PREFERENCES,
    count: Annotated[int, typer.Option(help="Scenarios of each suite, times its weight.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Decides the scenarios and the search.", min=0)] = TUNING_SEED,
    trials: Annotated[int, typer.Option(help="Sets of options tried for each preference.", min=1)] = 300,
    name: Annotated[str | None, typer.Option(help="Name of the distribution; else the suite's, or 'training'.")] = None,
    out: Annotated[Path, typer.Option(help="File that takes the results.", dir_okay=False)] = Path("tuned.yaml"),
) -> None:
    """Find the options of a throttle that cost least, for each preference.

    Trials are kept in a file beside --out: the same command goes on where it was interrupted.
    """
    from dqgym.names import did_you_mean

    if throttle not in SPACES:
        raise BadInputError(f"cannot tune {throttle!r}{did_you_mean(throttle, SPACES)}; can: {', '.join(SPACES)}")
    distribution = draw_distribution(parse_suites(suite), name, count, seed)
    entries = []
    for value in sorted(set(preference)):
        with _keeping_trials(out):
            entries.append(tune(throttle, distribution, value, trials, out.with_name(f".{out.name}.trials")))
        store(out, throttle, distribution.name, entries[-1])
    _show(throttle, distribution, entries)


def parse_suites(texts: Sequence[str] | None) -> dict[str, float]:
    """Weights by suite of texts like ``phases`` and ``mixed=2``; the training's where there are none."""
    if not texts:
        return dict(TRAINING_SUITES)
    weights = {}
    for text in texts:
        suite, equals, weight = text.partition("=")
        try:
            weights[suite] = float(weight) if equals else 1.0
        except ValueError:
            raise BadInputError(f"--suite {text!r}: must be NAME or NAME=WEIGHT, with a number") from None
        if not weights[suite] > 0:
            raise BadInputError(f"--suite {text!r}: the weight must be positive")
    return weights


def draw_distribution(weights: Mapping[str, float], name: str | None, count: int, seed: int) -> Distribution:
    """``count`` scenarios of each suite, times its weight. ValueError for an unknown suite."""
    from dqgym.scenario.suites import FixedSuite, get_suite
    from dqgym.throttles.tuned import TRAINING

    scenarios: list[Scenario] = []
    for suite, weight in weights.items():
        source = get_suite(suite)
        wanted = None if isinstance(source, FixedSuite) else max(1, round(count * weight))
        scenarios += source.scenarios(wanted, seed)
    usual = TRAINING if weights == TRAINING_SUITES else "+".join(weights)
    return Distribution(name or usual, weights, tuple(scenarios), seed)


def tune(throttle: str, distribution: Distribution, preference: float, trials: int, journal: Path) -> TunedEntry:
    """The best of ``trials`` sets of options; those that the journal holds already are not tried again."""
    import optuna

    from dqgym.throttles.tuned import TunedEntry

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept = f"{throttle} {distribution.name} {len(distribution.scenarios)} {distribution.seed} c={preference:g}"
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal))),
        study_name=kept,
        load_if_exists=True,
    )
    _drop_unfinished(study)
    if not study.trials:
        for start in STARTS.get(throttle, []):
            study.enqueue_trial(start)
    done = sum(trial.state.is_finished() for trial in study.trials)

    def objective(trial: optuna.Trial) -> float:
        return float(distribution.cost(throttle, SPACES[throttle](trial), preference).mean())

    with _progress(f"{throttle}, c = {preference:g}", trials, done) as advance:
        for number in range(done, trials):
            # A sampler of its own for each trial: an interrupted search goes on as if it had not been.
            study.sampler = optuna.samplers.TPESampler(seed=distribution.seed + number)
            study.optimize(objective, n_trials=1)
            advance()
    return TunedEntry(
        preference=preference,
        options=study.best_params,
        cost=study.best_value,
        suites=dict(distribution.suites),
        scenarios=len(distribution.scenarios),
        seed=distribution.seed,
        trials=trials,
    )


def _drop_unfinished(study: optuna.Study) -> None:
    """A trial that was interrupted counts as failed."""
    import optuna

    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def store(path: Path, throttle: str, distribution: str, entry: TunedEntry) -> None:
    """Put an entry into a file, in place of one for the same throttle, distribution and preference."""
    from dqgym.throttles.tuned import dump_tuned, read_tuned
    from experiments.files import write_text

    content = read_tuned(path)
    entries = content.setdefault(throttle, {}).setdefault(distribution, [])
    others = [one for one in entries if one.preference != entry.preference]
    content[throttle][distribution] = sorted([*others, entry], key=lambda one: one.preference)
    write_text(path, dump_tuned(content))


@contextmanager
def _keeping_trials(out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise RunInterruptedError(f"finished trials are kept beside {out}; the same command goes on") from error


@contextmanager
def _progress(title: str, total: int, done: int) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error; yields what is called after each trial."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from experiments.tables import terminal

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = terminal(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=total, completed=done)
        yield lambda: progress.advance(bar)


def _show(throttle: str, distribution: Distribution, entries: Sequence[TunedEntry]) -> None:
    from experiments.tables import Table, terminal

    Table.of(
        title=f"{throttle} on {distribution.name}: {len(distribution.scenarios)} migrations",
        header=("c", "cost J", *entries[0].options),
        rows=[
            (f"{entry.preference:g}", f"{entry.cost:.4f}", *(f"{value:.4g}" for value in entry.options.values()))
            for entry in entries
        ],
    ).print(terminal())
