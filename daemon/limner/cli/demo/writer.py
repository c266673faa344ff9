"""The painted video file: H.264 at the clip's size and times, with the clip's sound.

It is written beside OUT and moved there when it is whole, so a run that fails early leaves OUT as it was.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from numpy.typing import NDArray

from limner.cli.demo.clip import Clip
from limner.cli.demo.sound import Sound
from limner.cli.errors import CliError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Frames that may wait for the encoder; at the working size of 0.2 MB each.
QUEUE_FRAMES = 128
ENCODER = {"preset": "veryfast", "crf": "18"}


def check_output(out: Path, clip: Path) -> None:
    """Raise CliError unless a video can be written to `out`."""
    if out.suffix.lower() not in CONTAINERS:
        raise CliError(f"cannot write {out}: its name must end in {', '.join(CONTAINERS)}")
    if out.is_dir():
        raise CliError(f"cannot write {out}: it is a folder")
    if not out.parent.is_dir():
        raise CliError(f"cannot write {out}: there is no folder {out.parent}")
    if out.exists() and clip.exists() and out.samefile(clip):
        raise CliError(f"{out} is the clip itself; choose another name for the painted video")
    if not os.access(out.parent, os.W_OK) or (out.exists() and not os.access(out, os.W_OK)):
        raise CliError(f"no permission to write {out}")


class Writer:
    """Encodes in its own thread. `put` painted pictures in order; `finish` or `discard` ends it."""

    def __init__(self, out: Path, clip: Clip) -> None:
        """Open the file; raises CliError when it cannot be written."""
        self.out = out
        self.frames_written = 0
        self._part = out.with_name(f".{out.stem}.{os.getpid()}.part{out.suffix}")
        # 4:2:0 needs even sides.
        self._width, self._height = (max(2, side - side % 2) for side in (clip.width, clip.height))
        self._time_base = clip.time_base
        self._scaler = VideoReformatter()
        try:
            self._container = av.open(str(self._part), "w", format=CONTAINERS[out.suffix.lower()])
        except (av.error.FFmpegError, OSError) as error:
            raise CliError(f"cannot write {out}: {error.strerror}") from error
        self._stream = self._container.add_stream("libx264", rate=clip.rate, options=dict(ENCODER))
        self._set_up(clip)
        self._sound = Sound(clip.path, self._container, CONTAINERS[out.suffix.lower()])
        self._queue: queue.Queue[tuple[NDArray[np.uint8], list[tuple[int, int]]] | None]
        self._queue = queue.Queue(QUEUE_FRAMES)
        self._fault: Exception | None = None
        self._whole = False
        self._end_s = 0.0
        self._thread = threading.Thread(target=self._run, name="limner-demo-writer", daemon=True)
        self._thread.start()

    def _set_up(self, clip: Clip) -> None:
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = self._width, self._height, "yuv420p"
        context.time_base = self._time_base
        context.sample_aspect_ratio = Fraction(clip.pixel_aspect)
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709

    def put(self, pixels_HWC: NDArray[np.uint8], times: list[tuple[int, int]]) -> None:
        """Show one RGBA picture at each (pts, duration), in the clip's time base.

        Waits while the encoder is far behind; raises CliError when it failed (a full disk).
        """
        self._check()
        self._queue.put((pixels_HWC, times))

    def finish(self, *, whole: bool) -> None:
        """Write the rest, close the file and move it to its place; without a picture there is no file.

        `whole`: the clip was painted to its end, so its sound is kept to its own end as well.
        """
        self._whole = whole
        self._end_thread()
        if self._fault or not self.frames_written:
            self._part.unlink(missing_ok=True)
            self._check()
            return
        self._part.replace(self.out)

    def discard(self) -> None:
        """End without a file."""
        self._end_thread()
        self._part.unlink(missing_ok=True)

    def _check(self) -> None:
        if self._fault:
            why = getattr(self._fault, "strerror", None) or self._fault
            raise CliError(f"cannot write {self.out}: {why}") from self._fault

    def _end_thread(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        """Encode what comes until None comes; after a fault just empty the queue for `put`."""
        for pixels_HWC, times in iter(self._queue.get, None):
            if self._fault is None:
                self._guarded(partial(self._encode, pixels_HWC, times))
        if self._fault is None and self.frames_written:
            self._guarded(self._finish_streams)
        self._guarded(self._sound.close)
        self._guarded(self._container.close)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._fault = self._fault or error

    def _finish_streams(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._sound.finish(None if self._whole else self._end_s)

    def _encode(self, pixels_HWC: NDArray[np.uint8], times: list[tuple[int, int]]) -> None:
        frame = self._scaler.reformat(
            av.VideoFrame.from_ndarray(pixels_HWC, "rgba"),
            self._width,
            self._height,
            "yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        for pts, duration in times:
            frame.pts, frame.duration, frame.time_base = pts, duration, self._time_base
            self._end_s = float((pts + duration) * self._time_base)
            self._sound.until(float(pts * self._time_base))
            self._container.mux(self._stream.encode(frame))
            self.frames_written += 1
