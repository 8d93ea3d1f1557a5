"""Reads what ``dqgym evaluate`` left in a folder: what each throttle costs, and how it does against the opponent.

Run it with ``python examples/read_results.py results/mine``; without a folder it reads the stored evaluation of
the shipped policy on real guests.
"""

import sys
from pathlib import Path

from experiments.results.summary import read_summary

STORED = Path(__file__).parents[1] / "docs" / "evaluations" / "kvm-lab"

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else STORED
summary = read_summary(folder)
print(f"{summary.origin.command}\non {summary.origin.backend}, {summary.origin.date}\n")

print(f"{'suite':16} {'c':>5}  {'throttle':14} {'J':>6} {'95 % interval':>16} {'T / T0':>7} {'guest runtime':>14}")
for mean in summary.means:
    interval = f"[{mean.cost_low:.3f} {mean.cost_high:.3f}]"
    print(
        f"{mean.suite:16} {mean.preference:5g}  {mean.throttle:14} {mean.cost:6.3f} {interval:>16}"
        f" {mean.time_over_t0:7.2f} {mean.guest_runtime:14.1%}"
    )

print(f"\nJ over that of {summary.opponent} on the same migration, mean over all preferences:")
for standing in summary.standings:
    if standing.preference is None:
        ratio = standing.mean_ratio
        print(f"{standing.suite:16} {standing.throttle:14} {ratio.value:.3f} [{ratio.low:.3f} {ratio.high:.3f}]")
