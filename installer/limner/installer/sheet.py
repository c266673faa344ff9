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
CELL_WIDTH, CELL_HEIGHT, LABEL_HEIGHT, GAP = 320, 180, 22, 4
_SKETCH_WIDTH, _SKETCH_HEIGHT = 64, 36


@dataclass(frozen=True, kw_only=True)
class Row:
    """One style: pairs of source and painted pictures."""

    label: str
    pairs: tuple[tuple[Picture, Picture], ...]


def _cell(frame: av.VideoFrame) -> Picture:
    return np.asarray(frame.reformat(CELL_WIDTH, CELL_HEIGHT, "rgb24").to_ndarray(), dtype=np.uint8)


def frames_at(video: Path, times_s: Sequence[float]) -> list[Picture]:
    """Return the frames shown at the given times (ascending, seconds from the start), CELL size, RGB."""
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
    """Return the time of the last frame that can be decoded, s (a crashed recording has no duration)."""
    last = 0.0
    with av.open(str(video)) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None and packet.time_base is not None:
                last = max(last, float(packet.pts * packet.time_base))
    return last


def all_frames(video: Path) -> list[Picture]:
    """Return every frame of a short clip, CELL size, RGB."""
    with av.open(str(video)) as container:
        return [_cell(frame) for frame in container.decode(video=0)]


def _structure(picture: Picture) -> npt.NDArray[np.float32]:
    """Return the edges of a small grey copy, normalised: what painting keeps while it changes colours."""
    small = (
        Image.fromarray(picture).convert("L").resize((_SKETCH_WIDTH, _SKETCH_HEIGHT), Image.Resampling.BOX)
    )
    grey = np.asarray(small, dtype=np.float32)
    down, across = np.gradient(grey)
    edges = np.hypot(down, across)
    edges -= edges.mean()
    return np.asarray(edges / (np.linalg.norm(edges) + 1e-6), dtype=np.float32)


def source_of(painted: Picture, sources: Sequence[Picture]) -> Picture:
    """Return the source frame whose structure is nearest to the painted frame's.

    The clip loops and painting takes its time, so clocks do not tell; the picture itself does.
    """
    wanted = _structure(painted)
    likeness = [float((wanted * _structure(source)).sum()) for source in sources]
    return sources[int(np.argmax(likeness))]


def draw(rows: Sequence[Row], target: Path) -> None:
    """Write the contact sheet: a labelled row a style; source, painted, source, painted, …"""
    pairs = max(len(row.pairs) for row in rows)
    width = GAP + 2 * pairs * (CELL_WIDTH + GAP)
    row_height = LABEL_HEIGHT + CELL_HEIGHT + GAP
    sheet = Image.new("RGB", (width, GAP + len(rows) * row_height), (24, 24, 28))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for number, row in enumerate(rows):
        top = GAP + number * row_height
        cells = [picture for pair in row.pairs for picture in pair]
        for column, picture in enumerate(cells):
            left = GAP + column * (CELL_WIDTH + GAP)
            label = row.label if column % 2 else "source"
            pen.text((left + 2, top + 2), label, fill=(235, 235, 235), font=font)
            sheet.paste(Image.fromarray(picture), (left, top + LABEL_HEIGHT))
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, optimize=True)
