"""`limner reset`: let the picture begin anew."""

from __future__ import annotations

from typing import Annotated

import typer

from limner.daemon.client import Client


def reset(
    *,
    session: Annotated[str, typer.Option(help="Only this session; default: all.", metavar="NAME")] = "*",
) -> None:
    """Forget what was painted so far: the picture begins anew, with the same settings."""
    with Client() as client:
        client.reset(session)
