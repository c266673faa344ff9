"""Pocket is a diffusion model that obeys its controls, not a filter in disguise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.pocket.real_clips import POCKET, pocket, real_clip

from limner.engine.types import PromptShare, StreamSettings
from limner.pocket.look import paint
from limner.pocket.teachers import STYLES

LARGEST_BYTES = 16_000_000


def _rms(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


def test_the_weights_fit_in_the_box() -> None:
    assert (POCKET / "weights.safetensors").stat().st_size <= LARGEST_BYTES


def test_the_same_seed_paints_the_same() -> None:
    clip = real_clip("bikes.mp4", 12)
    settings = StreamSettings(prompt="oil painting", strength=0.6, seed=5)
    assert np.array_equal(paint(pocket(), clip, settings), paint(pocket(), clip, settings))


def test_the_seed_matters_more_at_higher_strength() -> None:
    clip = real_clip("bikes.mp4", 16)

    def spread(strength: float) -> float:
        made = [
            paint(pocket(), clip, StreamSettings(prompt="neon", strength=strength, seed=seed))
            for seed in (1, 2)
        ]
        return _rms(*made)

    low, high = spread(0.3), spread(0.95)
    assert high > 3
    assert high > 3 * low


def test_colour_words_colour() -> None:
    source = real_clip("bikes.mp4", 12)

    def mean_rgb(prompt: str) -> NDArray[np.float64]:
        painted = paint(pocket(), source, StreamSettings(prompt=prompt, strength=0.5))
        return np.asarray(painted[4:].mean((0, 1, 2)))

    assert mean_rgb("red")[0] - mean_rgb("blue")[0] > 15
    assert mean_rgb("blue")[2] - mean_rgb("red")[2] > 15
    assert mean_rgb("bright").mean() - mean_rgb("dark").mean() > 30


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("oil painting", "cyanotype"),
        ("neon", "sunset"),
        ("pencil sketch", "emerald"),
        ("noir", "pop art, red"),
    ],
)
def test_a_mix_lies_between_its_prompts(first: str, second: str) -> None:
    source = real_clip("bigbuckbunny.mp4", 12)

    def painted(*prompts: str) -> NDArray[np.uint8]:
        return paint(pocket(), source, StreamSettings(mix=tuple(PromptShare(prompt=p) for p in prompts)))

    one, other, both = painted(first), painted(second), painted(first, second)
    apart = _rms(one, other)
    assert _rms(both, one) < 0.85 * apart
    assert _rms(both, other) < 0.85 * apart
    middle = ((one.astype(float) + other) / 2).astype(np.uint8)
    assert _rms(both, middle) < 0.35 * apart


def test_unknown_words_do_no_harm() -> None:
    source = real_clip("bikes.mp4", 8)
    plain, wordy = (
        paint(pocket(), source, StreamSettings(prompt=prompt))
        for prompt in ("watercolor, cold", "a watercolor of my zebra, cold, 4k masterpiece")
    )
    assert np.array_equal(plain, wordy)


def test_colour_words_colour_every_style() -> None:
    source = real_clip("bikes.mp4", 8)

    def mean_rgb(prompt: str) -> NDArray[np.float64]:
        return np.asarray(paint(pocket(), source, StreamSettings(prompt=prompt))[4:].mean((0, 1, 2)))

    for style in STYLES:
        red, blue = mean_rgb(f"{style}, red"), mean_rgb(f"blue {style}")
        assert (red[0] - red[2]) - (blue[0] - blue[2]) > 30, (style, red, blue)


def test_a_live_change_of_prompt_arrives_within_four_chunks() -> None:
    """Half a second at 30 FPS, although the history was painted in the old style."""
    source = real_clip("bikes.mp4", 48)
    target = paint(pocket(), source, StreamSettings(prompt="pencil sketch"))
    stream = pocket().open_stream(StreamSettings(prompt="neon"), source.shape[1], source.shape[2])
    clip = torch.from_numpy(source.copy()).permute(0, 3, 1, 2).contiguous()
    for t in range(0, 28, 4):
        stream.push(clip[t : t + 4])
    old = stream.push(clip[28:32])
    stream.update(StreamSettings(prompt="pencil sketch"))
    for t in range(32, 48, 4):
        new = stream.push(clip[t : t + 4])
    assert old is not None and new is not None
    got = new.frames_TCHW.permute(0, 2, 3, 1).cpu().numpy()
    before = old.frames_TCHW.permute(0, 2, 3, 1).cpu().numpy()
    assert _rms(got, target[44:48]) < 0.35 * _rms(got, before)
