"""A lively clip made of numbers, for machines without a camera: a street at dusk that loops seamlessly."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, FPS, SECONDS = 640, 360, 30, 8
Picture = npt.NDArray[np.float32]
Colour = tuple[int, int, int]
# x, y and width, height of a box; or centre and radii of an ellipse. Pixels.
Box = tuple[float, float, float, float]


def _window(low: float, high: float, limit: int) -> slice:
    """Return the whole pixels from `low` to `high` that lie inside 0..limit."""
    return slice(int(np.clip(low, 0, limit)), int(np.clip(high, 0, limit)))


def _box(picture: Picture, box: Box, colour: Colour) -> None:
    x, y, width, height = box
    picture[_window(y, y + height, HEIGHT), _window(x, x + width, WIDTH)] = colour


def _ellipse(picture: Picture, box: Box, colour: Colour) -> None:
    x, y, rx, ry = box
    rows, columns = _window(y - ry, y + ry + 2, HEIGHT), _window(x - rx, x + rx + 2, WIDTH)
    down = np.arange(rows.start, rows.stop)[:, None]
    across = np.arange(columns.start, columns.stop)[None, :]
    picture[rows, columns][((across - x) / rx) ** 2 + ((down - y) / ry) ** 2 <= 1] = colour


def _sky() -> Picture:
    height = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    top, low = np.array([40, 60, 130], np.float32), np.array([250, 170, 110], np.float32)
    sky = top + (low - top) * np.clip(height * 1.6, 0, 1)
    return np.repeat(sky, WIDTH, axis=1)


def _house(picture: Picture, x: float, number: int) -> None:
    """One house of a row; `number` decides its size, colour and lit windows."""
    random = np.random.default_rng(number)
    width, height = 70 + 40 * random.random(), 90 + 90 * random.random()
    wall = tuple(int(v) for v in random.integers(60, 190, 3))
    _box(picture, (x, 270 - height, width, height), (wall[0], wall[1], wall[2]))
    for row in range(int(height // 30)):
        for column in range(int(width // 25)):
            lit = random.random() < 0.6
            colour = (255, 225, 140) if lit else (45, 50, 70)
            _box(picture, (x + 8 + column * 25, 280 - height + row * 30, 14, 18), colour)


def _car(picture: Picture, x: float, y: float, colour: Colour, scale: float) -> None:
    _box(picture, (x, y, 90 * scale, 26 * scale), colour)
    _ellipse(picture, (x + 45 * scale, y, 30 * scale, 20 * scale), colour)
    _box(picture, (x + 26 * scale, y - 12 * scale, 38 * scale, 12 * scale), (190, 220, 240))
    for wheel in (20, 70):
        _ellipse(picture, (x + wheel * scale, y + 26 * scale, 10 * scale, 10 * scale), (25, 25, 30))


def _person(picture: Picture, x: float, phase: float) -> None:
    """Someone who walks by: legs, coat, face."""
    swing = 9 * np.sin(phase)
    for leg in (swing, -swing):
        _ellipse(picture, (x + leg, 318, 6, 26), (40, 45, 90))
    _ellipse(picture, (x, 272, 18, 34), (200, 50, 60))
    _ellipse(picture, (x, 226, 14, 17), (235, 190, 160))
    _ellipse(picture, (x, 214, 15, 9), (70, 40, 20))
    for eye in (-5, 5):
        _ellipse(picture, (x + eye, 225, 2.2, 2.2), (20, 20, 20))


def _row_of_houses(picture: Picture, moved: float) -> None:
    spacing, count = 128, 10
    for number in range(count):
        x = (number * spacing - moved) % (count * spacing) - spacing
        if x < WIDTH:
            _house(picture, x, number)


def frame(number: int) -> npt.NDArray[np.uint8]:
    """Return frame `number` of the loop, HEIGHT × WIDTH × 3 RGB."""
    turn = number / (FPS * SECONDS)
    picture = _sky()
    sun_x = WIDTH * (0.3 + 0.1 * np.sin(2 * np.pi * turn))
    _ellipse(picture, (sun_x, 120, 34, 34), (255, 230, 150))
    _row_of_houses(picture, 1280 * turn)
    _box(picture, (0, 270, WIDTH, 90), (85, 85, 95))
    for dash in range(12):
        _box(picture, ((dash * 107 - 2568 * turn) % 1284 - 107, 312, 50, 6), (235, 235, 220))
    _car(picture, (2 * 900 * turn) % 900 - 130, 285, (40, 120, 200), 1.0)
    _car(picture, 760 - (900 * turn + 300) % 900, 322, (235, 185, 40), 1.25)
    _person(picture, 320 + 140 * np.sin(2 * np.pi * turn), 2 * np.pi * turn * 10)
    grain = np.random.default_rng(number).normal(0, 3, (HEIGHT, WIDTH, 1))
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def write_clip(target: Path) -> Path:
    """Write the loop as H.264 to `target`, once (a few seconds), and return it."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"part-{target.name}")
    with av.open(str(part), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for number in range(FPS * SECONDS):
            picture = av.VideoFrame.from_ndarray(frame(number), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    part.rename(target)
    return target
