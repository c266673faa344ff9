"""Streams that share forwards: chunks that wait before the denoiser anyway go through it together.

Nobody waits for anybody on purpose: when the denoiser is free, it takes the chunk that has waited longest,
and with it the next one of each other stream, where that is there and of the same kind. Under load there
always is one, and a forward of several costs less than one each where reading the weights is most of it; a
stream that finds the denoiser free goes alone, as if there were no others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

import torch

from limner.engine.clock import StageClock
from limner.engine.dit.together import OnFault, run_each
from limner.engine.fusing import fusing
from limner.engine.stream import Stream, denoised
from limner.engine.types import Denoised, NoisedChunk, Painted

MOST_TOGETHER = 4
"""Streams in a forward: a batch's first chunk waits for its last one's."""


@dataclass(frozen=True, eq=False)
class Waiting:
    """A chunk before the denoiser, encoded or about to be."""

    stream: Stream
    encoded: Future[NoisedChunk]
    painted: Future[Painted | None]


class Line:
    """The chunks of all streams before the denoiser. Any thread puts them in, one takes them."""

    def __init__(self) -> None:
        self._most = 1
        self._is_sharing = True
        self._lock = threading.Lock()
        self._waiting: deque[Waiting] = deque()

    def share(self, most: int) -> bool:
        """Let so many streams (1: none) share a forward from now on; whether they can at all."""
        self._most = most
        return self._is_sharing

    def stop_sharing(self) -> None:
        """From now on each goes alone, whatever `share` says."""
        self._is_sharing = False

    def put(self, chunk: Waiting) -> None:
        """It comes after those that are there."""
        with self._lock:
            self._waiting.append(chunk)

    def take(self) -> list[Waiting]:
        """The first one, as soon as it is encoded, and those that share its forward; none: nobody waits."""
        with self._lock:
            first = self._waiting[0] if self._waiting else None
        if first is None:
            return []
        wait([first.encoded])
        with self._lock:
            batch = self._with_others(first)
            self._waiting = deque(chunk for chunk in self._waiting if chunk not in batch)
        return batch

    def _with_others(self, first: Waiting) -> list[Waiting]:
        """A stream's chunks stay in order: only the first that waits of each may go along."""
        batch, seen = [first], {id(first.stream)}
        most = self._most if self._is_sharing else 1
        kind = _kind(first) if most > 1 else None
        for chunk in self._waiting:
            if len(batch) >= most or kind is None:
                break
            if id(chunk.stream) in seen:
                continue
            seen.add(id(chunk.stream))
            if _kind(chunk) == kind:
                batch.append(chunk)
        return batch


def _kind(waiting: Waiting) -> Hashable | None:
    """Chunks of one kind need the same forwards; None: nobody's, or not known yet."""
    if not waiting.encoded.done() or waiting.encoded.exception() is not None:
        return None
    chunk = waiting.encoded.result()
    if chunk.is_clean or chunk.recache:
        return None  # It needs no forward, or one more than others.
    return (chunk.x_TCHW.shape, chunk.steps, chunk.stream_batch)


@torch.inference_mode()
def denoise_together(
    pairs: Sequence[tuple[Stream, NoisedChunk]], on_fault: OnFault = lambda _: None
) -> list[Denoised | Exception]:
    """`Stream.denoise` for streams of one engine at once. What fails in one, is its own: in its place.

    `on_fault`: as of `run_each`.
    """
    stream, chunk = pairs[0]
    clock = StageClock(chunk.x_TCHW.device)
    works = [stream.denoising(chunk) for stream, chunk in pairs]
    with fusing(stream.fused_by):
        outcomes = run_each(stream.model.dit, works, on_fault)
    spent = clock.lap()
    return [
        done if isinstance(done, Exception) else denoised(chunk, done, spent, len(pairs))
        for (_, chunk), done in zip(pairs, outcomes, strict=True)
    ]
