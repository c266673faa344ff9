"""Overlap over ranks: chunks are encoded and finished on one lane, denoised in the ring, and decoded.

Implements `AnyLanes`, so that whoever paints does it as on one device. Each chunk comes out as soon as it has
been round and is decoded, wherever that is (see decode_place.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch
from torch import Tensor

from limner.engine.clock import Span
from limner.engine.device_lanes import tensors_in
from limner.engine.frames import Uploaded, Uploader
from limner.engine.painting import Painting
from limner.engine.pipeline.denoiser import PipelinedDenoiser
from limner.engine.pipeline.engine import PipelineEngine
from limner.engine.pipeline.timing import WorkClock
from limner.engine.queues import Mark, queues_of
from limner.engine.stream import Stream, denoised
from limner.engine.types import CleanChunk, NoisedChunk, Painted

Result = TypeVar("Result")


class PipelineLanes:
    """The lanes of an engine over ranks, for all its streams. Close it, or use it in a `with`."""

    most_together = 1

    def __init__(self, engine: PipelineEngine, threads: int = 1) -> None:
        """`threads`: CPU threads of the lane that codes, and of the one that drives the ring, each."""
        self._engine = engine
        self._encoding, _, self._decoding = queues_of(engine.device)
        self._on_device = engine.device.type == "cuda"
        self.uploader = Uploader(engine.device) if self._on_device else None
        """Of the thread that pushes, for all streams, where there is a device to bring frames to."""
        self._coding = ThreadPoolExecutor(
            1, "limner-coding", initializer=torch.set_num_threads, initargs=(threads,)
        )
        self._finishing = ThreadPoolExecutor(1, "limner-finishing")
        self._flying: set[Future[list[CleanChunk]]] = set()
        self._landed = threading.Condition()
        self._landed_s = 0.0
        self._finish_ms = 0.0
        """That the last chunk took to be steadied and scaled."""
        engine.ring.do(lambda: torch.set_num_threads(threads))

    @property
    def most_inside(self) -> int:
        """One a rank, one that is encoded, and where that is done beside it, one that is decoded."""
        size = self._engine.ring.first.size
        return size + (1 if size == 1 else 2)

    def __enter__(self) -> PipelineLanes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what was begun and end all threads; the ring goes on."""
        self._coding.submit(lambda: None).result()  # What was pushed is in the ring from here on.
        with self._landed:
            self._landed.wait_for(lambda: not self._flying)
        self._coding.shutdown()
        self._finishing.shutdown()

    def paint(
        self, stream: Stream, frames_TCHW: Tensor | Uploaded, painted: Future[Painted | None]
    ) -> Future[Any]:
        """As `AnyLanes` says. On a device, what is painted comes with its RGBA on the host."""
        here = self._encoding.mark_of_caller()
        return self._coding.submit(self._encode, stream, frames_TCHW, here, painted)

    def share(self, most: int) -> bool:
        """As `AnyLanes` says: each goes alone."""
        return False

    def alone(self, work: Callable[[], Result]) -> Result:
        """As `AnyLanes` says."""
        return self._coding.submit(self._alone, work).result()

    def between(self, work: Callable[[], Result]) -> Result:
        """As `AnyLanes` says."""
        return self._coding.submit(self._between, work).result()

    def _encode(
        self, stream: Stream, frames: Tensor | Uploaded, here: Mark, painted: Future[Painted | None]
    ) -> None:
        # What is finished on this lane is rank 0's work as well, wherever decoding is.
        work = WorkClock(self._engine.device, more_ms=self._finish_ms)
        try:
            self._encoding.after(here)
            self._encoding.use(tensors_in(frames))
            with self._encoding:
                chunk = stream.encode(frames)
            denoiser = stream.denoiser
            assert isinstance(denoiser, PipelinedDenoiser), "a stream of another engine"
            done = denoiser.begin(chunk, self._encoding.mark())
        except BaseException as fault:  # Whatever it is, it belongs to who waits for the chunk.
            painted.set_exception(fault)
            return
        self._engine.note_encoded(chunk, work)
        with self._landed:
            self._flying.add(done)
        entered_s = time.perf_counter()
        done.add_done_callback(lambda clean: self._denoised(stream, chunk, clean, entered_s, painted))

    def _denoised(
        self,
        stream: Stream,
        chunk: NoisedChunk,
        clean: Future[list[CleanChunk]],
        entered_s: float,
        painted: Future[Painted | None],
    ) -> None:
        """On the thread that decodes, or waits for pictures: it must not be held up."""
        if (fault := clean.exception()) is not None:
            painted.set_exception(fault)
        else:
            self._coding.submit(self._finish, stream, (chunk, clean.result(), entered_s), painted)
        with self._landed:
            self._flying.discard(clean)
            self._landed.notify_all()

    def _finish(
        self,
        stream: Stream,
        what: tuple[NoisedChunk, list[CleanChunk], float],
        painted: Future[Painted | None],
    ) -> None:
        chunk, clean, entered_s = what
        work = WorkClock(self._engine.device)
        try:
            out = denoised(chunk, clean, self._denoising_span(clean, entered_s))
            for one in clean:
                if one.decoded is not None:
                    self._decoding.after(one.decoded.ready)
            self._decoding.use(tensors_in(out))
            with self._decoding:
                painting = stream.painting(out, download=self._on_device)
        except BaseException as fault:  # As above.
            painted.set_exception(fault)
            return
        self._finish_ms = work.ms() or 0.0
        self._finishing.submit(_hand_out, painting, painted)

    def _denoising_span(self, clean: list[CleanChunk], entered_s: float) -> Span:
        """What a chunk cost: with others on their way, not how long it was on its way itself."""
        landed_s = max(one.decoded.denoised_s for one in clean if one.decoded is not None)
        spent = Span(max(entered_s, self._landed_s), landed_s)
        self._landed_s = landed_s
        return spent

    def _alone(self, work: Callable[[], Result]) -> Result:
        self._encoding.after(self._decoding.mark())
        with self._encoding:
            result = work()
        self._decoding.after(self._encoding.mark())
        return result

    def _between(self, work: Callable[[], Result]) -> Result:
        wait(list(self._flying))
        return self._engine.ring.do(work).result()


def _hand_out(painting: Painting | None, painted: Future[Painted | None]) -> None:
    """Wait for the device, and hand out."""
    try:
        result = None if painting is None else painting.painted()
    except BaseException as fault:  # A broken device shows here first.
        painted.set_exception(fault)
    else:
        painted.set_result(result)
