"""A short version of tests/benchmarks/motion.py, and its measures on cases whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.benchmarks.ghosts import detail_kept, ghost_share
from tests.benchmarks.motion import HALF_FRAMES, Halves, broken_bars, measure, still_and_fast
from tests.support.pictures import pocket

from limner.engine.types import StreamSettings
from limner.pocket.look import Frames
from limner.pocket.teachers import teach


@pytest.fixture(scope="module")
def fast() -> Frames:
    return still_and_fast((160, 96))[HALF_FRAMES:]


@pytest.mark.parametrize("back", [1, 4, 8])
@pytest.mark.parametrize("put_in", [0.0, 0.1, 0.3])
def test_a_ghost_is_found_in_its_amount(fast: Frames, back: int, put_in: float) -> None:
    reference = teach(fast, "oil painting")
    earlier = np.concatenate([reference[:1].repeat(back, 0), reference[:-back]])
    mixed = ((1 - put_in) * reference.astype(float) + put_in * earlier).round().astype(np.uint8)
    assert ghost_share(mixed, reference, fast) == pytest.approx(put_in, abs=0.01)


def test_a_wrong_tone_noise_or_too_little_paint_is_no_ghost(fast: Frames) -> None:
    reference = teach(fast, "oil painting").astype(float)
    rng = np.random.default_rng(1)
    for other in (
        0.6 * reference + 40,
        reference + rng.normal(0, 10, reference.shape),
        0.5 * reference + 0.5 * fast,
    ):
        clip = other.clip(0, 255).round().astype(np.uint8)
        assert abs(ghost_share(clip, reference.astype(np.uint8), fast)) < 0.02


def test_detail_is_the_references_own_and_not_noise(fast: Frames) -> None:
    flat = np.full_like(fast, 128)
    noisy = (fast + np.random.default_rng(1).normal(0, 12, fast.shape)).clip(0, 255).astype(np.uint8)
    assert detail_kept(fast, fast) == pytest.approx(1)
    assert detail_kept(flat, fast) == pytest.approx(0, abs=1e-6)
    assert detail_kept(noisy, fast) == pytest.approx(1, abs=0.03)
    half = (128 + (fast.astype(float) - 128) / 2).round().astype(np.uint8)
    assert detail_kept(half, fast) == pytest.approx(0.5, abs=0.01)


def test_the_clip_has_a_still_and_a_fast_half() -> None:
    clip = still_and_fast((160, 96)).astype(float)
    change_T = np.sqrt(np.mean(np.diff(clip, axis=0) ** 2, axis=(1, 2, 3)))
    assert change_T[: HALF_FRAMES - 1].max() < 3
    assert change_T[HALF_FRAMES:].min() > 15


def test_too_short_a_clip_is_refused(fast: Frames) -> None:
    with pytest.raises(ValueError, match="8 frames are too few"):
        ghost_share(fast[:8], fast[:8], fast[:8])


@pytest.mark.parametrize("style", ["neon", "noir", "sepia"])
def test_sharper_when_still_and_less_of_earlier_frames_when_fast(style: str) -> None:
    clip = still_and_fast((160, 96), half_frames=32)
    on = StreamSettings(prompt=style, strength=0.5, cuts=False)
    off = measure(pocket(), clip, replace(on, motion_aware=False))
    assert broken_bars(style, off, measure(pocket(), clip, on)) == []


def halves(**figures: float) -> Halves:
    good = {
        "strength": 0.5,
        "still_detail": 0.8,
        "still_sharpness": 9.0,
        "fast_ghost": 0.1,
        "fast_detail": 0.7,
    }
    return Halves(motion_aware=True, low=0.8, high=1.2, **(good | figures))


def test_each_bar_can_be_broken() -> None:
    off = halves()
    assert broken_bars("neon", off, halves(still_detail=0.9, fast_ghost=0.05)) == []
    assert len(broken_bars("neon", off, halves(still_detail=0.7, fast_ghost=0.05))) == 1
    assert len(broken_bars("neon", off, halves(still_detail=0.9, fast_ghost=0.1))) == 1
    assert len(broken_bars("neon", off, halves(still_detail=0.801, fast_ghost=0.0999))) == 2, "mere chance"
    assert len(broken_bars("neon", off, off)) == 2
    none = halves(fast_ghost=-0.1)
    assert broken_bars("neon", none, halves(still_detail=0.9, fast_ghost=-0.1)) == []
    assert len(broken_bars("neon", none, halves(still_detail=0.9, fast_ghost=-0.11))) == 1
    assert len(broken_bars("neon", none, halves(still_detail=0.9, fast_ghost=0.11))) == 1
    assert len(broken_bars("neon", off, halves(still_detail=float("nan"), fast_ghost=0.0))) == 1
