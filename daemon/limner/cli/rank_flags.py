"""Options of `limner daemon` for a model over several devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RANKS = "Several devices"
Ranks = Annotated[
    int,
    typer.Option(
        help="Processes here over which the model is spread; 0: as many as --rank-devices, else one.",
        metavar="N",
        rich_help_panel=RANKS,
    ),
]
RankDevices = Annotated[
    str,
    typer.Option(
        help="Their devices, with commas, the first one's first: cuda:0,cuda:1 as nvidia-smi counts them.",
        metavar="DEVICES",
        rich_help_panel=RANKS,
    ),
]
RankListen = Annotated[
    str,
    typer.Option(
        help="Where other machines may join (`limner ranks join`): an address of this one and a port.",
        metavar="HOST:PORT",
        rich_help_panel=RANKS,
    ),
]
RankKey = Annotated[
    str,
    typer.Option(
        help="The key file that they need (`limner ranks key`).", metavar="FILE", rich_help_panel=RANKS
    ),
]
RankDecode = Annotated[
    str,
    typer.Option(
        help="Which of them decodes: first (which encodes, too), last, or auto: where there is time for it.",
        metavar="WHICH",
        rich_help_panel=RANKS,
    ),
]


def absolute(path: str) -> str:
    """The file, wherever the daemon is; empty stays empty."""
    return str(Path(path).expanduser().absolute()) if path else ""
