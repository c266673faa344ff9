"""`limner bench engine`: how fast a worker of our own paints when a frame is always there for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from limner.cli.console import say
from limner.cli.errors import EXIT_USAGE, CliError
from limner.cli.figures import Figures, check_report, percentiles, write_report
from limner.cli.options import change_from
from limner.cli.private_daemon import private_daemon
from limner.cli.progress import Progress
from limner.cli.stream import Picture, Streamer, wait_until_ready
from limner.daemon.client_session import ClientSession, hello_for
from limner.daemon.config import DaemonConfig

# The rate that is claimed at hello; frames come as fast as they are painted.
NOMINAL_FPS = 30.0
SETTLE_FRAMES = 16
# Smooth, moving content: the noise controller sees ordinary motion.
PAN_PX = 3


@dataclass(frozen=True, kw_only=True)
class EngineJob:
    """What to measure. Size of the source in pixels."""

    size: tuple[int, int]
    steps: int
    mode: str
    seconds: float
    engine: str
    threads: int
    report: str | None


def measure(job: EngineJob) -> None:
    """Run the measurement, print its figures, write the report; raises CliError."""
    # What is measured is what was asked for: nothing gives way.
    change = change_from(steps=job.steps, mode=job.mode, adapt=False, bypass=False)
    try:
        DaemonConfig(engine=job.engine, threads=job.threads)
    except ValueError as error:
        raise CliError(str(error), exit_code=EXIT_USAGE) from error
    if not job.seconds > 0:
        raise CliError("--seconds must be above 0", exit_code=EXIT_USAGE)
    check_report(job.report)
    warm_up, figures = Figures(), Figures()
    with private_daemon(job.engine, job.threads) as folder:
        hello = hello_for("bench engine", "bench", job.size, NOMINAL_FPS, change)
        with ClientSession(hello, folder) as session, Progress("engine", None) as progress:
            model, device = wait_until_ready(session, progress.note)
            size = (session.welcome.width, session.welcome.height)
            first = Streamer(session, lambda *_: None, warm_up, realtime=False)
            first.run(_moving(size, 0, SETTLE_FRAMES))
            streamer = Streamer(session, lambda *_: None, figures, realtime=False)
            streamer.run(_until(job.seconds, _moving(size, SETTLE_FRAMES, None), figures, progress))
    _conclude(job, figures, size, model, device)


def _moving(size: tuple[int, int], first: int, count: int | None) -> Iterator[Picture]:
    """Give a picture that pans, `count` times or for ever."""
    width, height = size
    y_H1, x_1W = np.mgrid[0:height, 0:1][0], np.mgrid[0:1, 0:width][1]
    base_HWC = np.empty((height, width, 4), np.uint8)
    base_HWC[..., 0] = (127 + 120 * np.sin(2 * np.pi * 3 * x_1W / width)).astype(np.uint8)
    base_HWC[..., 1] = (127 + 120 * np.cos(2 * np.pi * 2 * y_H1 / height)).astype(np.uint8)
    base_HWC[..., 2] = (((x_1W // 16 + y_H1 // 16) % 2) * 200).astype(np.uint8)
    base_HWC[..., 3] = 255
    index = first
    while count is None or index < first + count:
        pixels_HWC = np.ascontiguousarray(np.roll(base_HWC, index * PAN_PX, axis=1))
        yield Picture(index=index, time_s=index / NOMINAL_FPS, pixels=pixels_HWC)
        index += 1


def _until(
    seconds: float, pictures: Iterator[Picture], figures: Figures, progress: Progress
) -> Iterator[Picture]:
    end = time.monotonic() + seconds
    for picture in pictures:
        if time.monotonic() >= end:
            return
        progress.update(figures.frames_out, figures)
        yield picture


def _conclude(job: EngineJob, figures: Figures, size: tuple[int, int], model: str, device: str) -> None:
    details = {
        "size": list(size),
        "source_size": list(job.size),
        "steps": job.steps,
        "mode": job.mode,
        "seconds": job.seconds,
        "threads": job.threads or None,
    }
    write_report(job.report, figures.report(model=model, device=device) | details)
    ms = percentiles(figures.latencies_ms)
    stages = ", ".join(f"{name} {value:.1f}" for name, value in figures.stages_ms.items()) or "unknown"
    say(
        f"{model} on {device} at {size[0]}×{size[1]}, {job.steps} step{'s' * (job.steps > 1)}: "
        f"{figures.fps:.1f} fps; from frame to painted frame p50 {ms['p50']} ms, p99 {ms['p99']} ms; "
        f"stages, ms a chunk: {stages}"
    )
