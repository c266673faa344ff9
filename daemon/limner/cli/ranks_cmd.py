"""`limner ranks`: let other machines paint with this one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from limner.cli.errors import EXIT_USAGE, CliError
from limner.daemon.rank_keys import KeyFileError, new_keys, read_keys
from limner.daemon.rank_options import RankOptions, checked
from limner.daemon.supervisor import Backoff, child_environment, how_it_ended

app = typer.Typer(
    help="Spread a model over several machines (docs/pipeline.md).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
STOP_S = 3.0


@app.command("key")
def key(file: Annotated[Path, typer.Argument(help="Where to write it.", metavar="FILE")]) -> None:
    """Make a key file; copy it to the other machine by a safe way (scp). Who has it may join."""
    try:
        new_keys(file)
    except KeyFileError as error:
        raise CliError(str(error)) from error
    typer.echo(f"{file} is written; copy it to the other machine, where only you may read it", err=True)


@app.command("join")
def join(
    address: Annotated[
        str, typer.Argument(help="The daemon's --rank-listen on the other machine.", metavar="HOST:PORT")
    ],
    key: Annotated[Path, typer.Option("--key", help="The key file.", metavar="FILE")],
    device: Annotated[
        str, typer.Option(help="What paints here: cpu, cuda or cuda:N.", metavar="DEVICE")
    ] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads.", metavar="N", min=1, max=256)] = 1,
) -> None:
    """Paint with the daemon of another machine, until Ctrl-C. It must be the same version of Limner."""
    try:
        checked(RankOptions(devices=(device,), listen=address, key=str(key)))
        read_keys(key)
    except KeyFileError as error:
        raise CliError(str(error)) from error
    except ValueError as error:
        raise CliError(str(error), exit_code=EXIT_USAGE) from error
    command = [
        sys.executable,
        "-P",
        "-m",
        "limner.worker.rank",
        f"--endpoint=tcp://{address}",
        f"--key={key}",
        f"--device={device}",
        f"--threads={threads}",
        f"--parent={os.getpid()}",
    ]
    _keep_up(command)


def _keep_up(command: list[str]) -> None:
    """Run a rank, and again when it ends, until somebody ends us."""
    backoff = Backoff()
    while True:
        began_s = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=child_environment())
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                _stop(process)
        wait_s = backoff.died(time.monotonic() - began_s)
        typer.echo(f"the rank {how_it_ended(code)}; starting it again in {wait_s:.0f} s", err=True)
        time.sleep(wait_s)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
