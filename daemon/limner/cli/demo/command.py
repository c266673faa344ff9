"""`limner demo`: paint a video file through the same client, segments and worker as OBS does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner.cli.demo.run import Job, paint
from limner.cli.options import Mix, MotionAware, Prompt, Report, Seed, Steps, Strength, Style, change_from


def demo(
    *,
    clip: Annotated[str, typer.Argument(help="A video file.", metavar="CLIP")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="The painted video: .mp4, .mov or .mkv.", metavar="OUT")
    ],
    style: Style = None,
    prompt: Prompt = None,
    mix: Mix = None,
    strength: Strength = None,
    steps: Steps = None,
    seed: Seed = None,
    motion_aware: MotionAware = None,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime/--no-realtime",
            help="At the clip's own rate as in OBS, dropping what is too much; or every frame.",
        ),
    ] = True,
    engine: Annotated[
        str | None,
        typer.Option(
            help="pocket, echo or a model. Default: the running daemon's, else what `limner models use`"
            " chose, else pocket.",
            metavar="NAME",
        ),
    ] = None,
    report: Report = None,
) -> None:
    """Paint a video file and write it with its sound."""
    change = change_from(
        style=style,
        prompt=prompt,
        mix=mix,
        strength=strength,
        steps=steps,
        seed=seed,
        motion_aware=motion_aware,
        # Frame by frame there is no hurry: nothing gives way.
        adapt=None if realtime else False,
        bypass=False,
    )
    paint(Job(clip=Path(clip), out=Path(out), change=change, realtime=realtime, engine=engine, report=report))
