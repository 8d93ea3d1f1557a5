"""``dqgym configs``: list the configs, scenarios and samplers that come with dqgym, or print one of them."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from experiments.commands.options import AsJson


def configs_command(
    name: Annotated[
        str | None, typer.Argument(help="Print this one, to make another of it.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what `dqgym train NAME` and `dqgym simulate NAME` take by name, and samplers; or print one."""
    from dqgym.errors import BadInputError
    from dqgym.names import did_you_mean
    from experiments.named_files import ALL, CONFIGS, summary
    from experiments.reporting.tables import Table, terminal

    known = {name: (files.kind, files.path(name)) for files in ALL for name in files.names()}
    if name is None:
        if as_json:
            listed = [
                {"name": one, "kind": kind, "description": summary(path), "path": str(path)}
                for one, (kind, path) in known.items()
            ]
            print(json.dumps(listed, indent=2))
            return
        Table.of(
            title="Configs, scenarios and samplers",
            header=("name", "kind", "what it is"),
            rows=[(one, kind, summary(path)) for one, (kind, path) in known.items()],
            notes=(f"The files lie in {CONFIGS}.", "`dqgym configs NAME > mine.yaml` makes a copy to change."),
            text_columns=3,
        ).print(terminal())
        return
    if name not in known:
        raise BadInputError(
            f"no config, scenario or sampler {name!r}{did_you_mean(name, known)}; names: {', '.join(known)}"
        )
    text = known[name][1].read_text(encoding="utf-8")
    if as_json:
        print(json.dumps({"name": name, "kind": known[name][0], "path": str(known[name][1]), "text": text}, indent=2))
    else:
        print(text, end="")
