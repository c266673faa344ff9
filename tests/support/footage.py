"""Endless footage that does not come round: what a long stream is fed with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tests.support.pictures import CLIPS, real_clip

from limner.pocket.data import make_clip
from limner.pocket.look import Frames

MADE_CLIPS = 4
MADE_FRAMES = 64
SHORTEST, LONGEST = 24, 96


def endless_footage(size: tuple[int, int], *, fade: int, seed: int = 0) -> Iterator[Frames]:
    """Frames [T, H, W, 3], a multiple of 4 at a time, for ever: the same ones for the same seed.

    Stretches of real and made clips in random order, forwards or backwards, mirrored or not, each faded into
    the one before over `fade` frames, so that only the real clips' own cuts are cuts.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    pool = [real_clip(name, 250, size) for name in CLIPS]
    pool += [make_clip(seed + number, MADE_FRAMES, height, width) for number in range(MADE_CLIPS)]
    tail = _stretch(rng, pool)[:fade]
    share = (np.arange(1, fade + 1, dtype=np.float32) / (fade + 1))[:, None, None, None]
    while True:
        stretch = _stretch(rng, pool)
        mixed = tail * (1 - share) + stretch[:fade] * share
        body = np.concatenate([mixed.round().astype(np.uint8), stretch[fade:]])
        # What is kept back is faded into the next one.
        yield body[:-fade]
        tail = body[-fade:]


def _stretch(rng: np.random.Generator, pool: list[Frames]) -> Frames:
    clip = pool[rng.integers(len(pool))]
    length = min(int(rng.integers(SHORTEST // 4, LONGEST // 4 + 1)) * 4, len(clip) // 4 * 4)
    start = int(rng.integers(len(clip) - length + 1))
    stretch = clip[start : start + length]
    stretch = stretch[::-1] if rng.random() < 0.5 else stretch
    stretch = stretch[:, :, ::-1] if rng.random() < 0.5 else stretch
    return np.ascontiguousarray(stretch)
