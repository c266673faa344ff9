"""Several streams flat out on one engine: frames a second with shared forwards, and without, in turns.

    python -m tests.benchmarks.streams_shared --report docs/measurements/streams_shared.json

`pocket`, whose forward is arithmetic, and a denoiser of large matrices over a small picture, whose forward is
reading weights: what a large model at a small size is like. On the worker's own lanes, all in one process, a
round without and a round with, again and again, so that a busy machine is as busy for both. What a chunk
takes of a shared forward is measured too, on the denoising lane by itself.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from tests.benchmarks import report
from tests.benchmarks.speed import footage
from tests.engine.tiny import random_weights
from tests.support.pictures import pocket
from torch import Tensor

from limner.engine.config import DiTConfig, ModelConfig, TextConfig, VaeConfig
from limner.engine.engine import Engine
from limner.engine.overlap import Lanes, OverlappedStream
from limner.engine.sharing import denoise_together
from limner.engine.stream import Stream
from limner.engine.types import Painted, StreamSettings

STREAMS = (2, 3, 4)
WARM_UP_S, FORWARDS = 1.0, 32
SIZES = {"pocket": (320, 176), "weights": (64, 64)}
LEAST_GAIN = 1.15
"""Promised of the model that reads weights."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number of streams."""

    model: str
    streams: int
    fps_alone: float
    """All streams' painted frames a second, each chunk in a forward of its own. Median of the rounds."""
    fps_shared: float
    gain: float
    """Median over the rounds of the one through the other."""
    together: float
    """Streams in a forward, mean, when they may share."""
    part: float
    """What a chunk takes of a forward of all of them, of what one alone takes; nothing else runs then."""


@dataclass(frozen=True)
class Round:
    """Some seconds of one way."""

    fps: float
    together: float


def weight_bound() -> ModelConfig:
    """Blocks of the width of Wan's 1.3B model, three of them, with a small autoencoder."""
    return ModelConfig(
        name="weights",
        vae=VaeConfig(latent_channels=8, fine_width=8, coarse_width=8, frame_width=8),
        text=TextConfig(dim=8, length=4, words=("oil", "neon", "warm")),
        dit=DiTConfig(
            latent_channels=8,
            dim=1536,
            ffn_dim=8960,
            heads=12,
            layers=3,
            text_dim=8,
            freq_dim=256,
            window_frames=6,
            sink_frames=3,
        ),
        sizes=(SIZES["weights"],),
        default_size=SIZES["weights"],
    )


def engine_of(model: str, options: argparse.Namespace) -> Engine:
    """The model's engine."""
    if model == "pocket":
        return pocket(options.model)
    config = weight_bound()
    return Engine(config, random_weights(config))


def painted_for(
    streams: Sequence[OverlappedStream], chunks: Sequence[Tensor], seconds: float
) -> list[Painted]:
    """Push whatever fits for so long; what came out."""
    told = threading.Event()
    done: list[Painted] = []
    pushed = [0] * len(streams)
    for stream in streams:
        stream.on_painted = told.set
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        told.clear()
        for number, stream in enumerate(streams):
            done += stream.collect()
            if not stream.is_full:
                stream.push(chunks[(pushed[number] + 7 * number) % len(chunks)])
                pushed[number] += 1
        told.wait(0.05)
    return done + [part for stream in streams for part in stream.drain()]


def one_round(
    streams: Sequence[OverlappedStream], lanes: Lanes, chunks: Sequence[Tensor], seconds: float, most: int
) -> Round:
    """One way, after a little of it that does not count."""
    lanes.share(most)
    painted_for(streams, chunks, WARM_UP_S)
    began = time.perf_counter()
    painted = painted_for(streams, chunks, seconds)
    took_s = time.perf_counter() - began
    return Round(
        sum(len(part.frames_TCHW) for part in painted) / took_s,
        # By forwards: of those with k streams, each k chunks tell.
        len(painted) / sum(1 / part.together for part in painted),
    )


def part_of_shared(streams: Sequence[Stream], chunks: Sequence[Tensor]) -> float:
    """What a chunk takes of a shared forward, of what one alone takes: one way and the other, in turns."""
    took_s: dict[bool, list[float]] = {False: [], True: []}
    for number in range(FORWARDS):
        for shared in (False, True):
            pairs = [(stream, stream.encode(chunks[number % len(chunks)])) for stream in streams]
            began = time.perf_counter()
            if shared:
                denoise_together(pairs)
            else:
                for stream, chunk in pairs:
                    stream.denoise(chunk)
            took_s[shared].append(time.perf_counter() - began)
    # The first ones fill the window.
    alone, together = (float(np.median(took_s[shared][FORWARDS // 2 :])) for shared in (False, True))
    return together / alone


def measure(model: str, engine: Engine, lanes: Lanes, streams: int, *, seconds: float, rounds: int) -> Line:
    """Both ways in turns."""
    width, height = SIZES[model]
    chunks = footage(16, (width, height), engine.config.frames_per_chunk)
    settings = [StreamSettings(prompt="oil", seed=number) for number in range(streams)]
    opened = [OverlappedStream(engine.open_stream(one, height, width), lanes) for one in settings]
    alone, shared = [], []
    for _ in range(rounds):
        alone.append(one_round(opened, lanes, chunks, seconds, 1))
        shared.append(one_round(opened, lanes, chunks, seconds, streams))
    inner = [one.stream for one in opened]
    return Line(
        model=model,
        streams=streams,
        fps_alone=round(float(np.median([one.fps for one in alone])), 1),
        fps_shared=round(float(np.median([one.fps for one in shared])), 1),
        gain=round(float(np.median([b.fps / a.fps for a, b in zip(alone, shared, strict=True)])), 3),
        together=round(float(np.mean([one.together for one in shared])), 2),
        part=round(lanes.denoising.submit(part_of_shared, inner, chunks).result(), 3),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when shared forwards do not pay where they must."""
    parser = report.parser(main.__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=5, help="of each way")
    parser.add_argument("--only", choices=sorted(SIZES), action="append", help="this model (again: and that)")
    options = report.chosen(parser, arguments)
    lines: list[Line] = []
    described = {}
    for model in options.only or sorted(SIZES):
        engine = engine_of(model, options)
        described[model] = report.machine(engine)
        with Lanes(options.threads) as lanes:
            for streams in STREAMS:
                line = measure(model, engine, lanes, streams, seconds=options.seconds, rounds=options.rounds)
                lines.append(line)
                print(line, flush=True)
        engine.close()
    faults = [
        f"{line.streams} streams of {line.model}: {line.gain} times the rate, promised {LEAST_GAIN}"
        for line in lines
        if line.model == "weights" and line.gain < LEAST_GAIN
    ]
    return report.finish(
        {"machine": described, "sizes": SIZES, "lines": [asdict(line) for line in lines]},
        faults,
        options.report,
    )


if __name__ == "__main__":
    sys.exit(main())
