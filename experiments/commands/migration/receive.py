"""``dqgym receive``: the destination of migrations that ``dqgym migrate --destination`` sends from another host."""

from __future__ import annotations

from typing import Annotated

import typer

from experiments.evaluation.backend_sources import parse_address

DEFAULT_ADDRESS = "127.0.0.1:4444"


def receive_command(
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on; port 0 takes a free one.")] = DEFAULT_ADDRESS,
    once: Annotated[bool, typer.Option("--once", help="End after one connection.")] = False,
) -> None:
    """Receive migrations, one after another, until Ctrl-C. Trusts nobody: what does not fit is refused with a reason.

    There is no authentication and no encryption: on a network that is not yours alone, listen on 127.0.0.1 and let a
    tunnel (ssh -L) lead there.
    """
    import signal

    from dqgym.backends.kvm.host.probe import require_kvm
    from dqgym.backends.kvm.machine.api import KICK, Kernel
    from dqgym.backends.kvm.migration import frames
    from dqgym.backends.kvm.migration.destination import receive_migration
    from dqgym.errors import BadInputError
    from experiments.reporting.tables import terminal

    require_kvm()
    host, port = parse_address(listen)
    console = terminal()
    signal.pthread_sigmask(signal.SIG_BLOCK, {KICK})
    try:
        listener = frames.listen(host, port)
    except OSError as error:
        raise BadInputError(error.strerror or str(error)) from error
    with listener:
        bound_host, bound_port = listener.getsockname()[:2]
        console.print(f"listening on {bound_host}:{bound_port}", soft_wrap=True, markup=False, highlight=False)
        while True:
            connection, (peer, *_) = listener.accept()
            received = receive_migration(connection, Kernel())
            what = "the guest ran here" if received.resumed else "refused or called off"
            said = ": ".join(part for part in (f"{peer} {received.scenario}".strip(), what, received.reason) if part)
            console.print(said, soft_wrap=True, markup=False, highlight=False)
            if once:
                return
