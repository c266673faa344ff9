"""`limner bench`: the two measurements."""

from __future__ import annotations

from typing import Annotated

import typer

from limner.cli.bench.bridge import BridgeJob
from limner.cli.bench.bridge import measure as measure_bridge
from limner.cli.bench.engine import EngineJob
from limner.cli.bench.engine import measure as measure_engine
from limner.cli.bench.sizes import parse_size
from limner.cli.options import Report

app = typer.Typer(
    help="Measure the bridge and the engine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
Size = Annotated[str, typer.Option(help="Of the source, in pixels.", metavar="WxH")]
Seconds = Annotated[float, typer.Option(help="How long to measure.", metavar="S")]


@app.command()
def bridge(
    *,
    size: Size = "1920x1080",
    fps: Annotated[float, typer.Option(help="Frames handed over a second.", metavar="FPS")] = 60.0,
    seconds: Seconds = 30.0,
    report: Report = None,
) -> None:
    """Measure what the way through the daemon adds. The engine echoes."""
    measure_bridge(BridgeJob(size=parse_size(size), fps=fps, seconds=seconds, report=report))


@app.command()
def engine(
    *,
    size: Size = "1280x720",
    steps: Annotated[int, typer.Option(help="Denoising steps.", metavar="1..4")] = 1,
    mode: Annotated[
        str,
        typer.Option(help="throughput: all steps in one forward; latency: chunk by chunk.", metavar="MODE"),
    ] = "throughput",
    seconds: Seconds = 20.0,
    engine: Annotated[str, typer.Option(help="What paints: pocket or echo.", metavar="NAME")] = "pocket",
    threads: Annotated[int, typer.Option(help="CPU threads of the worker; 0: chosen.", metavar="N")] = 0,
    report: Report = None,
) -> None:
    """Measure how fast the worker paints. It never waits for a frame."""
    measure_engine(
        EngineJob(
            size=parse_size(size),
            steps=steps,
            mode=mode,
            seconds=seconds,
            engine=engine,
            threads=threads,
            report=report,
        )
    )
