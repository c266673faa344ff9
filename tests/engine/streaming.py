"""What tests of whole streams share: clips, streams on the tiny engine, and what they painted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from limner.engine.denoiser import Denoiser
from limner.engine.engine import Engine
from limner.engine.stream import Stream
from limner.engine.types import Painted, StreamSettings

HEIGHT, WIDTH = 32, 48


def clip(
    chunks: int, *, seed: int = 5, frames: int = 4, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> list[Tensor]:
    """Chunks of random pictures, (height, width)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (frames, 3, *size)
    return [torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for _ in range(chunks)]


def settings_of(**changes: Any) -> StreamSettings:
    return StreamSettings(**{"prompt": "oil", "strength": 0.8, "seed": 1, **changes})


def stream_of(engine: Engine, **changes: Any) -> Stream:
    return engine.open_stream(settings_of(**changes), HEIGHT, WIDTH)


def denoiser_of(stream: Stream) -> Denoiser:
    """The second stage of a stream on one device."""
    assert isinstance(stream.denoiser, Denoiser)
    return stream.denoiser


def painted(stream: Stream, chunks: Iterable[Tensor]) -> list[Painted]:
    """All that comes out, the last flush included."""
    results = [stream.push(chunk) for chunk in chunks] + [stream.flush()]
    return [result for result in results if result is not None]


def frames_of(results: Iterable[Painted]) -> Tensor:
    return torch.cat([result.frames_TCHW for result in results])


def numbers_of(results: Iterable[Painted]) -> list[int]:
    """Chunks that were painted, in the order in which they came out."""
    return [result.chunk + i for result in results for i in range(result.chunks)]
