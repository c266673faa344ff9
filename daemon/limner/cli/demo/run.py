"""The demo, step by step: open everything, stream, finish the file, say how it went."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limner.cli.as_saved import config_as_saved
from limner.cli.console import say
from limner.cli.demo.clip import Clip
from limner.cli.demo.writer import Writer, check_output
from limner.cli.errors import EXIT_INTERRUPTED, CliError
from limner.cli.figures import Figures, check_report, write_report
from limner.cli.private_daemon import private_daemon
from limner.cli.progress import Progress
from limner.cli.stream import Picture, Streamer, wait_until_ready
from limner.daemon.client import Client, ClientError, NoDaemonError
from limner.daemon.client_session import ClientSession, hello_for
from limner.daemon.config import DaemonConfig
from limner.daemon.paths import runtime_dir
from limner.daemon.protocol import MAX_SIDE, Change

# For a running daemon to say which model it has.
MODEL_TIMEOUT_S = 20.0
MODEL_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the user asked for."""

    clip: Path
    out: Path
    change: Change
    realtime: bool
    engine: str | None
    report: str | None


class Timeline:
    """Puts painted pictures at the clip's times; where one is missing, the latest painted one stays."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._pts: list[int] = []
        self._shown = 0
        self._picture: NDArray[np.uint8] | None = None

    def came_in(self, pts: int) -> None:
        """Note the time of the next frame of the clip."""
        self._pts.append(pts)

    def painted(self, index: int, pixels_HWC: NDArray[np.uint8]) -> None:
        """Take the painted frame `index`."""
        # Before the first painted picture there is none to hold: it is shown from the start.
        before = pixels_HWC if self._picture is None else self._picture
        self._show(before, index)
        self._picture = pixels_HWC
        self._show(pixels_HWC, index + 1)

    def finish(self) -> None:
        """Hold the last picture to the last frame's time."""
        if self._picture is not None:
            self._show(self._picture, len(self._pts))

    def _show(self, pixels_HWC: NDArray[np.uint8], until: int) -> None:
        times = [(self._pts[i], self._duration(i)) for i in range(self._shown, until)]
        if times:
            self._writer.put(pixels_HWC, times)
            self._shown = until

    def _duration(self, index: int) -> int:
        last = len(self._pts) - 1
        if index < last:
            return self._pts[index + 1] - self._pts[index]
        return self._pts[last] - self._pts[last - 1] if last > 0 else 0


def paint(job: Job) -> None:
    """Do the job; raises CliError and ClientError with one sentence for the user."""
    signal.signal(signal.SIGTERM, _stop)
    check_report(job.report)
    if job.engine is not None:
        _check_engine(job.engine)
    with Clip(job.clip) as clip:
        _check_size(clip)
        check_output(job.out, job.clip)
        with _daemon(job.engine) as folder:
            hello = hello_for(job.clip.name, "demo", (clip.width, clip.height), float(clip.rate), job.change)
            with ClientSession(hello, folder) as session:
                _paint_with(job, clip, session)


def _stop(*_: object) -> None:
    """End on SIGTERM as on Ctrl-C: what was painted is kept."""
    raise KeyboardInterrupt


def _check_size(clip: Clip) -> None:
    if max(clip.width, clip.height) > MAX_SIDE:
        raise CliError(
            f"{clip.path} is {clip.width}×{clip.height}, Limner takes up to {MAX_SIDE} pixels a side; "
            "scale it down first"
        )


def _check_engine(engine: str) -> None:
    try:
        DaemonConfig(engine=engine)
    except ValueError as error:
        raise CliError(str(error), exit_code=2) from error


@contextmanager
def _daemon(engine: str | None) -> Iterator[Path]:
    """Give the runtime folder of a daemon with `engine`: the one that runs, else one of our own."""
    if _serves(engine):
        yield runtime_dir()
        return
    config = config_as_saved(engine)
    with private_daemon(config.engine, config.threads, device=config.device, wishes=config.wishes) as folder:
        yield folder


def _serves(engine: str | None) -> bool:
    """Whether a daemon runs and has this engine, None: any."""
    try:
        with Client() as client:
            deadline = time.monotonic() + MODEL_TIMEOUT_S
            while True:
                worker = client.query().worker
                # While it loads, a worker does not say yet what it is.
                if engine is None or worker.model or time.monotonic() > deadline:
                    return engine in (None, worker.model)
                time.sleep(MODEL_POLL_S)
    except NoDaemonError:
        return False


def _paint_with(job: Job, clip: Clip, session: ClientSession) -> None:
    figures = Figures()
    writer = Writer(job.out, clip)
    timeline = Timeline(writer)
    with Progress(f"painting {job.clip.name}", clip.frame_count) as progress:
        try:
            model, device = wait_until_ready(session, progress.note)
            streamer = Streamer(session, timeline.painted, figures, realtime=job.realtime)
            streamer.run(_pictures(clip, session, timeline, progress, figures))
            timeline.finish()
        except (CliError, ClientError, KeyboardInterrupt) as error:
            raise _interrupted(error, writer, figures) from error
        except BaseException:
            writer.discard()
            raise
        writer.finish(whole=True)
    for note in streamer.notes:
        say(f"note: {note}")
    _conclude(job, writer, figures, model, device)


def _pictures(
    clip: Clip, session: ClientSession, timeline: Timeline, progress: Progress, figures: Figures
) -> Iterator[Picture]:
    for frame in clip.frames():
        timeline.came_in(frame.pts)
        pixels_HWC = clip.read(frame, session.welcome.width, session.welcome.height)
        progress.update(frame.index, figures)
        yield Picture(index=frame.index, time_s=frame.time_s - clip.first_time_s, pixels=pixels_HWC)
    progress.update(figures.frames_in, figures)


def _interrupted(error: BaseException, writer: Writer, figures: Figures) -> CliError:
    """Finish what was painted so far and return the sentence that says so."""
    by_user = isinstance(error, KeyboardInterrupt)
    why = "stopped" if by_user else str(error)
    writer.finish(whole=False)
    kept = (
        f"the {figures.frames_out} frames painted until then are in {writer.out}"
        if writer.frames_written
        else "nothing was painted"
    )
    return CliError(f"{why}; {kept}", exit_code=EXIT_INTERRUPTED if by_user else 1)


def _conclude(job: Job, writer: Writer, figures: Figures, model: str, device: str) -> None:
    if not figures.frames_out:
        raise CliError("no frame came back painted; see limner doctor")
    size = {"frames_written": writer.frames_written, "realtime": job.realtime}
    write_report(job.report, figures.report(model=model, device=device) | size)
    latency = sorted(figures.latencies_ms)[len(figures.latencies_ms) // 2]
    say(
        f"painted {figures.frames_out} of {figures.frames_in} frames with {model} on {device}: "
        f"{figures.fps:.1f} fps, {latency:.0f} ms delay; the video is in {job.out}"
    )
