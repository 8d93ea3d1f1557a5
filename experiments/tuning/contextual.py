"""Training the contextual rule's network, into a file of its own."""

from __future__ import annotations

from dqgym.files import write_text
from dqgym.stopping import uninterrupted
from dqgym.throttles.registry import make_throttle
from dqgym.throttles.roles import RULE
from dqgym.throttles.rules.contextual_rule import ContextualRule
from dqgym.throttles.rules.contextual_weights import (
    ContextualFile,
    contextual_network,
    dump_contextual,
    read_contextual,
)
from dqgym.throttles.rules.rule_features import FEATURES
from dqgym.throttles.rules.tuned import TRAINING, tuned_entries
from experiments.reporting.progress import showing_steps
from experiments.reporting.tables import Table
from experiments.resuming import saying_how_to_go_on
from experiments.tuning import evolution
from experiments.tuning.tuning import Tuning, cost_table


def tune_contextual(tuning: Tuning) -> Table:
    """Search the network, write it, and return what it costs beside the tuned rule.

    Raises:
        BadInputError: the file is of another kind or cannot be written, or there is nothing to resume.
        RunInterruptedError: the user stopped it; the message says how to go on.
    """
    tuning.require_writable()
    out, distribution = tuning.out, tuning.distribution
    if out.exists():
        read_contextual(out)  # what is replaced must be such a file
    tuned = tuned_entries(RULE, TRAINING)
    kept = out.with_name(f".{out.name}.state.npz")
    with saying_how_to_go_on(lambda: tuning.how_to_go_on() if kept.exists() else ""):
        with showing_steps(tuning.throttle, tuning.steps) as on_step:
            search = evolution.Evolution(distribution.suites, distribution.seed, tuned)
            weights = evolution.evolve(search, tuning.steps, kept, tuning.resume, on_step)
        network = contextual_network(tuned, weights)
        costs = {
            value: {
                "contextual": distribution.costs(ContextualRule(network, value), value),
                "and a survey": distribution.costs(ContextualRule(network, value, evolution.SURVEY), value),
                "tuned rule": distribution.costs(make_throttle(RULE, value), value),
            }
            for value in tuning.preferences
        }
    content = ContextualFile(
        suites=distribution.weights,
        seed=distribution.seed,
        steps=tuning.steps,
        costs={value: float(of["contextual"].mean()) for value, of in costs.items()},
        tuned_costs={value: float(of["tuned rule"].mean()) for value, of in costs.items()},
        features=list(FEATURES),
        tuned=tuned,
        weights=[float(f"{weight:.5g}") for weight in weights],
    )
    with uninterrupted():
        write_text(out, dump_contextual(content))
        kept.unlink()
    return cost_table(tuning.throttle, distribution, costs)
