"""`limner styles`: what looks there are."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from limner.cli.console import out
from limner.cli.errors import CliError
from limner.daemon.styles import StylesError, load


def styles(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the styles, with their prompt, strength and steps."""
    try:
        known = list(load())
    except StylesError as error:
        raise CliError(str(error)) from error
    if as_json:
        typer.echo(msgspec.json.encode(known).decode())
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Style", "Prompt", "Strength", "Steps"):
        table.add_column(heading)
    for style in known:
        table.add_row(style.name, style.prompt, f"{style.strength:g}", str(style.steps))
    out().print(table)
