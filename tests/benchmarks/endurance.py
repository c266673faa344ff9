"""Does a stream that has run for long look, and run, like one that has just begun?

    python -m tests.benchmarks.endurance --frames 54000 --report docs/measurements/endurance.json

One stream, flat out, over footage that never comes round the same way: stretches of real and of made
clips, forwards and backwards, faded into one another. At the start and every so often the same probe is
pushed. Bars: the probe's statistics stay within ± 5 % of the first, memory within ± 1 % after the first
minute (of video, at 30 FPS), and a chunk takes as long at the end as at first (medians of thirds, ± 10 %).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import psutil
import torch
from tests.benchmarks import report
from tests.benchmarks.looks import Look, look_of, psnr_db, worst_change
from tests.support.footage import endless_footage, faded
from tests.support.pictures import pocket, real_clip

from limner.engine.engine import Engine
from limner.engine.stream import Stream
from limner.engine.types import StreamSettings
from limner.pocket.look import Frames

MOST_CHANGE = 0.05
MOST_MEMORY = 0.01
MOST_SLOWER = 0.10
MINUTE_FRAMES = 1800
LEAD_IN_FRAMES = 48
"""Of each probe: not looked at, so that what the cache held before has left it."""
FADE_FRAMES = 4


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The same input again, some way into the stream."""

    at_frame: int
    """Frames pushed before it."""
    look: Look
    change: float
    """Largest relative change of any statistic since the first probe."""
    psnr_db: float
    """Against the first probe's picture: the noise is the same, so that context alone may differ."""


@dataclass(kw_only=True)
class Run:
    """What was seen on the way."""

    probes: list[Probe] = field(default_factory=list)
    chunk_ms: list[float] = field(default_factory=list)
    """Each push, ms of CPU time: others may share the machine, and their time is not ours."""
    memory_bytes: list[int] = field(default_factory=list)
    """Resident, after each `memory_every` frames."""
    memory_every: int = 0


def endure(
    engine: Engine, settings: StreamSettings, *, frames: int, probe_every: int, probe_THWC: Frames
) -> Run:
    """Push `frames` frames through one stream, a probe first and after every `probe_every` of them.

    `probe_THWC`: its first `LEAD_IN_FRAMES` only bring the stream there. What is painted of the probes is
    looked at in the end: what that takes of memory is not the stream's.
    """
    height, width = probe_THWC.shape[1:3]
    run = Run(memory_every=max(100, min(600, frames // 20)))
    runner = _Runner(engine.open_stream(settings, height, width), run)
    footage = endless_footage((width, height))
    chunk_THWC = next(footage)  # all clips are read and made here, not while memory is watched
    album_PTHWC = np.ones((2 + frames // probe_every, *probe_THWC[LEAD_IN_FRAMES:].shape), np.uint8)
    runner.probe(probe_THWC, album_PTHWC[0])
    at_frames = [0]
    while runner.pushed < frames:
        until = min(frames, runner.pushed + probe_every) - len(probe_THWC) - FADE_FRAMES
        while runner.pushed < until:
            chunk_THWC = next(footage)
            runner.push(chunk_THWC)
        at_frames.append(runner.pushed)
        # Faded in like all else: a hard cut would begin a new context and hide what the old one has become.
        runner.push(faded(chunk_THWC, probe_THWC[:FADE_FRAMES], done=0, until=1))
        runner.probe(probe_THWC, album_PTHWC[len(at_frames) - 1])
    run.probes = [_compared(at, now, album_PTHWC[0]) for at, now in zip(at_frames, album_PTHWC, strict=False)]
    return run


def _compared(at_frame: int, now_THWC: Frames, first_THWC: Frames) -> Probe:
    look = look_of(now_THWC)
    change = worst_change(look_of(first_THWC), look)
    return Probe(at_frame=at_frame, look=look, change=change, psnr_db=psnr_db(now_THWC, first_THWC))


class _Runner:
    """Pushes chunks, and notes time and memory."""

    def __init__(self, stream: Stream, run: Run) -> None:
        self._stream, self._run = stream, run
        self._process = psutil.Process()
        self.pushed = 0

    def probe(self, probe_THWC: Frames, painted_THWC: Frames) -> None:
        """Push the probe; write what is painted after its lead-in."""
        count = self._stream.frames_per_chunk
        for start in range(0, len(probe_THWC), count):
            frames_THWC = self.push(probe_THWC[start : start + count])
            place = start - LEAD_IN_FRAMES
            if place >= 0:
                painted_THWC[place : place + count] = frames_THWC

    def push(self, chunk_THWC: Frames) -> Frames:
        """Paint one chunk."""
        chunk_TCHW = torch.from_numpy(np.ascontiguousarray(chunk_THWC.transpose(0, 3, 1, 2)))
        begin = time.process_time()
        painted = self._stream.push(chunk_TCHW)
        self._run.chunk_ms.append((time.process_time() - begin) * 1000)
        assert painted is not None, "one step: every push paints"
        self.pushed += len(chunk_THWC)
        if self.pushed % self._run.memory_every < len(chunk_THWC):
            self._run.memory_bytes.append(self._process.memory_info().rss)
        frames: Frames = painted.frames_TCHW.permute(0, 2, 3, 1).cpu().numpy()
        return frames


def memory_change(run: Run, after_frames: int = MINUTE_FRAMES) -> float:
    """Largest distance of any later tenth of the run from the first one after so many frames, part of that.

    A tenth is judged by its median: the allocator gives pages back and takes them again, chunk by chunk.
    """
    after = run.memory_bytes[max(0, after_frames // run.memory_every - 1) :]
    tenths = [float(np.median(part)) for part in np.array_split(np.asarray(after), 10) if len(part)]
    return max(abs(tenth / tenths[0] - 1) for tenth in tenths) if tenths else float("nan")


def slowdown(run: Run) -> float:
    """Median time of a chunk in the last third over that in the first, less 1. The start-up is left out."""
    settled = run.chunk_ms[min(50, len(run.chunk_ms) // 4) :]
    third = len(settled) // 3
    return float(np.median(settled[-third:]) / np.median(settled[:third]) - 1)


def broken_bars(run: Run) -> list[str]:
    """What did not stay as it was, a sentence each."""
    worst = max(run.probes, key=lambda probe: probe.change)
    checks = (
        (worst.change, MOST_CHANGE, f"the picture changed at frame {worst.at_frame}"),
        (memory_change(run), MOST_MEMORY, "memory changed"),
        (abs(slowdown(run)), MOST_SLOWER, "the time of a chunk changed"),
    )
    return [f"{what} by {value:.1%}, promised {bar:.0%}" for value, bar, what in checks if not value <= bar]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when a bar is broken."""
    parser = report.parser(main.__doc__)
    parser.add_argument("--frames", type=int, default=54_000, help="30 minutes at 30 FPS")
    parser.add_argument("--probe-every", type=int, default=3_000, help="frames")
    parser.add_argument("--prompt", default="oil painting")
    parser.add_argument("--strength", type=float, default=0.5)
    options = report.chosen(parser, arguments)
    engine = pocket(options.model)
    settings = StreamSettings(prompt=options.prompt, strength=options.strength)
    probe = real_clip("bigbuckbunny", LEAD_IN_FRAMES + 48)
    began = time.perf_counter()
    run = endure(engine, settings, frames=options.frames, probe_every=options.probe_every, probe_THWC=probe)
    wall_s = time.perf_counter() - began
    print("\n".join(summary(run)))
    return report.finish(
        {
            "machine": report.machine(engine),
            "frames": options.frames,
            "prompt": options.prompt,
            "wall_s": wall_s,
            "probes": [asdict(probe) for probe in run.probes],
            "largest_change": max(probe.change for probe in run.probes),
            "memory_mb": [round(sample / 1e6, 1) for sample in run.memory_bytes],
            "memory_every_frames": run.memory_every,
            "memory_change": memory_change(run),
            "chunk_ms_medians": _medians(run.chunk_ms),
            "slowdown": slowdown(run),
        },
        broken_bars(run),
        options.report,
    )


def summary(run: Run) -> list[str]:
    """The rest of what `main` prints."""
    memory = [sample / 1e6 for sample in run.memory_bytes]
    return [
        f"memory {min(memory):.0f}–{max(memory):.0f} MB, {memory_change(run):.1%} after the first minute",
        f"chunk, ms of CPU, median of each tenth: {_medians(run.chunk_ms)}; last third {slowdown(run):+.1%}",
    ]


def _medians(chunk_ms: Sequence[float]) -> list[float]:
    return [round(float(np.median(part)), 2) for part in np.array_split(np.asarray(chunk_ms), 10)]


if __name__ == "__main__":
    sys.exit(main())
