"""Options that several commands share, and what they mean together."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from limner.daemon.protocol import Change

Style = Annotated[
    str | None, typer.Option("--style", help="A style; `limner styles` lists them.", metavar="NAME")
]
Prompt = Annotated[
    str | None, typer.Option("--prompt", help="Free words, instead of a style's own.", metavar="WORDS")
]
Strength = Annotated[
    float | None, typer.Option("--strength", help="0 keeps the source, 1 invents everything.", metavar="0..1")
]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Denoising steps: 1 is fastest, 4 is best.", metavar="1..4")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Of the noise.", metavar="0..4294967295")]
MotionAware = Annotated[
    bool | None,
    typer.Option("--motion-aware/--no-motion-aware", help="Less noise where the picture moves fast."),
]
Report = Annotated[
    str | None, typer.Option("--report", help="Write the figures as JSON to this file.", metavar="FILE")
]

_RANGES = {
    "strength": "--strength must be 0 to 1",
    "steps": "--steps must be 1 to 4",
    "seed": "--seed must be 0 to 4294967295",
    "prompt": "--prompt must have 1000 characters at most",
    "style": "--style must have 200 characters at most",
}


def change_from(**values: object) -> Change:
    """Return the options as a change, absent ones left out; raises BadParameter naming the option."""
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        try:
            msgspec.convert({name: value}, Change)
        except msgspec.ValidationError as error:
            raise typer.BadParameter(f"{_RANGES.get(name, str(error))}, not {value}") from error
    return msgspec.convert(given, Change)
