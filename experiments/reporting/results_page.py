"""The page of results: a table for each question, over stored evaluations; remarks on it are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dqgym.files import read_text
from dqgym.throttles.roles import ORACLE, RULE, USUAL
from experiments.reporting import results_tables
from experiments.reporting.pages import split_at_marks
from experiments.reporting.results_tables import Stored
from experiments.reporting.tables import Table
from experiments.results.statistics import TIE

BEGIN, END = "<!-- begin: notes -->", "<!-- end: notes -->"
"""Between these lines of the page is what was written by hand."""


def kept_notes(page: Path) -> str:
    """The notes on the page that were written by hand; empty where there is no page.

    Raises:
        BadInputError: the page does not have the two marks, and would be lost.
    """
    if not page.exists():
        return "\n\n"
    return split_at_marks(read_text(page, "page"), BEGIN, END, str(page))[1]


def results_page(stored: Sequence[Stored], command: str, notes: str) -> str:
    """The page: where it comes from, the notes, and the tables, question by question."""
    sections = (
        _section("Who wins where", [results_tables.winners_table(stored), *results_tables.against_tables(stored)]),
        _section(
            "Where learning gains nothing",
            [results_tables.no_gain_table(stored)],
            otherwise=_gains_everywhere(stored),
        ),
        _section("The baselines", [results_tables.baselines_table(stored)]),
        _section(
            "How much of the possible is reached",
            [results_tables.gap_table(stored)],
            otherwise=f"Unknown: no evaluation has both `{RULE}` and `{ORACLE}`.",
        ),
        _section("Ablations", [results_tables.ablations_table(stored)], otherwise="None."),
        _section(
            "Never a step back",
            [results_tables.dominated_table(stored)],
            otherwise=f"Unknown: no evaluation has `{USUAL}` and a policy.",
        ),
        _section("The trade-off", [results_tables.hypervolume_table(stored), results_tables.points_table(stored)]),
        _section("Auto-converge, dirty limit, dirty quota", [results_tables.mainline_table(stored)]),
    )
    return "\n".join(
        (
            "# Results\n\nWhich throttle wins where, by how much and how surely, in stored evaluations. The command"
            " below wrote this page; only the notes between the marks are written by hand.\n\n"
            f"```\n{command}\n```\n\n{BEGIN}{notes}{END}\n",
            _section("The evaluations", [results_tables.sources_table(stored)]),
            *sections,
            READING,
        )
    )


def _gains_everywhere(stored: Sequence[Stored]) -> str:
    if not any(one.policies and one.summary.opponent for one in stored):
        return "Unknown: no evaluation compares a policy."
    return "Nowhere: on every suite, at every c, the upper end of every policy's interval is below 1."


def _section(title: str, tables: Sequence[Table], otherwise: str = "") -> str:
    """The tables that are not empty; the other text where all are."""
    shown = [table for table in tables if table.rows]
    parts = [f"**{table.title}**\n\n{table.markdown()}" for table in shown] or [otherwise + "\n"]
    return f"## {title}\n\n" + "\n".join(parts)


READING = f"""## How to read this

- [J](cost.md) is the cost of a migration; c is what guest runtime is worth against time. All throttles migrate the same
  scenarios with the same seeds.
- Ratio: J over the opponent's J; below 1 is better. Mean ratio: its mean, migration by migration; ratio of means: mean
  J over mean J, in which expensive migrations weigh more.
- `0.950 [0.940 0.960]`: a number and its 95 % interval, by a bootstrap over training seeds and, within each suite,
  scenarios (Agarwal et al., NeurIPS 2021). With one training seed it does not cover the chance of another training.
- IQM: interquartile mean. P(better): the probability of a lower J on the same migration; ties (J within {TIE:f}) count
  half.
- all: every suite, or every c, with the same weight.
"""
