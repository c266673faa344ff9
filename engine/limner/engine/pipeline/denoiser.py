"""The denoising stage of a stream whose denoiser is spread over ranks. Frames are those of one process.

As with `stream_batch=False` there, for what a forward has for its shape: one row. Ranks are kept busy by
several chunks on their way instead, so that the output does not lag behind.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, wait

from torch import Tensor

from limner.engine.dit.together import Rows
from limner.engine.flights import Texts, flights_state, restored_flights
from limner.engine.noise import NoiseSource
from limner.engine.pipeline.courses import Course
from limner.engine.pipeline.keeping import give_back, kept
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
        self._late: list[NoisedChunk] = []
        """On their way in the state that it was restored from, newest first, until they go on."""
        self._over: Callable[[], object] = lambda: None

    def begin(self, chunk: NoisedChunk, ready: Mark | None = None) -> Future[list[CleanChunk]]:
        """Take one chunk in, and do not wait for it. See `Ring.denoise`.

        The first one after `restore` comes with those that were on their way in the state.
        """
        ring, course = self._there()
        late = self._resumed(ring, course)
        self._begun = begun = ring.denoise(course, chunk, ready)
        return _joined([*late, begun]) if late else begun

    def push(self, chunk: NoisedChunk) -> list[CleanChunk]:
        """Take one chunk in and wait for it. PipelineError when the ranks cannot go on."""
        return _ready(self.begin(chunk).result())

    def flush(self) -> list[CleanChunk]:
        """Wait for the chunks on their way. They come to those who began them, but for those of a state."""
        late = self._resumed(*self._there()) if self._late else []
        if self._begun is not None:
            wait([self._begun])
        return _ready([chunk for one in late for chunk in one.result()])

    def reset(self) -> None:
        """Forget the history; after the chunks on their way."""
        self._late = []
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

    def state(self, texts: Texts) -> StreamState:
        """As `Denoiser.state`, of what all ranks remember. PipelineError when they cannot go on."""
        if self._begun is not None:
            wait([self._begun])
        ring, course = self._there()
        return StreamState.joined({"window": kept(ring, course), "flights": flights_state(self._late, texts)})

    def restore(self, state: StreamState, texts: Texts) -> None:
        """As `Denoiser.restore`."""
        window = state.part("window")
        height, width = window.fact("latent_size", list)
        self._steps, self._latent_size, self._course = window.fact("rows", int), (height, width), None
        ring, course = self._there()
        give_back(ring, course, window)
        self._late = restored_flights(ring.first.stage.dit.device, state.part("flights"), texts)

    def decoder_state(self) -> StreamState:
        """What the decoder remembers, wherever it is. PipelineError when the ranks cannot go on."""
        ring, course = self._there()
        return ring.decoder_past(course).result()

    def restore_decoder(self, state: StreamState) -> None:
        """As `restore`, of the decoder."""
        ring, course = self._there()
        ring.decoder_past(course, state).result()

    def _resumed(self, ring: Ring, course: Course) -> list[Future[list[CleanChunk]]]:
        """Let chunks of a state go on, the oldest first."""
        late, self._late = self._late, []
        return ring.resume(course, late)[::-1] if late else []

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


def _ready(done: list[CleanChunk]) -> list[CleanChunk]:
    """Wait for their pictures."""
    for clean in done:
        if clean.decoded is not None:
            clean.decoded.ready.wait()
    return done


def _joined(parts: Sequence[Future[list[CleanChunk]]]) -> Future[list[CleanChunk]]:
    """All chunks of several futures, or the fault of the first that fails, when all are done."""
    whole: Future[list[CleanChunk]] = Future()
    missing = threading.Semaphore(len(parts) - 1)

    def end(_: object) -> None:
        if missing.acquire(blocking=False):
            return
        faults = [fault for part in parts if (fault := part.exception()) is not None]
        if faults:
            whole.set_exception(faults[0])
        else:
            whole.set_result([chunk for part in parts for chunk in part.result()])

    for part in parts:
        part.add_done_callback(end)
    return whole
