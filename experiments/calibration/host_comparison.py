"""Real migrations against the model that this host was measured for: the same scenarios, throttles and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from dqgym.backends.kvm.feasibility import as_played
from dqgym.backends.kvm.host.measure import HostCosts
from dqgym.backends.model import ModelBackend
from dqgym.controller.run import run_all
from dqgym.errors import BadInputError
from dqgym.model.parameters import ModelParameters
from dqgym.results.rows import Row
from dqgym.scenario import Scenario
from dqgym.scenario.suites import Suite, get_suite
from dqgym.units import MIB
from experiments.evaluation.scenario_sources import IN_SMALL, in_small
from experiments.evaluation.throttle_sources import ThrottleSource
from experiments.reporting.tables import Table
from experiments.results.rows import grouped, json_safe, rows_from_outcomes


@dataclass(frozen=True)
class HostPair:
    """One scenario under one throttle at one preference, on the host and on the model: medians over repetitions.

    Attributes:
        time_s: total time; infinite where most repetitions missed their deadline.
        downtime_s: of the host; NaN where it did not converge.
        runtime: guest runtime.
        runtime_per_vcpu: of the host.
        spread: of the host's times: (largest - smallest) / median.
        cost: mean J.
    """

    suite: str
    scenario: str
    throttle: str
    preference: float
    repetitions: int
    time_s: float
    model_time_s: float
    downtime_s: float
    runtime: float
    runtime_per_vcpu: tuple[float, ...]
    model_runtime: float
    spread: float
    cost: float
    model_cost: float

    @property
    def same_verdict(self) -> bool:
        """True where it converges in both or in neither."""
        return math.isfinite(self.time_s) == math.isfinite(self.model_time_s)

    @property
    def time_error(self) -> float:
        """model / host - 1; NaN unless both converge."""
        both = math.isfinite(self.time_s) and math.isfinite(self.model_time_s)
        return self.model_time_s / self.time_s - 1.0 if both else math.nan

    @property
    def runtime_error(self) -> float:
        """model - host."""
        return self.model_runtime - self.runtime


@dataclass(frozen=True)
class Ranking:
    """The throttles of a suite at one preference, cheapest mean J first."""

    suite: str
    preference: float
    host: tuple[str, ...]
    model: tuple[str, ...]
    kendall_tau: float


@dataclass(frozen=True)
class HostCalibration:
    """The measurements of a host, and how the model with them compares.

    Attributes:
        parameters: the model's.
        costs: what they come from; None where they were read from a file.
        pairs: empty where there were no results to compare with.
        left_out: throttles in the results for which no source was named.
    """

    parameters: ModelParameters
    costs: HostCosts | None
    pairs: tuple[HostPair, ...]
    left_out: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        measured: dict[str, Any] = {}
        if self.costs is not None:
            measured = {
                "rates": asdict(self.costs.rates),
                "free_rate_bytes_per_s": self.costs.free_rate_bytes_per_s,
                "limits": [{**asdict(one), "error": one.error} for one in self.costs.limits],
            }
        document: dict[str, Any] = json_safe(
            {
                "parameters": self.parameters._asdict(),
                "measured": measured,
                "summary": asdict(summary) if (summary := self.summary()) else None,
                "rankings": [asdict(ranking) for ranking in self.rankings()],
                "pairs": [
                    {**asdict(pair), "time_error": pair.time_error, "runtime_error": pair.runtime_error}
                    for pair in self.pairs
                ],
                "left_out": self.left_out,
            }
        )
        return document

    def summary(self) -> HostSummary | None:
        """None where nothing was compared."""
        return HostSummary.of(self.pairs) if self.pairs else None

    def rankings(self) -> tuple[Ranking, ...]:
        """One for each suite and preference."""
        return tuple(
            _ranking(suite, preference, pairs)
            for (suite, preference), pairs in _grouped(self.pairs, lambda pair: (pair.suite, pair.preference)).items()
        )

    def tables(self) -> list[Table]:
        """In the order in which they are shown."""
        tables = [_limits_table(self.costs)] if self.costs is not None else []
        if self.pairs:
            tables += [_pairs_table(self), _rankings_table(self.rankings())]
        return tables


@dataclass(frozen=True)
class HostSummary:
    """Errors over all pairs; times where both converge."""

    pairs: int
    median_time_error: float
    largest_time_error: float
    median_runtime_error: float
    largest_runtime_error: float
    wrong_verdicts: tuple[str, ...]

    @classmethod
    def of(cls, pairs: Sequence[HostPair]) -> HostSummary:
        """Of at least one pair. A baseline counts once, not at each preference."""
        once = [same[0] for same in _same_migrations(pairs)]
        times = np.abs([pair.time_error for pair in once if not math.isnan(pair.time_error)])
        runtimes = np.abs([pair.runtime_error for pair in once])
        return cls(
            pairs=len(once),
            median_time_error=float(np.median(times)) if len(times) else math.nan,
            largest_time_error=float(times.max()) if len(times) else math.nan,
            median_runtime_error=float(np.median(runtimes)),
            largest_runtime_error=float(runtimes.max()),
            wrong_verdicts=tuple(f"{pair.scenario} under {pair.throttle}" for pair in once if not pair.same_verdict),
        )


def host_comparison(
    rows: Sequence[Row],
    sources: Sequence[ThrottleSource],
    parameters: ModelParameters,
    own_suites: Mapping[str, Suite] | None = None,
) -> tuple[tuple[HostPair, ...], tuple[str, ...]]:
    """The rows beside the same migrations on the model, and the throttles that none of the sources stands for.

    Args:
        rows: of real migrations.
        sources: of the throttles.
        parameters: of the model.
        own_suites: by name, those that do not come with dqgym.

    Raises:
        BadInputError: a suite of the results is a sampler, or no longer has a scenario.
    """
    by_name = {source.name: source for source in sources}
    pairs: list[HostPair] = []
    for (suite, throttle, preference), own in grouped(rows, lambda r: (r.suite, r.throttle, r.preference)).items():
        if throttle not in by_name:
            continue
        scenarios = _scenarios((own_suites or {}).get(suite) or get_suite(suite), own)
        source = by_name[throttle]
        slots = source.vcpu_slots or max(scenario.vcpus for scenario in scenarios)
        with closing(ModelBackend(parameters, slots)) as backend:
            seeds = [row.seed for row in own]
            run = run_all(backend, scenarios, source.ready(preference, scenarios, seeds), seeds)
        names = [scenario.name for scenario in scenarios]
        model = rows_from_outcomes(run.outcomes, suite, names, throttle, seeds, [preference])
        replayed = grouped(model, lambda row: row.scenario)
        pairs += [_pair(real, replayed[name]) for name, real in grouped(own, lambda row: row.scenario).items()]
    left_out = tuple(dict.fromkeys(row.throttle for row in rows if row.throttle not in by_name))
    return tuple(pairs), left_out


def _scenarios(known: Suite, rows: Iterable[Row]) -> list[Scenario]:
    suite = known.name
    if known.kind != "fixed":
        raise BadInputError(f"suite {suite!r} is a sampler; real migrations are compared on fixed suites")
    scenarios = {scenario.name: scenario for scenario in known.scenarios()}
    scaled = {row.scenario for row in rows if row.scenario.endswith(IN_SMALL)}  # by `dqgym evaluate --scale`
    scenarios |= {
        name: in_small(scenarios[small]) for name in scaled if (small := name.removesuffix(IN_SMALL)) in scenarios
    }
    for row in rows:
        if row.scenario not in scenarios:
            raise BadInputError(f"suite {suite!r} has no scenario {row.scenario!r}; the results are of another version")
        if len(row.guest_runtime_per_vcpu) != scenarios[row.scenario].vcpus:
            raise BadInputError(
                f"results of suite {suite!r}: scenario {row.scenario!r} with {len(row.guest_runtime_per_vcpu)} vCPUs,"
                f" it has {scenarios[row.scenario].vcpus}"
            )
    return [as_played(scenarios[row.scenario]) for row in rows]


def _pair(real: Sequence[Row], model: Sequence[Row]) -> HostPair:
    first, times = real[0], [row.total_time_s for row in real]
    return HostPair(
        suite=first.suite,
        scenario=first.scenario,
        throttle=first.throttle,
        preference=first.preference,
        repetitions=len(real),
        time_s=_median_time_s(real),
        model_time_s=_median_time_s(model),
        downtime_s=_median_or_nan([row.downtime_s for row in real if row.converged]),
        runtime=float(np.median([row.guest_runtime for row in real])),
        runtime_per_vcpu=tuple(np.median([row.guest_runtime_per_vcpu for row in real], axis=0).tolist()),
        model_runtime=float(np.median([row.guest_runtime for row in model])),
        spread=(max(times) - min(times)) / float(np.median(times)),
        cost=float(np.mean([row.cost for row in real])),
        model_cost=float(np.mean([row.cost for row in model])),
    )


def _median_or_nan(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


def _median_time_s(rows: Sequence[Row]) -> float:
    return float(np.median([row.total_time_s if row.converged else math.inf for row in rows]))


def _ranking(suite: str, preference: float, pairs: Sequence[HostPair]) -> Ranking:
    costs = {
        throttle: (np.mean([pair.cost for pair in own]), np.mean([pair.model_cost for pair in own]))
        for throttle, own in _grouped(pairs, lambda pair: pair.throttle).items()
    }
    host, model = (tuple(sorted(costs, key=lambda name, k=k: costs[name][k])) for k in (0, 1))  # type: ignore[misc]
    tau = kendalltau(*zip(*costs.values(), strict=True)).statistic if len(costs) > 1 else 1.0
    return Ranking(suite, preference, host, model, float(tau))


def _same_migrations(pairs: Iterable[HostPair]) -> list[list[HostPair]]:
    """The pairs of each set of migrations: a baseline's ran once, and are there for each preference."""
    return list(
        _grouped(pairs, lambda pair: (pair.suite, pair.scenario, pair.throttle, pair.time_s, pair.runtime)).values()
    )


def _grouped(pairs: Iterable[HostPair], key: Any) -> dict[Any, list[HostPair]]:
    groups: dict[Any, list[HostPair]] = {}
    for pair in pairs:
        groups.setdefault(key(pair), []).append(pair)
    return groups


def _limits_table(costs: HostCosts) -> Table:
    return Table.of(
        title="Dirty-rate limits on this host: one hot vCPU, beside it a light one without a limit",
        header=("limit", "dirtied", "error", "light vCPU's progress"),
        rows=[
            (
                f"{one.limit_bytes_per_s / MIB:g} MiB/s",
                f"{one.rate_bytes_per_s / MIB:.2f} MiB/s",
                f"{one.error:+.1%}",
                f"{one.light_progress:.3f}",
            )
            for one in costs.limits
        ],
        notes=[f"Without a limit: {costs.free_rate_bytes_per_s / MIB:.0f} MiB/s, of 200 wanted."],
    )


def _pairs_table(calibration: HostCalibration) -> Table:
    summary = calibration.summary()
    assert summary is not None
    notes = [
        f"Time: off by {summary.median_time_error:.1%} in the median, {summary.largest_time_error:.1%} at most."
        f" Guest runtime: by {summary.median_runtime_error:.3f} and {summary.largest_runtime_error:.3f}."
        f" Other verdicts: {', '.join(summary.wrong_verdicts) or 'none'}.",
        "Medians over repetitions. Spread: largest less smallest time of the host, over the median.",
    ]
    if calibration.left_out:
        notes.append(f"Left out, for want of a --policy: {', '.join(calibration.left_out)}.")
    return Table.of(
        title="Real migrations and the model",
        header=(
            "scenario", "throttle", "c", "host", "spread", "model", "error", "downtime", "runtime:\nhost",
            "runtime:\nmodel", "difference", "host, per vCPU",
        ),
        rows=[
            (
                pair.scenario,
                pair.throttle,
                ", ".join(f"{one.preference:g}" for one in same),
                _time(pair.time_s),
                f"{pair.spread:.0%}",
                _time(pair.model_time_s),
                "" if math.isnan(pair.time_error) else f"{pair.time_error:+.1%}",
                f"{pair.downtime_s * 1000:.0f} ms" if math.isfinite(pair.downtime_s) else "-",
                f"{pair.runtime:.3f}",
                f"{pair.model_runtime:.3f}",
                f"{pair.runtime_error:+.3f}",
                " ".join(f"{share:.0%}" for share in pair.runtime_per_vcpu),
            )
            for same in _same_migrations(calibration.pairs)
            for pair in same[:1]
        ],
        notes=notes,
        text_columns=2,
        expendable=("host, per vCPU", "spread", "c", "downtime"),
    )  # fmt: skip


def _rankings_table(rankings: Sequence[Ranking]) -> Table:
    return Table.of(
        title="Throttles by mean cost J, cheapest first",
        header=("suite", "c", "where", "ranking", "Kendall's tau"),
        rows=[
            row
            for ranking in rankings
            for row in (
                (ranking.suite, f"{ranking.preference:g}", "host", " < ".join(ranking.host), ""),
                ("", "", "model", " < ".join(ranking.model), f"{ranking.kendall_tau:.2f}"),
            )
        ],
        text_columns=4,
    )


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if math.isfinite(seconds) else "unconverged"
