"""Endless footage that does not come round: what a long stream is fed with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tests.support.pictures import CLIPS, real_clip

from limner.pocket.data import make_clip
from limner.pocket.look import Frames

MADE_CLIPS = 4
MADE_FRAMES = 64
CHUNK_FRAMES = 4
SHORTEST, LONGEST = 6, 24
"""Chunks of a stretch."""
FADE_CHUNKS = 2


def endless_footage(size: tuple[int, int], seed: int = 0) -> Iterator[Frames]:
    """Chunks [4, H, W, 3] for ever: the same ones for the same seed.

    Stretches of real and made clips in random order, forwards or backwards, mirrored or not, each faded into
    the next one, so that only the real clips' own cuts are cuts. Nothing larger than a chunk is made on the
    way: memory is watched while it runs.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    pool = [real_clip(name, 250, size) for name in CLIPS]
    pool += [make_clip(seed + number, MADE_FRAMES, height, width) for number in range(MADE_CLIPS)]
    now = _stretch(rng, pool)
    while True:
        after = _stretch(rng, pool)
        yield from _chunks(now)[FADE_CHUNKS:-FADE_CHUNKS]
        ending, beginning = _chunks(now)[-FADE_CHUNKS:], _chunks(after)[:FADE_CHUNKS]
        for number, (old, new) in enumerate(zip(ending, beginning, strict=True)):
            yield faded(old, new, done=number / FADE_CHUNKS, until=(number + 1) / FADE_CHUNKS)
        now = after


def faded(old: Frames, new: Frames, *, done: float, until: float) -> Frames:
    """A chunk that goes from `old` to `new`: from the share `done` up to just before the share `until`."""
    steps = len(new)
    share = done + (until - done) * (np.arange(1, steps + 1, dtype=np.float32) / (steps + 1))
    mixed = old + (new.astype(np.float32) - old) * share[:, None, None, None]
    return np.asarray(mixed.round(), np.uint8)


def _chunks(stretch: Frames) -> list[Frames]:
    return [stretch[start : start + CHUNK_FRAMES] for start in range(0, len(stretch), CHUNK_FRAMES)]


def _stretch(rng: np.random.Generator, pool: list[Frames]) -> Frames:
    """A view, no copy."""
    clip = pool[rng.integers(len(pool))]
    chunks = min(int(rng.integers(SHORTEST, LONGEST + 1)), len(clip) // CHUNK_FRAMES)
    length = chunks * CHUNK_FRAMES
    start = int(rng.integers(len(clip) - length + 1))
    stretch = clip[start : start + length]
    stretch = stretch[::-1] if rng.random() < 0.5 else stretch
    return stretch[:, :, ::-1] if rng.random() < 0.5 else stretch
