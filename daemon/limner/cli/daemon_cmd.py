"""`limner daemon`: start it here, in the background, or end it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from limner.cli.errors import EXIT_USAGE, CliError
from limner.daemon.config import DaemonConfig
from limner.daemon.lock import StopError, running_pid, stop_daemon
from limner.daemon.paths import runtime_dir
from limner.daemon.saved import SavedError
from limner.daemon.saved import read as read_saved
from limner.daemon.server import run


def daemon(
    *,
    engine: Annotated[
        str | None,
        typer.Option(
            help="What paints: pocket, a model of `limner models list`, or echo (gives back what it gets)."
            " Default: what `limner models use` chose, else pocket.",
            metavar="NAME",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Where: auto (a GPU if there is one), cpu, cuda or cuda:N.", metavar="DEVICE"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads of the worker; 0 leaves one core to OBS if it can.", metavar="N"),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the running daemon.")] = False,
) -> None:
    """Run the daemon that paints for OBS, until Ctrl-C."""
    if stop:
        _stop()
        return
    try:
        config = DaemonConfig(**_chosen(engine=engine, device=device, threads=threads), detach=detach)
    except SavedError as error:
        raise CliError(str(error)) from error
    except ValueError as error:
        raise CliError(str(error), exit_code=EXIT_USAGE) from error
    code = run(config)
    if detach and code == 0:
        typer.echo(f"the daemon runs in the background, process {running_pid(config.runtime_dir)}", err=True)
    raise typer.Exit(code)


def _chosen(**options: Any) -> dict[str, Any]:
    """Return what the command says, else what the user's file says; without what neither says."""
    saved = read_saved()
    chosen = {name: getattr(saved, name) if value is None else value for name, value in options.items()}
    return {name: value for name, value in chosen.items() if value is not None}


def _stop() -> None:
    try:
        pid = stop_daemon(runtime_dir())
    except (StopError, PermissionError) as error:
        raise CliError(str(error)) from error
    typer.echo("no daemon was running" if pid is None else f"the daemon (process {pid}) has ended", err=True)
