"""How long an Ornstein-Uhlenbeck bandwidth may hold: ``python -m tests.model.link_steps`` prints docs/model.md's table.

Random small migrations, each on one path of its link, are played by the page-exact reference: once as the path is, with
ten values in a correlation time, and then with steps that are longer. A longer step holds the first of the path's
values in it, which is again an exact discretisation of the process, or their mean, which keeps what the link carries.
Bandwidths come as recordings, so that nothing but the step differs: stores are the same, too.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from dqgym.arrays import FloatArray
from dqgym.scenario import Limits, TraceLink
from dqgym.scenario.link import ORNSTEIN_UHLENBECK_CLIP
from dqgym.scenario.suites.draw.distributions import log_uniform, uniform
from dqgym.scenario.suites.draw.links import CORRELATION_PASS_TIMES, RELATIVE_SD
from tests.model.migrations import migrate
from tests.model.sampling import HOSTS, Case, draw_case, throttle_of
from tests.model.test_kernel_against_reference import REFERENCE

SAMPLE = 17
DRAWS = 600
FINE_STEPS = 10
"""In a correlation time."""


@dataclass(frozen=True)
class Path:
    """One path of a case's link, relative to its mean, before it is clipped: ``values`` each hold for ``step_s``."""

    case: Case
    correlation_s: float
    step_s: float
    values: FloatArray

    def coarser(self, count: int, of: Callable[..., FloatArray]) -> Path:
        """``count`` values at a time become one, which is ``of`` them, ``first`` or ``mean``."""
        padded = np.concatenate([self.values, np.full(-len(self.values) % count, self.values[-1])])
        return replace(self, step_s=count * self.step_s, values=of(padded.reshape(-1, count), axis=1))

    def as_case(self) -> Case:
        """The case on a recording of this path."""
        nominal, line = self.case.scenario.bandwidth_bytes_per_s, self.case.scenario.link.line_speed_bytes_per_s
        rates = np.clip(nominal * np.clip(self.values, *ORNSTEIN_UHLENBECK_CLIP), None, line or np.inf)
        link = TraceLink(
            times_s=tuple(self.step_s * np.arange(len(rates))),
            bandwidths_bytes_per_s=tuple(rates.tolist()),
            line_speed_bytes_per_s=line,
        )
        return replace(self.case, scenario=self.case.scenario.model_copy(update={"link": link}))


def first(values: FloatArray, axis: int) -> FloatArray:
    """The first along the axis."""
    return values.take(0, axis=axis)


@dataclass(frozen=True)
class Rule:
    """A step: a share of the correlation time, or of T0 where that is longer, in whole steps of the path."""

    correlation_times: float = 0.0
    pass_times: float = 0.0
    of: Callable[..., FloatArray] = first

    def of_path(self, path: Path) -> Path:
        """The path with this step."""
        pass_time_s = path.case.scenario.pass_time_s
        step_s = max(self.correlation_times * path.correlation_s, self.pass_times * pass_time_s)
        return path.coarser(max(round(step_s / path.step_s), 1), self.of)

    def __str__(self) -> str:
        parts = [
            f"{value:g} {unit}" for value, unit in ((self.correlation_times, "c"), (self.pass_times, "T0")) if value
        ]
        return f"{', at least '.join(parts)}, {'mean' if self.of is np.mean else 'first value'}"


RULES = (
    *(Rule(*step) for step in ((0.2,), (0.3,), (0.5,), (0.1, 0.02))),
    *(Rule(*step, of=np.mean) for step in ((0.3,), (0.5,), (0.7,), (1.0,), (1.5,), (0.5, 0.02), (0.5, 0.05))),
)


def draw_path(k: int) -> Path:
    """A migration whose link wanders, as the suites' do, until its deadline."""
    rng = np.random.default_rng((SAMPLE, k))
    case = draw_case(rng)
    pass_time_s = case.scenario.pass_time_s
    limits = Limits(downtime_s=case.scenario.limits.downtime_s, deadline=f"{4.0 * pass_time_s} s")
    case = replace(case, scenario=case.scenario.model_copy(update={"limits": limits}))
    sd, correlation_s = uniform(rng, RELATIVE_SD), pass_time_s * log_uniform(rng, CORRELATION_PASS_TIMES)
    step_s = correlation_s / FINE_STEPS
    normals, kept = rng.standard_normal(math.ceil(4.5 * pass_time_s / step_s)), math.exp(-1.0 / FINE_STEPS)
    levels = np.empty_like(normals)
    levels[0] = normals[0]
    for j in range(1, len(levels)):
        levels[j] = kept * levels[j - 1] + math.sqrt(1.0 - kept * kept) * normals[j]
    return Path(case, correlation_s, step_s, 1.0 + sd * levels)


def times_s(paths: Sequence[Path], seed: int = 0) -> FloatArray:
    """[paths] how long each migration takes in the reference."""
    cases, taken = [path.as_case() for path in paths], np.zeros(len(paths))
    for host in sorted({case.host for case in cases}):
        rows = [k for k, case in enumerate(cases) if case.host == host]
        chosen = [cases[k] for k in rows]
        run = migrate(
            *(case.scenario for case in chosen),
            throttle=throttle_of(chosen),
            parameters=HOSTS[host],
            seed=seed,
            make_backend=REFERENCE,
        )
        taken[rows] = run.outcomes.total_time_s
    return taken


@dataclass(frozen=True)
class Finding:
    """What a rule makes of the times: errors of single migrations, of the mean; link changes in a pass time."""

    median: float
    quantile_95: float
    mean: float
    changes_per_pass: float


def compare(rules: Sequence[Rule], draws: int) -> tuple[Finding, list[Finding]]:
    """Other stores on the same paths, which is what cannot be told apart, and each rule."""
    paths = [draw_path(k) for k in range(draws)]
    exact_s = times_s(paths)
    return _finding(times_s(paths, seed=draws), exact_s, paths), [
        _finding(times_s(coarse), exact_s, coarse)
        for coarse in ([rule.of_path(path) for path in paths] for rule in rules)
    ]


def _finding(taken_s: FloatArray, exact_s: FloatArray, paths: Sequence[Path]) -> Finding:
    apart = np.abs(taken_s / exact_s - 1.0)
    changes = np.mean([path.case.scenario.pass_time_s / path.step_s for path in paths])
    mean = float(np.mean(np.log(taken_s / exact_s)))
    return Finding(float(np.median(apart)), float(np.quantile(apart, 0.95)), mean, float(changes))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    found = compare(RULES, draws := parser.parse_args().draws)
    table = Table(title=f"{draws} migrations", box=None)
    for heading in ("step", "median", "95th percentile", "mean", "changes in T0"):
        table.add_column(heading)
    for name, one in [("0.1 c, other stores", found[0]), *zip(map(str, RULES), found[1], strict=True)]:
        cells = (f"{one.median:.2%}", f"{one.quantile_95:.2%}", f"{one.mean:+.2%}", f"{one.changes_per_pass:.0f}")
        table.add_row(name, *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
