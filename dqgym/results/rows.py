"""Results of an evaluation as records: a row for each migration, throttle and preference, and what sums rows up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dqgym.results.columns import Says

_SUITE = Says("the suite of the scenario")
_THROTTLE = Says("what decided who is slowed down")
_PREFERENCE = Says("c, what guest runtime is worth against time in J")


@dataclass(frozen=True)
class Row:
    """One migration, costed at one preference.

    A baseline that does not know the preference runs once, and has one row for each. ``downtime_s`` is NaN where the
    migration missed its deadline; ``total_time_s`` is then when it was cancelled. ``training_seed`` is of a learned
    policy. ``forced``: it converged only because the guest was paused, at the deadline or after the last round.
    """

    suite: Annotated[str, _SUITE]
    scenario: Annotated[str, Says("what was migrated")]
    throttle: Annotated[str, _THROTTLE]
    seed: Annotated[int, Says("decided all that was random in the migration")]
    preference: Annotated[float, _PREFERENCE]
    total_time_s: Annotated[float, Says("from the start to the guest at its destination, or the deadline", "s")]
    time_over_t0: Annotated[float, Says("the same over T0, the time to send all memory once", "T0")]
    downtime_s: Annotated[float, Says("the pause at the end; NaN where the deadline was missed", "s")]
    guest_runtime: Annotated[float, Says("share of the time in which vCPUs could run, their mean; 0 to 1")]
    worst_vcpu_runtime: Annotated[float, Says("the same of the vCPU that ran least; 0 to 1")]
    bytes_sent: Annotated[float, Says("sent in all", "bytes")]
    rounds: Annotated[int, Says("of pre-copy, the first and the last counted")]
    converged: Annotated[bool, Says("it ended before the deadline")]
    max_throttle_percent: Annotated[float, Says("100 less the smallest run share that was commanded", "%")]
    cost: Annotated[float, Says("J at that preference (docs/cost.md)")]
    guest_runtime_per_vcpu: Annotated[tuple[float, ...], Says("guest runtime of each vCPU; 0 to 1")]
    training_seed: Annotated[int | None, Says("of a learned policy; absent for others")] = None
    forced: Annotated[
        bool, Says("it converged only because the guest was paused, at the deadline or the round cap")
    ] = False


@dataclass(frozen=True)
class TakeoverCount:
    """How many migrations of one run the guard's fallback took over from a policy, for one reason."""

    suite: Annotated[str, _SUITE]
    throttle: Annotated[str, _THROTTLE]
    preference: Annotated[float, _PREFERENCE]
    reason: Annotated[str, Says("why the guard's fallback took over")]
    migrations: Annotated[int, Says("that it took over for this reason")]


@dataclass(frozen=True)
class Summary:
    """The mean of a throttle's rows in one suite at one preference.

    ``cost_low`` and ``cost_high`` enclose the mean cost with 95 % confidence, by a bootstrap over training seeds and
    scenarios. ``scenarios`` were migrated under the policy of each of the ``training_seeds`` (1 for a baseline).
    """

    suite: Annotated[str, _SUITE]
    throttle: Annotated[str, _THROTTLE]
    preference: Annotated[float, _PREFERENCE]
    cost: Annotated[float, Says("mean J")]
    cost_low: Annotated[float, Says("lower end of its 95 % interval")]
    cost_high: Annotated[float, Says("upper end of its 95 % interval")]
    time_over_t0: Annotated[float, Says("mean time over T0", "T0")]
    guest_runtime: Annotated[float, Says("mean guest runtime; 0 to 1")]
    worst_vcpu_runtime: Annotated[float, Says("mean of the vCPUs that ran least; 0 to 1")]
    converged_share: Annotated[float, Says("share of migrations that converged; 0 to 1")]
    scenarios: Annotated[int, Says("migrations of each training seed")]
    training_seeds: Annotated[int, Says("how many; 1 for a baseline")] = 1
    forced_share: Annotated[float, Says("share that converged only because the guest was paused; 0 to 1")] = 0.0
