"""Clips for tests: every frame has its own grey, so that a painted file tells which frame is shown when."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

SOUND_RATE = 44100
DARKEST, BRIGHTEST = 40, 220


def grey_of(index: int, count: int) -> int:
    """The grey of frame `index` out of `count`."""
    return DARKEST + round((BRIGHTEST - DARKEST) * index / max(1, count - 1))


def write_clip(
    path: Path,
    *,
    size: tuple[int, int] = (96, 64),
    rate: Fraction | int = 30,
    frames: int = 12,
    sound: str | None = None,
    times: list[int] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
) -> Path:
    """Write a clip; `times` are presentation times in ms (a varying rate), `sound` an audio codec."""
    with av.open(str(path), "w") as container:
        picture = cast(av.VideoStream, container.add_stream(codec, rate=rate))
        picture.codec_context.width, picture.codec_context.height = size
        picture.codec_context.pix_fmt = pixels
        if times is not None:
            picture.codec_context.time_base = Fraction(1, 1000)
        track = _sound_track(container, sound) if sound else None
        for index in range(frames):
            grey = np.full((size[1], size[0], 3), grey_of(index, frames), np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, "rgb24")
            frame.pts = index if times is None else times[index]
            if times is not None:
                frame.time_base = Fraction(1, 1000)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if track is not None:
            _write_sound(container, track, seconds=frames / float(rate))
    return path


def write_sound_only(path: Path) -> Path:
    """Write a file with sound and no picture."""
    with av.open(str(path), "w") as container:
        _write_sound(container, _sound_track(container, "aac"), seconds=0.5)
    return path


def _sound_track(container: av.container.OutputContainer, codec: str) -> av.AudioStream:
    return cast(av.AudioStream, container.add_stream(codec, rate=SOUND_RATE, layout="mono"))


def _write_sound(container: av.container.OutputContainer, track: av.AudioStream, *, seconds: float) -> None:
    count = int(SOUND_RATE * seconds)
    tone = (np.sin(np.arange(count) * 2 * np.pi * 440 / SOUND_RATE) * 8000).astype(np.int16)
    resampler = av.AudioResampler(track.codec_context.format, "mono", SOUND_RATE, frame_size=1024)
    frame = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(track.encode(piece))
    container.mux(track.encode(None))


@dataclass(frozen=True)
class Seen:
    """What is in a video file."""

    size: tuple[int, int]
    codec: str
    pixel_format: str
    rate: Fraction
    greys: list[int]
    times_s: list[float]
    sound_codec: str | None
    sound_s: float


def read_clip(path: Path) -> Seen:
    """Decode all of a file."""
    with av.open(str(path)) as container:
        picture = container.streams.video[0]
        greys, times = [], []
        for frame in container.decode(picture):
            greys.append(round(float(np.mean(frame.to_ndarray(format="gray")))))
            times.append(frame.time)
        size, rate = (picture.codec_context.width, picture.codec_context.height), picture.average_rate
        codec, pixel_format = picture.codec_context.name, picture.codec_context.pix_fmt
    with av.open(str(path)) as container:
        tracks = container.streams.audio
        sound_codec = tracks[0].codec_context.name if tracks else None
        samples = sum(frame.samples for frame in container.decode(tracks[0])) if tracks else 0
    assert rate is not None
    return Seen(
        size=size,
        codec=codec,
        pixel_format=str(pixel_format),
        rate=rate,
        greys=greys,
        times_s=times,
        sound_codec=sound_codec,
        sound_s=samples / SOUND_RATE,
    )
