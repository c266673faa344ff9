"""The denoising stage of a stream whose denoiser is spread over ranks. Frames are those of one process.

As with `stream_batch=False` there, for what a forward has for its shape: one row. Ranks are kept busy by
several chunks on their way instead, so that the output does not lag behind.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from typing import NoReturn

from torch import Tensor

from limner.engine.dit.together import Rows
from limner.engine.errors import StateError
from limner.engine.flights import Texts
from limner.engine.noise import NoiseSource
from limner.engine.pipeline.courses import Course
from limner.engine.pipeline.ring import PipelineError, Ring
from limner.engine.queues import Mark
from limner.engine.state import StreamState
from limner.engine.types import CleanChunk, NoisedChunk


class PipelinedDenoiser:
    """One stream's way through the ring. Implements `AnyDenoiser`; for one thread at a time.

    Where the ranks fail and others take over, it goes on there, see `Ring.open`.
    """

    def __init__(
        self, ring_of: Callable[[], Ring], noise: NoiseSource, *, steps: int, latent_size: tuple[int, int]
    ) -> None:
        """`ring_of`: gives the ring that is in force."""
        self._ring_of, self._noise = ring_of, noise
        self._steps, self._latent_size = steps, latent_size
        self._ring: Ring | None = None
        self._course: Course | None = None
        self._begun: Future[list[CleanChunk]] | None = None
        self._over: Callable[[], object] = lambda: None

    def begin(self, chunk: NoisedChunk, ready: Mark | None = None) -> Future[list[CleanChunk]]:
        """Take one chunk in, and do not wait for it. See `Ring.denoise`."""
        ring, course = self._there()
        self._begun = ring.denoise(course, chunk, ready)
        return self._begun

    def push(self, chunk: NoisedChunk) -> list[CleanChunk]:
        """Take one chunk in and wait for it. PipelineError when the ranks cannot go on."""
        done = self.begin(chunk).result()
        for clean in done:
            if clean.decoded is not None:
                clean.decoded.ready.wait()
        return done

    def flush(self) -> list[CleanChunk]:
        """Wait for the chunks on their way. They come to those who began them, so nothing is left to give."""
        if self._begun is not None:
            wait([self._begun])
        return []

    def reset(self) -> None:
        """Forget the history; after the chunks on their way."""
        self.flush()
        if self._ring is None or self._course is None:
            return
        try:
            self._ring.reset(self._course).result()
        except PipelineError:
            self._course = None  # The next ring has nothing to remember.

    def pushing(self, chunk: NoisedChunk) -> Generator[Rows, Tensor, list[CleanChunk]]:
        """As `push`: it shares no forwards."""
        yield from ()
        return self.push(chunk)

    def state(self, texts: Texts) -> NoReturn:
        """StateError: what it remembers is on several devices."""
        raise StateError("the state of a stream over several ranks cannot be kept; open it on one device")

    def restore(self, state: StreamState, texts: Texts) -> NoReturn:
        """StateError: as `state`."""
        self.state(texts)

    def _there(self) -> tuple[Ring, Course]:
        ring = self._ring_of()
        if ring is not self._ring or self._course is None:
            self._over()
            past = self._course
            steps, size = self._steps, self._latent_size
            if past is not None:
                steps, size = past.window.rows, past.window.latent_size
            course = ring.open(self._noise, steps=steps, latent_size=size, past=past)
            self._ring, self._course = ring, course
            self._over = weakref.finalize(self, ring.shut, course)
        return ring, self._course
