"""The warp error, on clips whose right answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.benchmarks.warp import contrast, steps_of, warp_error

from limner.pocket.look import Frames

HEIGHT, WIDTH, FRAMES = 96, 128, 8


def scenery(seed: int = 0, height: int = 2 * HEIGHT, width: int = 2 * WIDTH) -> Frames:
    """Smooth structure of many sizes, as pictures have."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells in (8, 16, 32):
        coarse = rng.normal(size=(cells, cells, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells * 8
    return np.clip(128 + 45 * total, 0, 255).astype(np.uint8)


def pan(speed: int, picture: Frames | None = None) -> Frames:
    picture = scenery() if picture is None else picture
    return np.stack(
        [picture[20 : 20 + HEIGHT, 20 + speed * t : 20 + speed * t + WIDTH] for t in range(FRAMES)]
    )


def test_a_clip_that_only_moves_has_next_to_none() -> None:
    clip = pan(3)
    error = warp_error(clip, steps_of(clip))
    plain = float(np.sqrt(np.mean(np.diff(clip.astype(float), axis=0) ** 2)))
    assert error.rms < 1.0
    assert error.rms < 0.1 * plain


def test_flicker_added_is_found_in_its_amount() -> None:
    """Brightness up and down by 3 levels: each frame differs from the one before by 6."""
    clip = pan(3)
    steps = steps_of(clip)
    flickering = (clip.astype(int) + 3 * (-1) ** np.arange(FRAMES)[:, None, None, None]).clip(0, 255)
    error = warp_error(flickering.astype(np.uint8), steps)
    assert error.rms == pytest.approx(6, abs=0.5)
    assert error.mean_abs == pytest.approx(6, abs=0.5)
    assert min(error.rms_T) > 5


def test_a_veil_that_stands_still_before_moving_things_counts() -> None:
    """What a static noise field does to a style: the pattern stays while the picture goes on."""
    rng = np.random.default_rng(1)
    clip = pan(3)
    veiled = np.clip(clip + rng.normal(0, 8, clip.shape[1:]), 0, 255).astype(np.uint8)
    steps = steps_of(clip)
    assert warp_error(veiled, steps).rms > 8
    still = pan(0)
    veiled_still = np.clip(still + rng.normal(0, 8, clip.shape[1:]), 0, 255).astype(np.uint8)
    assert warp_error(veiled_still, steps_of(still)).rms < 0.01


def test_what_is_uncovered_is_not_measured() -> None:
    clip = np.repeat(scenery()[None, :HEIGHT, :WIDTH], FRAMES, 0).copy()
    sprite = scenery(5)[:24, :24]
    for t in range(FRAMES):
        clip[t, 30:54, 10 + 8 * t : 34 + 8 * t] = sprite
    steps = steps_of(clip)
    uncovered = np.mean([not step.valid[42, 13 + 8 * t] for t, step in enumerate(steps)])
    assert uncovered >= 0.8
    assert np.mean([step.valid[70:90, 10:110].mean() for step in steps]) > 0.95


def test_a_cut_is_left_out() -> None:
    clip = np.concatenate([pan(2), pan(2, scenery(9)[::-1])])
    steps = steps_of(clip)
    assert [bool(step.valid.any()) for step in steps] == [True] * 7 + [False] + [True] * 7
    assert warp_error(clip, steps).rms < 1.5


def test_bad_calls_are_refused() -> None:
    clip = pan(1)
    steps = steps_of(clip)
    with pytest.raises(ValueError, match="8 frames need 7 steps, not 6"):
        warp_error(clip, steps[1:])
    cut = np.stack([scenery(1)[:HEIGHT, :WIDTH], 255 - scenery(1)[:HEIGHT, :WIDTH]])
    with pytest.raises(ValueError, match="nothing to measure"):
        warp_error(cut, steps_of(cut))


def test_contrast_is_spread_inside_a_picture_and_no_cast_of_colour() -> None:
    flat = np.full((2, 8, 8, 3), (200, 20, 90), np.uint8)
    assert contrast(flat) == 0
    stripes = flat.copy()
    stripes[:, ::2] += 10
    assert contrast(stripes) == pytest.approx(5)
