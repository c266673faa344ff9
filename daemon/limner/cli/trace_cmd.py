"""`limner trace`: a picture of what all devices did."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from limner.cli.errors import CliError
from limner.daemon.client import Client
from limner.daemon.paths import runtime_dir
from limner.daemon.rank_trace import MOST_S, TraceError, ask_for_trace


def trace(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.", metavar="FILE")] = Path(
        "trace.json"
    ),
    seconds: Annotated[float, typer.Option(help="How long to look.", metavar="S", min=0.1, max=MOST_S)] = 3.0,
) -> None:
    """Look for a few seconds and write what each rank did, for ui.perfetto.dev or chrome://tracing."""
    with Client() as client:
        client.query()
    time.sleep(seconds)
    try:
        found = ask_for_trace(runtime_dir(), seconds)
        output.write_bytes(found)
    except TraceError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror}") from error
    typer.echo(f"{output} is written; open it in ui.perfetto.dev", err=True)
