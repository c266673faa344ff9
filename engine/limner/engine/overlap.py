"""Overlap: the stages of successive chunks at the same time, on two lanes.

One lane encodes and decodes, the other denoises, each a thread that works off its jobs in order. While chunk
n is denoised, n - 1 is decoded and n + 1 encoded; every frame is the same as without. Two lanes of one CPU
thread each also stand a busy machine better than one lane of two threads, which wait for each other at every
product. On a device the lanes are its queues: see device_lanes.py.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Protocol, TypeVar
from weakref import ref

import torch
from torch import Tensor

from limner.engine.frames import Uploaded
from limner.engine.sharing import MOST_TOGETHER, Line, Waiting, denoise_together
from limner.engine.stream import Stream
from limner.engine.types import Denoised, Painted, StreamSettings

MOST_INSIDE = 2
"""Chunks between `push` and the end of their decoding: one a lane. More would only wait, and get old."""

Result = TypeVar("Result")


class AnyLanes(Protocol):
    """Where the stages of chunks run: threads of the host, or queues of a device (see device_lanes.py)."""

    @property
    def most_inside(self) -> int:
        """Chunks of a stream between `push` and the end of their decoding."""

    def paint(
        self, stream: Stream, frames_TCHW: Tensor | Uploaded, painted: Future[Painted | None]
    ) -> Future[Any]:
        """Begin with a chunk. `painted` gets what `Stream.push` would give; the other future ends with, or
        soon after, its encoding: from then on the stream may be told of new settings."""

    @property
    def most_together(self) -> int:
        """Streams that can share a forward; 1: each goes alone."""

    def share(self, most: int) -> bool:
        """Let chunks of so many streams that wait for the denoiser anyway share a forward, 1: none.

        False where none can, or none any more: a forward of several failed.
        """

    def alone(self, work: Callable[[], Result]) -> Result:
        """Do something with streams that have no chunk on the lanes, and wait for it."""

    def between(self, work: Callable[[], Result]) -> Result:
        """Do something with the model itself, between two chunks of whatever streams, and wait for it.

        Called by the thread that pushes: chunks that it pushed before are encoded and denoised before it,
        later ones after it.
        """

    def close(self) -> None:
        """Finish what was begun and end all threads."""


def lane_threads(threads: int) -> tuple[int, int]:
    """CPU threads of the coding and of the denoising lane, of `threads` in all; each gets one at least."""
    return max(1, threads // 2), threads - threads // 2


class Lanes:
    """The two lanes of an engine on the host, for all its streams. Close it, or use it in a `with`."""

    most_inside = MOST_INSIDE
    most_together = MOST_TOGETHER

    def __init__(self, threads: int) -> None:
        """`threads`: CPU threads for both lanes together, at least 1."""
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be at least 1")
        self._line = Line()
        coding, denoising = lane_threads(threads)
        self.coding = _lane("limner-coding", coding)
        self.denoising = _lane("limner-denoising", denoising)

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what was begun and end both threads."""
        self.denoising.shutdown()
        self.coding.shutdown()

    def paint(
        self, stream: Stream, frames_TCHW: Tensor | Uploaded, painted: Future[Painted | None]
    ) -> Future[Any]:
        """As `AnyLanes` says."""
        encoded = self.coding.submit(stream.encode, frames_TCHW)
        self._line.put(Waiting(stream, encoded, painted))
        # One for each chunk; those that went along with an earlier one leave nothing to do.
        self.denoising.submit(self._denoise_next)
        return encoded

    def share(self, most: int) -> bool:
        """As `AnyLanes` says."""
        return self._line.share(most)

    def alone(self, work: Callable[[], Result]) -> Result:
        """As `AnyLanes` says: here, as nobody else uses the stream."""
        return work()

    def between(self, work: Callable[[], Result]) -> Result:
        """As `AnyLanes` says."""
        # The coding lane makes the keys of texts, so it stands still meanwhile, behind what it was given
        # before; the denoising lane waits for nothing that comes after.
        done = threading.Event()
        self.coding.submit(done.wait)
        try:
            return self.denoising.submit(work).result()
        finally:
            done.set()

    def _denoise_next(self) -> None:
        batch = self._line.take()
        for waiting, outcome in zip(batch, self._denoised(batch), strict=True):
            if isinstance(outcome, BaseException):
                waiting.painted.set_exception(outcome)
            else:
                # A lane never waits for the one that works for it.
                decoded = self.coding.submit(waiting.stream.decode, outcome)
                decoded.add_done_callback(partial(_pass_on, waiting.painted))

    def _denoised(self, batch: list[Waiting]) -> list[Denoised | BaseException]:
        try:
            if len(batch) > 1:
                pairs = [(waiting.stream, waiting.encoded.result()) for waiting in batch]
                return [*denoise_together(pairs, self._share_no_more)]
            return [waiting.stream.denoise(waiting.encoded.result()) for waiting in batch]
        except BaseException as fault:  # Whatever it is, it belongs to who waits for the chunk.
            return [fault] * len(batch)

    def _share_no_more(self, _: Exception) -> None:
        """It was said. What failed once, would fail with every chunk, and cost each the time."""
        self._line.stop_sharing()


class OverlappedStream:
    """A stream on lanes. For one thread at a time, as the stream itself; nobody else may use that meanwhile.

    `push` only hands over; what is painted waits for `collect`, and `on_painted` (called on a lane) says so.
    """

    def __init__(
        self, stream: Stream, lanes: AnyLanes, on_painted: Callable[[], None] = lambda: None
    ) -> None:
        self.stream, self.on_painted = stream, on_painted
        self._lanes = lanes
        self._room = threading.Semaphore(lanes.most_inside)
        self._inside: deque[Future[Painted | None]] = deque()
        self._encoded: Future[Any] | None = None

    @property
    def inside(self) -> int:
        """Chunks handed over and not collected, painted or not."""
        return len(self._inside)

    @property
    def is_ready(self) -> bool:
        """There is something to collect."""
        return bool(self._inside) and self._inside[0].done()

    @property
    def is_full(self) -> bool:
        """The next `push` would wait, or soon so: nothing was collected yet."""
        return len(self._inside) >= self._lanes.most_inside

    def update(self, settings: StreamSettings) -> None:
        """As `Stream.update`: from the next pushed chunk on, so it waits until the one before is encoded."""
        if self._encoded is not None:
            wait([self._encoded])
        self.stream.update(settings)

    def push(self, frames_TCHW: Tensor | Uploaded) -> None:
        """Take a chunk in, as `Stream.push` does; the frames are the lane's until the chunk is collected.

        Waits while as many chunks are on the lanes as may be. Raises FrameError as `Stream.push` does.
        """
        self.stream.check_frames(frames_TCHW)
        self._room.acquire()
        painted: Future[Painted | None] = Future()
        painted.add_done_callback(_ending(self))
        self._inside.append(painted)
        self._encoded = self._lanes.paint(self.stream, frames_TCHW, painted)

    def collect(self) -> list[Painted]:
        """What has been painted since, oldest first; never waits. Raises what a stage raised.

        But not before what was painted earlier is given: the next call raises it then.
        """
        ready: list[Painted] = []
        while self.is_ready:
            if ready and self._inside[0].exception() is not None:
                break
            painted = self._inside.popleft().result()
            ready += [] if painted is None else [painted]
        return ready

    def drain(self) -> list[Painted]:
        """Wait for the chunks on the lanes and collect. Those between their steps stay in the stream."""
        wait(self._inside)
        return self.collect()

    def flush(self) -> list[Painted]:
        """Finish all, those between their steps too; the stream can go on after."""
        ready = self.drain()
        late = self._lanes.alone(self.stream.flush)
        return ready if late is None else [*ready, late]

    def reset(self) -> None:
        """Forget all, what is on the lanes too; the next chunk is the first of a stream."""
        wait(self._inside)
        self._inside.clear()
        self._lanes.alone(self.stream.reset)

    def end(self) -> None:
        """For a lane: a chunk is painted."""
        self._room.release()
        self.on_painted()


def _ending(stream: OverlappedStream) -> Callable[[object], None]:
    """Tells the stream of the end of a chunk, and does not keep it: who closes one does not wait for that."""
    weak = ref(stream)

    def end(_: object) -> None:
        if (still_there := weak()) is not None:
            still_there.end()

    return end


def _pass_on(painted: Future[Painted | None], done: Future[Painted | None]) -> None:
    if (fault := done.exception()) is not None:
        painted.set_exception(fault)
    else:
        painted.set_result(done.result())


def _lane(name: str, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, name, initializer=torch.set_num_threads, initargs=(threads,))
