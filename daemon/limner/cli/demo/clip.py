"""A video file to read: what it is, and its frames, upright, at any size.

frames_HWC: uint8 RGBA.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from limner.cli.errors import CliError

DEFAULT_RATE = Fraction(25)
# Files that do not say their colours follow this habit of all players.
HD_HEIGHT = 720
UNSPECIFIED = 2


@dataclass(frozen=True, kw_only=True)
class ClipFrame:
    """One frame of a clip. `pts` counts in the clip's time base and always grows."""

    index: int
    pts: int
    time_s: float
    picture: av.VideoFrame


class Clip:
    """An open video file; raises CliError when it is none. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = _open(path)
        self._stream = _picture_stream(self._container, path)
        self._stream.thread_type = "AUTO"
        self._scaler = VideoReformatter()
        self._frames = self._decode()
        try:
            self._first: ClipFrame | None = next(self._frames)
        except StopIteration:
            self.close()
            raise CliError(f"{path} holds no picture that can be decoded") from None
        picture = self._first.picture
        self.turns = round(picture.rotation / 90) % 4
        """Quarter turns counter-clockwise that make the picture upright."""
        self.width, self.height = self._upright(picture.width, picture.height)
        self.first_time_s = self._first.time_s

    @property
    def start_s(self) -> Fraction:
        """When the file begins on its own clock: a recording of a broadcast may begin hours in."""
        return start_of(self._container)

    @property
    def rate(self) -> Fraction:
        """Frames per second: the average where the rate varies."""
        rate = self._stream.average_rate or self._stream.guessed_rate or DEFAULT_RATE
        return min(max(Fraction(rate), Fraction(1, 100)), Fraction(1000))

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of `pts`."""
        return self._stream.time_base or 1 / DEFAULT_RATE

    @property
    def frame_count(self) -> int | None:
        """Number of frames as the file claims; None when it does not say."""
        if self._stream.frames:
            return int(self._stream.frames)
        if self._container.duration:
            return max(1, round(float(self._container.duration / av.time_base * self.rate)))
        return None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel over its height, upright."""
        aspect = self._stream.codec_context.sample_aspect_ratio or Fraction(1)
        return 1 / aspect if self.turns % 2 else aspect

    def frames(self) -> Iterator[ClipFrame]:
        """Give all frames, once."""
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._frames

    def read(self, frame: ClipFrame, width: int, height: int) -> NDArray[np.uint8]:
        """Return the frame upright at `width` × `height`, RGBA."""
        w, h = self._upright(width, height)
        picture = frame.picture
        scaled = self._scaler.reformat(
            picture,
            w,
            h,
            "rgba",
            src_colorspace=_colorspace(picture),
            interpolation=Interpolation.AREA,
            threads=1,
        )
        flat = cast(NDArray[np.uint8], scaled.to_ndarray())
        return np.ascontiguousarray(np.rot90(flat, self.turns)) if self.turns else flat

    def _upright(self, width: int, height: int) -> tuple[int, int]:
        return (height, width) if self.turns % 2 else (width, height)

    def _decode(self) -> Iterator[ClipFrame]:
        last_pts: int | None = None
        step = max(1, round(1 / (self.rate * self.time_base)))
        for index, picture in enumerate(self._pictures()):
            pts = None if picture.pts is None else picture.pts - round(self.start_s / self.time_base)
            if pts is None or (last_pts is not None and pts <= last_pts):
                pts = 0 if last_pts is None else last_pts + step
            last_pts = pts
            yield ClipFrame(index=index, pts=pts, time_s=float(pts * self.time_base), picture=picture)

    def _pictures(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                yield from packet.decode()
            except (StopIteration, av.error.EOFError):
                return
            except av.error.InvalidDataError:
                # A damaged packet costs its own frame, not the rest of the clip.
                continue

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_of(container: av.container.InputContainer) -> Fraction:
    """Return the earliest time in a file, s: what picture and sound are moved by together."""
    return Fraction(container.start_time or 0, av.time_base)


def _open(path: Path) -> av.container.InputContainer:
    if path.is_dir():
        raise CliError(f"{path} is a folder, not a video file")
    try:
        return av.open(str(path))
    except (av.error.FileNotFoundError, FileNotFoundError) as error:
        raise CliError(f"there is no file {path}") from error
    except (av.error.PermissionError, PermissionError) as error:
        raise CliError(f"no permission to read {path}") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise CliError(f"{path} is not a video file that can be read") from error


def _picture_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not moving:
        sound = ", only sound" if container.streams.audio else ""
        container.close()
        raise CliError(f"{path} has no picture{sound}")
    return moving[0]


def _colorspace(picture: av.VideoFrame) -> int | None:
    """Return what to assume where the file does not say; None: as the frame says."""
    yuv = picture.format.name.startswith(("yuv", "nv"))
    unsaid = picture.colorspace == UNSPECIFIED
    return Colorspace.ITU709 if yuv and unsaid and picture.height >= HD_HEIGHT else None
