"""Reads what ``dqgym evaluate`` left in a folder: what each throttle costs, and how it does against the opponent.

Run it with ``python examples/read_results.py results/mine``; without a folder it reads the stored evaluation of
the shipped policy on real guests. ``docs/python.md`` has the columns.
"""

import sys
from pathlib import Path

import dqgym

STORED = Path(__file__).parents[1] / "docs" / "evaluations" / "kvm-lab"

results = dqgym.load(sys.argv[1] if len(sys.argv) > 1 else STORED)
print("{command}\non {backend}, {date}\n".format(**results.about))

print(f"{'suite':16} {'c':>5}  {'throttle':14} {'J':>6} {'95 % interval':>16} {'T / T0':>7} {'guest runtime':>14}")
for mean in results.means.itertuples():
    interval = f"[{mean.cost_low:.3f} {mean.cost_high:.3f}]"
    print(
        f"{mean.suite:16} {mean.preference:5g}  {mean.throttle:14} {mean.cost:6.3f} {interval:>16}"
        f" {mean.time_over_t0:7.2f} {mean.guest_runtime:14.1%}"
    )

opponent = results.about["opponent"]
print(f"\nJ over that of {opponent} on the same migration, mean over all preferences:")
against = results.standings[results.standings["opponent"] == opponent]
for one in against[against["preference"].isna()].itertuples():
    print(f"{one.suite:16} {one.throttle:14} {one.mean_ratio:.3f} [{one.mean_ratio_low:.3f} {one.mean_ratio_high:.3f}]")
