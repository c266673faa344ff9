"""A stream end to end as the worker runs it: frames in page-locked shared memory, painted, RGBA in memory.

What OBS writes into the input slots is there already; all after that is measured, the autoencoder included.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limner.engine.device_lanes import DeviceLanes
from limner.engine.engine import Engine
from limner.engine.overlap import OverlappedStream
from limner.engine.page_lock import PageLock
from limner.engine.types import Painted, StageTimes, StreamSettings

SLOTS = 32
PAN_PX = 5
PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Chunks one after another."""

    fps: float
    """Painted frames a second, from the first to the last chunk."""
    p50_ms: float
    """From handing a chunk's last frame over to its painted frames in memory."""
    p99_ms: float
    worst_ms: float
    chunks: int


class Rig:
    """Shared memory both ways, and the lanes of an engine. Use it in a `with`."""

    def __init__(self, engine: Engine, size: tuple[int, int], *, graphs: bool) -> None:
        """`size`: (width, height) of the pictures, pixels. `graphs`: as `Engine.open_stream` has it."""
        self.engine, (self.width, self.height), self._graphs = engine, size, graphs
        shape = (SLOTS, self.height, self.width, 4)
        self._maps = [mmap.mmap(-1, int(np.prod(shape))) for _ in range(2)]
        self.source, self.shown = (np.frombuffer(one, np.uint8).reshape(shape) for one in self._maps)
        _draw(self.source)
        self._lock = PageLock(self.source.reshape(-1), engine.device)
        self._lanes = DeviceLanes(engine.device)
        self._uploader = self._lanes.uploader
        self._told = threading.Semaphore(0)
        self._pushed: WeakKeyDictionary[OverlappedStream, int] = WeakKeyDictionary()

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lanes.close()
        self._lock.close()

    @property
    def is_locked(self) -> bool:
        """Whether frames go up by DMA."""
        return self._lock.is_locked

    def open(self, settings: StreamSettings) -> OverlappedStream:
        """A new stream on the lanes."""
        stream = self.engine.open_stream(settings, self.height, self.width, graphs=self._graphs)
        overlapped = OverlappedStream(stream, self._lanes, self._told.release)
        self._pushed[overlapped] = 0
        return overlapped

    def first_frame_ms(self, settings: StreamSettings) -> float:
        """From opening a stream to its first painted frames; n steps take n chunks, as fast as they go in."""
        began_s = time.perf_counter()
        stream = self.open(settings)
        for number in range(settings.steps if settings.stream_batch else 1):
            self._push(stream, number)
        while not self._collected(stream):
            self._wait()
        took_ms = (time.perf_counter() - began_s) * 1000
        stream.flush()
        return took_ms

    def run(self, stream: OverlappedStream, chunks: int, *, fps: float | None, most_s: float) -> Flow:
        """Paint so many chunks, for so long, at most; `fps`: as a camera brings them, None: flat out."""
        period_s = 0.0 if fps is None else stream.stream.frames_per_chunk / fps
        base = self._pushed[stream]
        handed_s: dict[int, float] = {}
        done_s: dict[int, float] = {}
        began_s = time.perf_counter()
        while len(handed_s) < chunks and time.perf_counter() < began_s + most_s:
            due_s = began_s + len(handed_s) * period_s
            while stream.is_full or time.perf_counter() < due_s:
                self._note(stream, done_s, until_s=None if stream.is_full else due_s)
            number = len(handed_s)
            handed_s[base + number] = time.perf_counter()
            self._push(stream, number)
        while stream.inside:
            self._note(stream, done_s, until_s=None)
        return _flow(handed_s, done_s, stream.stream.frames_per_chunk)

    def stages(self, settings: StreamSettings, chunks: int) -> StageTimes:
        """Median time of each stage alone: nothing overlaps."""
        stream = self.engine.open_stream(settings, self.height, self.width, graphs=self._graphs)
        times = []
        for number in range(chunks):
            painted = stream.push(self._uploader.push(self._slots(number, stream.frames_per_chunk)))
            if painted is not None:
                times.append(asdict(painted.stage_ms))
        late = times[len(times) // 2 :]  # By then all is recorded, and the window full.
        return StageTimes(**{name: float(np.median([one[name] for one in late])) for name in late[0]})

    def frames(self, count: int) -> Tensor:
        """The first frames of the source, [T, 3, H, W]."""
        return torch.from_numpy(self.source[:count, ..., :3].copy()).permute(0, 3, 1, 2).contiguous()

    def _slots(self, number: int, count: int) -> Sequence[Tensor]:
        places = [(number * count + i) % SLOTS for i in range(count)]
        return [torch.from_numpy(self.source[place]) for place in places]

    def _push(self, stream: OverlappedStream, number: int) -> None:
        stream.push(self._uploader.push(self._slots(number, stream.stream.frames_per_chunk)))
        self._pushed[stream] += 1

    def _note(self, stream: OverlappedStream, done_s: dict[int, float], *, until_s: float | None) -> None:
        self._wait(until_s)
        for painted in self._collected(stream):
            now_s = time.perf_counter()
            done_s |= {painted.chunk + i: now_s for i in range(painted.chunks)}

    def _wait(self, until_s: float | None = None) -> None:
        timeout_s = PATIENCE_S if until_s is None else max(0.0, until_s - time.perf_counter())
        if not self._told.acquire(timeout=timeout_s) and until_s is None:
            raise TimeoutError(f"nothing was painted for {PATIENCE_S:g} s")

    def _collected(self, stream: OverlappedStream) -> list[Painted]:
        """What is painted, written where OBS would read it."""
        done = stream.collect()
        for painted in done:
            assert painted.rgba_THW4 is not None
            for number, frame_HW4 in enumerate(painted.rgba_THW4.numpy()):
                np.copyto(self.shown[number], frame_HW4)
        return done


def _flow(handed_s: dict[int, float], done_s: dict[int, float], frames: int) -> Flow:
    """Of the chunks that came out; a stream batch keeps the last ones."""
    both = sorted(handed_s.keys() & done_s.keys())
    ms = np.array([(done_s[chunk] - handed_s[chunk]) * 1000 for chunk in both])
    took_s = done_s[both[-1]] - done_s[both[0]]
    return Flow(
        fps=round(frames * (len(both) - 1) / max(took_s, 1e-9), 2),
        p50_ms=round(float(np.percentile(ms, 50)), 2),
        p99_ms=round(float(np.percentile(ms, 99)), 2),
        worst_ms=round(float(ms.max()), 2),
        chunks=len(both),
    )


def _draw(source_SHW4: NDArray[np.uint8]) -> None:
    """A picture with structure that pans: ordinary motion."""
    _, height, width, _ = source_SHW4.shape
    y_H1, x_1W = np.mgrid[0:height, 0:1][0], np.mgrid[0:1, 0:width][1]
    red_HW = np.broadcast_to(127 + 120 * np.sin(2 * np.pi * 3 * x_1W / width), (height, width))
    green_HW = np.broadcast_to(127 + 120 * np.cos(2 * np.pi * 2 * y_H1 / height), (height, width))
    blue_HW = ((x_1W // 16 + y_H1 // 16) % 2) * 200
    picture_HW4 = np.stack([red_HW, green_HW, blue_HW, np.full((height, width), 255)], -1).astype(np.uint8)
    for number, slot_HW4 in enumerate(source_SHW4):
        slot_HW4[:] = np.roll(picture_HW4, number * PAN_PX, axis=1)
