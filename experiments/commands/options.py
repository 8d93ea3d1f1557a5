"""Options that several commands have, said once."""

from __future__ import annotations

from typing import Annotated

import typer

MaxVcpus = Annotated[
    int | None,
    typer.Option(
        "--max-vcpus",
        help="Leave out scenarios with more vCPUs; a sampler draws others, for a policy that serves no more.",
        min=1,
        show_default=False,
    ),
]
Scale = Annotated[
    bool,
    typer.Option(
        "--scale",
        help="Play scenarios that are too large for KVM here in small: same pressures, as many vCPUs (at most 16).",
    ),
]
