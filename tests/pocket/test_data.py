from __future__ import annotations

import itertools

import numpy as np
import pytest

from limner.pocket.data import make_clip


@pytest.mark.parametrize("seed", range(6))
def test_the_same_seed_gives_the_same_bytes(seed: int) -> None:
    first, again = make_clip(seed, 6, 48, 80), make_clip(seed, 6, 48, 80)
    assert first.shape == (6, 48, 80, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)


def test_seeds_differ_and_most_clips_move() -> None:
    clips = [make_clip(seed, 6, 48, 80).astype(float) for seed in range(16)]
    assert all(np.abs(a - b).mean() > 1 for a, b in itertools.pairwise(clips))
    assert sum(np.abs(np.diff(clip, axis=0)).mean() > 0.5 for clip in clips) >= 8
