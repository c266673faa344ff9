"""`limner daemon`: start it here, in the background, or end it."""

from __future__ import annotations

from typing import Annotated

import typer

from limner.cli.errors import EXIT_USAGE, CliError
from limner.daemon.config import DaemonConfig
from limner.daemon.lock import StopError, running_pid, stop_daemon
from limner.daemon.paths import runtime_dir
from limner.daemon.server import run


def daemon(
    *,
    engine: Annotated[
        str, typer.Option(help="What paints: pocket, or echo (gives back what it gets).", metavar="NAME")
    ] = "pocket",
    threads: Annotated[
        int, typer.Option(help="CPU threads of the worker; 0 leaves one core to OBS if it can.", metavar="N")
    ] = 0,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the running daemon.")] = False,
) -> None:
    """Run the daemon that paints for OBS, until Ctrl-C."""
    if stop:
        _stop()
        return
    try:
        config = DaemonConfig(engine=engine, threads=threads, detach=detach)
    except ValueError as error:
        raise CliError(str(error), exit_code=EXIT_USAGE) from error
    code = run(config)
    if detach and code == 0:
        typer.echo(f"the daemon runs in the background, process {running_pid(config.runtime_dir)}", err=True)
    raise typer.Exit(code)


def _stop() -> None:
    try:
        pid = stop_daemon(runtime_dir())
    except (StopError, PermissionError) as error:
        raise CliError(str(error)) from error
    typer.echo("no daemon was running" if pid is None else f"the daemon (process {pid}) has ended", err=True)
