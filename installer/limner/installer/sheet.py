"""The before/after contact sheet: for each style, moments of the source beside what was painted of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Picture = npt.NDArray[np.uint8]
CELL_WIDTH, LABEL_HEIGHT, GAP = 320, 22, 4
_SKETCH_WIDTH, _SKETCH_HEIGHT = 64, 36
# A clip in a loop does not start again to the frame: look this far around the frame that the clock names.
_NEAR_FRAMES = 8


@dataclass(frozen=True, kw_only=True)
class Row:
    """One style: pairs of source and painted pictures."""

    label: str
    pairs: tuple[tuple[Picture, Picture], ...]


def _cell(frame: av.VideoFrame) -> Picture:
    height = CELL_WIDTH * frame.height // frame.width
    return np.asarray(frame.reformat(CELL_WIDTH, height, "rgb24").to_ndarray(), dtype=np.uint8)


def frames_at(video: Path, times_s: Sequence[float]) -> list[Picture]:
    """Return the frames shown at the given times (ascending, s from the start), CELL_WIDTH wide, RGB."""
    wanted, found = list(times_s), []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            while wanted and frame.time is not None and frame.time >= wanted[0]:
                found.append(_cell(frame))
                wanted.pop(0)
            if not wanted:
                break
    return found


def duration_s(video: Path) -> float:
    """Return the time of the last packet, s (a recording that was cut off has no duration of its own)."""
    last = 0.0
    with av.open(str(video)) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None and packet.time_base is not None:
                last = max(last, float(packet.pts * packet.time_base))
    return last


def fps_of(video: Path) -> float:
    """Return the frames per second of a video."""
    with av.open(str(video)) as container:
        return float(container.streams.video[0].average_rate or 30)


def height_for(video: Path, width: int) -> int:
    """Return the even height at which a video is `width` pixels wide without being stretched."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        return round(width * stream.height / stream.width / 2) * 2


def all_frames(video: Path) -> list[Picture]:
    """Return every frame of a short clip, CELL_WIDTH wide, RGB."""
    with av.open(str(video)) as container:
        return [_cell(frame) for frame in container.decode(video=0)]


def _structure(picture: Picture) -> npt.NDArray[np.float32]:
    """Return the edges of a small grey copy, flat and normalised: painting keeps them."""
    size = (_SKETCH_WIDTH, _SKETCH_HEIGHT)
    small = Image.fromarray(picture).convert("L").resize(size, Image.Resampling.BOX)
    down, across = np.gradient(np.asarray(small, dtype=np.float32))
    edges = np.hypot(down, across).ravel()
    edges -= edges.mean()
    return np.asarray(edges / (np.linalg.norm(edges) + 1e-6), dtype=np.float32)


def sources_of(
    painted: Sequence[Picture], times_s: Sequence[float], sources: Sequence[Picture], fps: float
) -> list[Picture]:
    """Return for each painted picture the frame of the looping clip that it was painted from.

    Recording and clip run at the same speed from an unknown start, and painting takes its time: the start at
    which all pictures together are most like their frames is the right one.
    """
    likeness = np.stack([_structure(p) for p in painted]) @ np.stack([_structure(s) for s in sources]).T
    count = len(sources)
    offsets = np.round(np.asarray(times_s) * fps).astype(int)
    near = np.max([np.roll(likeness, step, axis=1) for step in range(-2, 3)], axis=0)
    rows = np.arange(len(painted))
    totals = [near[rows, (offsets + start) % count].sum() for start in range(count)]
    named = offsets + int(np.argmax(totals))
    window = np.arange(-_NEAR_FRAMES, _NEAR_FRAMES + 1)
    chosen = []
    for row in rows:
        candidates = (named[row] + window) % count
        chosen.append(sources[candidates[int(np.argmax(likeness[row, candidates]))]])
    return chosen


def draw(rows: Sequence[Row], target: Path) -> None:
    """Write the contact sheet: a labelled row a style; source, painted, source, painted, …"""
    pairs = max(len(row.pairs) for row in rows)
    cell_height = rows[0].pairs[0][0].shape[0]
    row_height = LABEL_HEIGHT + cell_height + GAP
    size = (GAP + 2 * pairs * (CELL_WIDTH + GAP), GAP + len(rows) * row_height)
    sheet = Image.new("RGB", size, (24, 24, 28))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for number, row in enumerate(rows):
        top = GAP + number * row_height
        for column, picture in enumerate(picture for pair in row.pairs for picture in pair):
            left = GAP + column * (CELL_WIDTH + GAP)
            label = row.label if column % 2 else "source"
            pen.text((left + 2, top + 2), label, fill=(235, 235, 235), font=font)
            sheet.paste(Image.fromarray(picture), (left, top + LABEL_HEIGHT))
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, optimize=True)
