"""Options that several commands share, and what they mean together."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from limner.daemon.faults import explain
from limner.daemon.protocol import Change

LOOK, SPEED, MOTION = "Look", "Quality against speed", "Motion and cuts"

Style = Annotated[
    str | None,
    typer.Option(
        "--style", help="A style; `limner styles` lists them.", metavar="NAME", rich_help_panel=LOOK
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt", help="Free words, instead of a style's own.", metavar="WORDS", rich_help_panel=LOOK
    ),
]
Mix = Annotated[
    list[str] | None,
    typer.Option(
        "--mix",
        help="One of up to 4 prompts painted at once, and how much it counts (1 if not said).",
        metavar="WORDS[=WEIGHT]",
        rich_help_panel=LOOK,
    ),
]
Lora = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        help="One of up to 8 LoRAs to paint with, and how much of it (1 if not said); none: without.",
        metavar="NAME[=WEIGHT]",
        rich_help_panel=LOOK,
    ),
]
TransitionMs = Annotated[
    int | None,
    typer.Option(
        "--transition-ms",
        help="How long a change of words takes; 0: at once.",
        metavar="0..60000",
        rich_help_panel=LOOK,
    ),
]
Recache = Annotated[
    bool | None,
    typer.Option(
        "--recache/--no-recache",
        help="Begin the context anew with new words: a faster change, for one forward more.",
        rich_help_panel=LOOK,
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        "--strength", help="0 keeps the source, 1 invents everything.", metavar="0..1", rich_help_panel=LOOK
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Of the noise.", metavar="0..4294967295", rich_help_panel=LOOK),
]
Bypass = Annotated[
    bool | None, typer.Option("--bypass/--no-bypass", help="Show the source.", rich_help_panel=LOOK)
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        help="Denoising steps: 1 is fastest, 4 is best.",
        metavar="1..4",
        rich_help_panel=SPEED,
    ),
]
LeastSteps = Annotated[
    int | None,
    typer.Option(
        "--least-steps",
        help="Never fewer steps than this, however busy the machine.",
        metavar="1..4",
        rich_help_panel=SPEED,
    ),
]
LatencyMs = Annotated[
    int | None,
    typer.Option(
        "--latency-ms",
        help="Delay to keep within; quality gives way first.",
        metavar="100..10000",
        rich_help_panel=SPEED,
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        help="throughput: most frames a second; latency: least delay; auto: what fits.",
        metavar="MODE",
        rich_help_panel=SPEED,
    ),
]
Chunk = Annotated[
    int | None,
    typer.Option(
        "--chunk",
        help="Latent frames (4 frames each) painted at a time; 0: what fits.",
        metavar="0..4",
        rich_help_panel=SPEED,
    ),
]
Adapt = Annotated[
    bool | None,
    typer.Option(
        "--adapt/--no-adapt",
        help="Lower the quality when the machine is too slow; or keep it and drop frames.",
        rich_help_panel=SPEED,
    ),
]
OnAir = Annotated[
    bool | None,
    typer.Option(
        "--on-air/--off-air",
        help="Where sessions share the machine, it comes before those that are off air.",
        rich_help_panel=SPEED,
    ),
]
MotionAware = Annotated[
    bool | None,
    typer.Option(
        "--motion-aware/--no-motion-aware",
        help="Less noise where the picture moves fast.",
        rich_help_panel=MOTION,
    ),
]
MotionWindow = Annotated[
    int | None,
    typer.Option(
        "--motion-window",
        help="The fastest of so many frames counts.",
        metavar="1..240",
        rich_help_panel=MOTION,
    ),
]
MotionSmoothing = Annotated[
    float | None,
    typer.Option(
        "--motion-smoothing",
        help="How slowly the strength follows the motion.",
        metavar="0..0.99",
        rich_help_panel=MOTION,
    ),
]
MotionLow = Annotated[
    float | None,
    typer.Option(
        "--motion-low",
        help="Share of the strength left at full motion.",
        metavar="0..1",
        rich_help_panel=MOTION,
    ),
]
MotionHigh = Annotated[
    float | None,
    typer.Option(
        "--motion-high",
        help="Share of the strength when nothing moves.",
        metavar="1..1.5",
        rich_help_panel=MOTION,
    ),
]
Steadiness = Annotated[
    float | None,
    typer.Option(
        "--steadiness",
        help="How much of the painted frame before is kept along the motion of the source.",
        metavar="0..0.95",
        rich_help_panel=MOTION,
    ),
]
MotionHysteresis = Annotated[
    float | None,
    typer.Option(
        "--motion-hysteresis",
        help="Smaller changes of the share are left out.",
        metavar="0..0.5",
        rich_help_panel=MOTION,
    ),
]
Cuts = Annotated[
    bool | None,
    typer.Option("--cuts/--no-cuts", help="Begin anew where the scene changes.", rich_help_panel=MOTION),
]
NO_LORA = "none"
Report = Annotated[
    str | None, typer.Option("--report", help="Write the figures as JSON to this file.", metavar="FILE")
]


def change_from(*, mix: list[str] | None = None, lora: list[str] | None = None, **values: object) -> Change:
    """Return the options as a change, absent ones left out; raises BadParameter naming the option."""
    given = {name: value for name, value in values.items() if value is not None}
    if mix:
        given["mix"] = [_share(text) for text in mix]
    if lora:
        given["lora"] = [] if lora == [NO_LORA] else [lora_from(text) for text in lora]
    if "mix" in given and "prompt" in given:
        raise typer.BadParameter("--mix is painted instead of --prompt: give one of them")
    try:
        # Bytes of a command line that are no text; they could not be sent.
        msgspec.json.encode(given)
        return msgspec.convert(given, Change)
    except UnicodeEncodeError as error:
        raise typer.BadParameter("an option holds bytes that are no UTF-8 text") from error
    except msgspec.ValidationError as error:
        fault = explain(str(error), Change, given)
        name = next((name for name in given if fault.startswith(name)), "")
        option = "--" + name.replace("_", "-")
        raise typer.BadParameter(option + fault.removeprefix(name) if name else fault) from error


def lora_from(text: str) -> dict[str, object]:
    """Return "film=0.8" as a LoRA's name and its weight."""
    name, sign, weight = text.rpartition("=")
    if not sign:
        return {"name": text}
    try:
        return {"name": name, "weight": float(weight)}
    except ValueError:
        raise typer.BadParameter(f"--lora is {text!r}; after = comes the weight, a number") from None


def _share(text: str) -> dict[str, object]:
    """Return "oil painting=2" as a prompt and its weight."""
    prompt, sign, weight = text.rpartition("=")
    if not sign:
        return {"prompt": text}
    try:
        return {"prompt": prompt, "weight": float(weight)}
    except ValueError:
        raise typer.BadParameter(
            f"--mix is {text!r}; after = comes the weight, a number above 0, at most 1000"
        ) from None
