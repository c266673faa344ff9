"""`limner doctor`: check what Limner needs, and say what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from limner.cli.doctor.run import examine


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check everything that Limner needs. Exit code 1: something stands in the way."""
    raise typer.Exit(examine(as_json=as_json))
