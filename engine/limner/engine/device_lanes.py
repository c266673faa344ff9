"""Overlap on a device: encode, denoise and decode on queues of their own, over the chunks of all streams.

One thread hands the stages of each chunk to the device and never waits; another waits for what comes out.
The queues (CUDA streams) wait for one another on the device: chunk n + 1 is encoded and chunk n - 1 decoded
while chunk n is denoised. A tensor that goes from one queue to another is noted there, so that its memory is
not used anew before it was read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from limner.engine.dit.context import TextContext
from limner.engine.frames import Uploader
from limner.engine.painting import Painting
from limner.engine.queues import Mark, queues_of
from limner.engine.stream import Stream
from limner.engine.types import Painted

MOST_INSIDE = 3
"""One a queue."""

Result = TypeVar("Result")


class DeviceLanes:
    """The queues of an engine's device, for all its streams. Close it, or use it in a `with`."""

    most_inside = MOST_INSIDE
    most_together = 1

    def __init__(self, device: torch.device) -> None:
        self._encoding, self._denoising, self._decoding = queues_of(device)
        self.uploader = Uploader(device)
        """Of the thread that pushes: one for all streams."""
        self._submitting = ThreadPoolExecutor(1, "limner-submitting")
        self._finishing = ThreadPoolExecutor(1, "limner-finishing")
        self._last_text: TextContext | None = None

    def __enter__(self) -> DeviceLanes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what was begun and end both threads."""
        self._submitting.shutdown()
        self._finishing.shutdown()

    def paint(self, stream: Stream, frames: Any, painted: Future[Painted | None]) -> Future[Any]:
        """As `AnyLanes` says. What is painted comes with its RGBA on the host."""
        encoded: Future[None] = Future()
        here = self._encoding.mark_of_caller()
        self._submitting.submit(self._submit, stream, frames, here, encoded, painted)
        return encoded

    def share(self, most: int) -> bool:
        """As `AnyLanes` says: each goes alone."""
        return False

    def alone(self, work: Callable[[], Result]) -> Result:
        """As `AnyLanes` says; no queue overtakes it."""
        return self._submitting.submit(self._alone, work).result()

    def between(self, work: Callable[[], Result]) -> Result:
        """As `AnyLanes` says: no queue overtakes it, and it overtakes none."""
        return self.alone(work)

    def _submit(
        self,
        stream: Stream,
        frames: Any,
        here: Mark,
        encoded: Future[None],
        painted: Future[Painted | None],
    ) -> None:
        try:
            painting = self._painting(stream, frames, here, encoded)
            done = self._decoding.mark()
        except BaseException as fault:  # Whatever it is, it belongs to who waits for the chunk.
            if not encoded.done():
                encoded.set_result(None)
            painted.set_exception(fault)
            return
        self._finishing.submit(_finish, [stream], painting, done, painted)

    def _painting(self, stream: Stream, frames: Any, here: Mark, encoded: Future[None]) -> Painting | None:
        encoding, denoising, decoding = self._encoding, self._denoising, self._decoding
        encoding.after(here)
        encoding.use(tensors_in(frames))
        with encoding:
            chunk = stream.encode(frames)
        encoded.set_result(None)
        denoising.after(encoding.mark())
        denoising.use(tensors_in(chunk, but=self._last_text))
        self._last_text = chunk.text
        with denoising:
            denoised = stream.denoise(chunk)
        decoding.after(denoising.mark())
        decoding.use(tensors_in(denoised))
        with decoding:
            return stream.painting(denoised, download=True)

    def _alone(self, work: Callable[[], Result]) -> Result:
        queues = (self._encoding, self._decoding)
        for queue in queues:
            self._denoising.after(queue.mark())
        with self._denoising:
            result = work()
        for queue in queues:
            queue.after(self._denoising.mark())
        return result


def _finish(
    kept: list[Stream], painting: Painting | None, done: Mark, painted: Future[Painted | None]
) -> None:
    """Wait for the device, and hand out.

    `kept`: whose memory the queues still work with. Who closes it waits for nothing; who needs its memory
    waits for `painted`.
    """
    try:
        done.wait()
        result = None if painting is None else painting.painted()
    except BaseException as fault:  # A broken device shows here first.
        kept.clear()
        painted.set_exception(fault)
    else:
        kept.clear()
        painted.set_result(result)


def tensors_in(thing: object, but: object = None) -> Iterator[Tensor]:
    """All tensors in nested dataclasses and tuples, except those in `but`."""
    if isinstance(thing, Tensor):
        yield thing
    elif thing is not None and thing is not but:
        parts: tuple[object, ...] = ()
        if isinstance(thing, tuple):
            parts = thing
        elif dataclasses.is_dataclass(thing):
            parts = tuple(getattr(thing, field.name) for field in dataclasses.fields(thing))
        for part in parts:
            yield from tensors_in(part, but)
