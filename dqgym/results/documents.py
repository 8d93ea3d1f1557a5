"""The documents that commands write, as frames: each reader takes one parsed document of its kind.

A reader raises whatever comes of a document that is not of its kind; ``dqgym.results.reading`` makes one message of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from dqgym.results.frames import (
    Frames,
    Values,
    fronts_frame,
    make_frame,
    records_frame,
    row_frames,
    standings_frame,
    vcpu_frame,
)
from dqgym.results.rows import Row
from dqgym.results.schema import LATER


@dataclass(frozen=True)
class Part:
    """What one document or folder holds.

    Attributes:
        kind: of ``Results``.
        about: where it comes from.
        frames: those that it has, by name.
    """

    kind: str
    about: Values
    frames: Frames


def read_evaluation(document: Values, source: str) -> Part:
    """``results.json``, which is also what ``dqgym evaluate --json`` prints."""
    summary = {**document["statistics"], "means": document["summary"]}
    part = read_summary(summary, source)
    rows = [_row(record) for record in document.get("rows", [])]
    frames = part.frames | takeovers_frame(document, source)
    return Part(part.kind, part.about, frames | row_frames(rows, part.about["backend"], source))


def takeovers_frame(document: Values, source: str) -> Frames:
    """The takeovers in ``results.json``."""
    return {"takeovers": records_frame("takeovers", document["takeovers"], source)}


def _row(record: Values) -> Row:
    record = {**LATER, **record}
    values = {field.name: record[field.name] for field in fields(Row)}
    per_vcpu = tuple(map(float, record["guest_runtime_per_vcpu"]))
    absent = {"downtime_s": math.nan if record["downtime_s"] is None else record["downtime_s"]}
    return Row(**{**values, **absent, "guest_runtime_per_vcpu": per_vcpu})


def read_summary(document: Values, source: str) -> Part:
    """``summary.json``; its tables are columns and rows, or lists of records."""
    standings = [*_records(document["standings"]), *_records(document["against_baselines"])]
    frames = {
        "means": records_frame("means", _records(document["means"]), source),
        "standings": standings_frame(standings, source),
        "fronts": fronts_frame(_records(document["fronts"]), source),
    }
    told = ("training_seeds", "migrations", "opponent")
    return Part("evaluation", {**document["origin"], **{name: document[name] for name in told}}, frames)


def _records(table: Values | Sequence[Values]) -> Sequence[Values]:
    if not isinstance(table, Mapping):
        return table
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def read_comparison(document: Values, source: str) -> Part:
    """What ``dqgym compare --json`` prints."""
    about = {name: document[name] for name in ("verdict", "own", "other")}
    pairs = [{**about, **pair} for pair in (*document["gains"], *document["losses"])]
    frames = {
        "standings": standings_frame([*document["standings"], *document["reverse"]], source),
        "pairs": records_frame("pairs", pairs, source),
    }
    return Part("comparison", about, frames)


def read_control(document: Values, source: str) -> Part:
    """What ``dqgym control --json`` prints."""
    migrations = document["migrations"]
    told = {name: document[name] for name in ("throttle", "backend")}
    columns = {name: [one[name] for one in migrations] for name in migrations[0] if name != "takeovers"}
    columns["takeovers"] = ["; ".join(one["takeovers"]) for one in migrations]
    columns |= {name: [value] * len(migrations) for name, value in told.items()}
    columns["preference"] = [document["preference"]] * len(migrations)
    columns["repetition"] = [0] * len(migrations)
    about = {name: document[name] for name in ("throttle", "fallback", "fallback_reason", "backend", "preference")}
    return Part("control report", about, {"migrations": make_frame("migrations", columns, len(migrations), source)})


def read_migration(document: Values, source: str) -> Part:
    """What ``dqgym simulate --json`` and ``dqgym migrate --json`` print; a row for each preference that it has J at."""
    costs = document["cost"]
    told = {name: value for name, value in document.items() if name not in ("cost", "preference")}
    columns = {name: [value] * len(costs) for name, value in told.items()}
    columns |= {"preference": list(map(float, costs)), "cost": list(costs.values()), "repetition": [0] * len(costs)}
    per_vcpu = list(map(float, document["guest_runtime_per_vcpu"]))
    columns["vcpus"] = [len(per_vcpu)] * len(costs)
    migrations = make_frame("migrations", columns, len(costs), source)
    about = {name: document.get(name) for name in ("preference", "backend", "ending", "proof")}
    return Part(
        "migration", about, {"migrations": migrations, "vcpus": vcpu_frame(migrations, [per_vcpu] * len(costs))}
    )


def read_training(document: Values, source: str) -> Part:
    """``evaluation.json`` of a training run."""
    frames = {
        "learning": records_frame("learning", document["history"], source),
        "means": records_frame("means", document["summary"], source),
    }
    return Part("training run", {"best": {name: document[name] for name in ("frames", "cost")}}, frames)


@dataclass(frozen=True)
class DocumentKind:
    """A kind of document.

    Attributes:
        keys: by which it is known.
        written_by: what writes it, for messages.
        read: makes frames of it.
    """

    keys: frozenset[str]
    written_by: str
    read: Callable[[Values, str], Part]


DOCUMENTS = (
    DocumentKind(frozenset({"summary", "statistics"}), "dqgym evaluate", read_evaluation),
    DocumentKind(frozenset({"origin", "means"}), "dqgym evaluate", read_summary),
    DocumentKind(frozenset({"verdict", "own", "other"}), "dqgym compare --json", read_comparison),
    DocumentKind(frozenset({"fallback", "migrations"}), "dqgym control --json", read_control),
    DocumentKind(frozenset({"scenario", "throttle", "cost"}), "dqgym simulate --json", read_migration),
    DocumentKind(frozenset({"history", "summary"}), "dqgym train", read_training),
)
"""In the order in which they are tried."""
