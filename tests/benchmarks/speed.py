"""How fast pocket paints, encode to decode: frames a second, time by stage, latency of a chunk, memory.

    python -m tests.benchmarks.speed --report docs/measurements/speed.json

In this process, flat out, for 1 to 4 steps, as a stream batch and one chunk at a time, with the stages of
successive chunks overlapping (as the worker runs them) and one after another. Bars at 320×192 on two cores:
≥ 40 FPS with 1 step, ≥ 25 with 2, p95 of one chunk from push to frames ≤ 150 ms at 1 step, memory ≤ 1 GB.
Wants a quiet machine: the load before it began is in the report.
"""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from queue import SimpleQueue

import numpy as np
import torch
from tests.benchmarks import report
from tests.support.pictures import pocket, real_clip
from torch import Tensor

from limner.engine.engine import Engine
from limner.engine.overlap import Lanes, OverlappedStream
from limner.engine.stream import Stream
from limner.engine.types import MOST_STEPS, Painted, StageTimes, StreamSettings

LEAST_FPS = {1: 40.0, 2: 25.0}
MOST_LATENCY_MS = 150.0
MOST_MEMORY_BYTES = 1_000_000_000
WARM_UP_CHUNKS = 12
STAGES = ("encode", "noise", "denoise", "decode")


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One way to run."""

    steps: int
    stream_batch: bool
    overlap: bool
    fps: float
    """Painted frames a second, flat out, from the first to the last of the chunks that were timed."""
    stages_ms: dict[str, float]
    """Median time of each stage for one chunk."""
    push_ms_p50: float
    """From handing a chunk over to the frames that this brings. With more than one step in a stream batch
    those are of an earlier chunk."""
    push_ms_p95: float


def measure(engine: Engine, chunks: Sequence[Tensor], settings: StreamSettings, lanes: Lanes | None) -> Speed:
    """Paint all of `chunks` [frames_per_chunk, 3, H, W] flat out; on `lanes`, when given."""
    height, width = chunks[0].shape[2:]
    stream = engine.open_stream(settings, height, width)
    run = partial(_in_turn, stream) if lanes is None else partial(_overlapped, stream, lanes)
    run(chunks[:WARM_UP_CHUNKS])
    painted, push_ms, wall_s = run(chunks)
    return Speed(
        steps=settings.steps,
        stream_batch=settings.stream_batch,
        overlap=lanes is not None,
        fps=sum(frames for frames, _ in painted) / wall_s,
        stages_ms=_medians([stages for _, stages in painted]),
        push_ms_p50=float(np.percentile(push_ms, 50)),
        push_ms_p95=float(np.percentile(push_ms, 95)),
    )


Figures = tuple[int, StageTimes]
"""Frames of a chunk, and its times. The pictures go at once: their memory would be taken for the engine's."""
Ran = tuple[list[Figures], list[float], float]
"""What was painted; each push, ms; all of it, s."""


def _in_turn(stream: Stream, chunks: Sequence[Tensor]) -> Ran:
    begin = time.perf_counter()
    painted: list[Figures] = []
    push_ms = []
    for chunk_TCHW in chunks:
        pushed = time.perf_counter()
        part = stream.push(chunk_TCHW)
        push_ms.append((time.perf_counter() - pushed) * 1000)
        painted += [] if part is None else [_figures(part)]
    return painted, push_ms, time.perf_counter() - begin


def _overlapped(stream: Stream, lanes: Lanes, chunks: Sequence[Tensor]) -> Ran:
    told = SimpleQueue[float]()
    overlapped = OverlappedStream(stream, lanes, lambda: told.put(time.perf_counter()))
    painted: list[Figures] = []
    pushed_at = []
    begin = time.perf_counter()
    for chunk_TCHW in chunks:
        # Handed over when there is room: time that a camera would drop frames in is nobody's latency.
        overlapped.push(chunk_TCHW)
        pushed_at.append(time.perf_counter())
        painted += map(_figures, overlapped.collect())
    painted += map(_figures, overlapped.drain())
    wall_s = time.perf_counter() - begin
    # The last is told of just after it is there to be drained.
    push_ms = [(told.get() - pushed) * 1000 for pushed in pushed_at]
    return painted, push_ms, wall_s


def ways() -> list[tuple[int, bool, bool]]:
    """Steps, stream batch, overlap. With one step a stream batch is one chunk at a time."""
    return [
        (steps, batch, overlap)
        for steps, batch, overlap in itertools.product(range(1, MOST_STEPS + 1), (True, False), (True, False))
        if batch or steps > 1
    ]


def broken_bars(speeds: Sequence[Speed], peak_bytes: int) -> list[str]:
    """What is slower or larger than promised, a sentence each; a figure that is missing counts as broken."""
    found = []
    for steps, least in LEAST_FPS.items():
        best = max((speed.fps for speed in speeds if speed.steps == steps), default=0.0)
        if not best >= least:
            found.append(f"{best:.1f} FPS with {steps} step{'s' * (steps > 1)}, promised {least:g}")
    alone = [s.push_ms_p95 for s in speeds if s.steps == 1 and not s.overlap]
    if not min(alone, default=float("inf")) <= MOST_LATENCY_MS:
        found.append(f"a chunk takes {min(alone, default=float('nan')):.0f} ms, promised {MOST_LATENCY_MS:g}")
    if not peak_bytes <= MOST_MEMORY_BYTES:
        found.append(f"{peak_bytes / 1e6:.0f} MB at most, promised {MOST_MEMORY_BYTES / 1e6:.0f}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when a bar is broken."""
    parser = report.parser(main.__doc__)
    parser.add_argument("--chunks", type=int, default=200, help="timed in each way")
    parser.add_argument("--size", type=int, nargs=2, default=(320, 192), metavar=("WIDTH", "HEIGHT"))
    options = report.chosen(parser, arguments)
    engine = pocket(options.model)
    described = report.machine(engine)
    chunks = footage(options.chunks, tuple(options.size), engine.config.frames_per_chunk)
    speeds = []
    with ExitStack() as opened:
        lanes = opened.enter_context(Lanes(options.threads)) if options.threads > 1 else None
        for steps, batch, overlap in ways():
            settings = StreamSettings(prompt="oil painting", steps=steps, stream_batch=batch)
            if overlap and lanes is None:
                continue
            speeds.append(measure(engine, chunks, settings, lanes if overlap else None))
            print(line(speeds[-1]), flush=True)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"memory: {peak_bytes / 1e6:.0f} MB at most, with torch, OpenCV and the clip")
    return report.finish(
        {
            "machine": described,
            "size": options.size,
            "chunks": options.chunks,
            "speeds": [asdict(speed) for speed in speeds],
            "peak_memory_mb": round(peak_bytes / 1e6),
        },
        broken_bars(speeds, peak_bytes),
        options.report,
    )


def footage(chunks: int, size: tuple[int, int], frames_per_chunk: int) -> list[Tensor]:
    """A real clip as chunks, again and again; the same memory each time round."""
    clip = torch.from_numpy(real_clip("bigbuckbunny", 96, size)).permute(0, 3, 1, 2).contiguous()
    starts = range(0, len(clip) - frames_per_chunk + 1, frames_per_chunk)
    pieces = [clip[start : start + frames_per_chunk] for start in starts]
    return list(itertools.islice(itertools.cycle(pieces), chunks))


def line(speed: Speed) -> str:
    """One row of what `main` prints."""
    way = f"{speed.steps} step{'s' * (speed.steps > 1)}"
    way += ", stream batch" if speed.stream_batch else ", one chunk"
    way += ", overlap" if speed.overlap else ""
    stages = " + ".join(f"{speed.stages_ms[stage]:.1f}" for stage in STAGES)
    latency = f"p50 {speed.push_ms_p50:.0f} p95 {speed.push_ms_p95:.0f} ms"
    return f"{way:32}{speed.fps:6.1f} FPS   {stages} ms   push to frames {latency}"


def _figures(part: Painted) -> Figures:
    return len(part.frames_TCHW), part.stage_ms


def _medians(times: Sequence[StageTimes]) -> dict[str, float]:
    return {stage: round(float(np.median([getattr(each, stage) for each in times])), 2) for stage in STAGES}


if __name__ == "__main__":
    sys.exit(main())
