"""Options that pin a part of the plan for the GPU's memory."""

from __future__ import annotations

import re
from typing import Annotated, Any, get_args

import msgspec
import typer

from limner.daemon.faults import explain
from limner.models.plan_bytes import TextPlace
from limner.models.plan_choice import Wishes

PANEL = "Memory of the GPU (what is not said is chosen: docs/hardware.md)"
_TEXTS: dict[str, TextPlace] = {place.replace(" ", "-"): place for place in get_args(TextPlace)}

Weights = Annotated[
    str | None,
    typer.Option(help="The denoiser's weights: bf16, fp8 or int8.", metavar="TYPE", rich_help_panel=PANEL),
]
Vae = Annotated[
    str | None,
    typer.Option(
        help="The autoencoder: wan, or taehv, which is small and fast.", metavar="NAME", rich_help_panel=PANEL
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        help="The largest working picture, multiples of 16.", metavar="WIDTHxHEIGHT", rich_help_panel=PANEL
    ),
]
MostSteps = Annotated[
    int | None,
    typer.Option(help="Denoising steps that there is room for.", metavar="1..4", rich_help_panel=PANEL),
]
Window = Annotated[
    int | None,
    typer.Option(help="Latent frames that attention looks back on.", metavar="2..24", rich_help_panel=PANEL),
]
TextEncoder = Annotated[
    str | None,
    typer.Option(
        help=f"Where prompts are encoded: {', '.join(_TEXTS)}.", metavar="PLACE", rich_help_panel=PANEL
    ),
]
MostChunk = Annotated[
    int | None,
    typer.Option(
        help="Latent frames of a chunk that there is room for: more for `--chunk`.",
        metavar="1..4",
        rich_help_panel=PANEL,
    ),
]
Sessions = Annotated[
    int | None, typer.Option(help="Sessions at a time.", metavar="1..8", rich_help_panel=PANEL)
]


def wishes_from(saved: Wishes | None, *, size: str | None, text: str | None, **given: Any) -> Wishes:
    """Return what is pinned: by an option, else by the user's file. Raises ValueError naming the option."""
    options = {name: value for name, value in given.items() if value is not None}
    if size is not None:
        options["size"] = _size(size)
    if text is not None:
        if text not in _TEXTS:
            raise ValueError(f"--text-encoder is {text!r}; it must be {', '.join(_TEXTS)}")
        options["text"] = _TEXTS[text]
    pinned: dict[str, Any] = msgspec.to_builtins(saved or Wishes()) | options
    try:
        return msgspec.convert(pinned, Wishes)
    except msgspec.ValidationError as error:
        raise ValueError(_named(explain(str(error), Wishes, pinned))) from error


def _size(text: str) -> list[int]:
    sides = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if sides is None:
        raise ValueError(f"--size is {text!r}; it must be like 832x480")
    return [int(sides[1]), int(sides[2])]


def _named(fault: str) -> str:
    """Return what is wrong, about the option instead of the field."""
    options = {"steps": "most-steps", "window_frames": "window", "streams": "sessions", "chunk": "most-chunk"}
    field, _, what = fault.partition(" ")
    field = field.partition("[")[0]
    return f"--{options.get(field, field)} {what}"
