from __future__ import annotations

import itertools

import numpy as np
import pytest

from limner.pocket.data import make_clip
from limner.pocket.prompts import PHRASES, WORDS, make_prompt
from limner.pocket.teachers import MOODS, STYLES, teach


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [make_clip(seed, 3, 96, 160) for seed in (0, 2, 3, 7, 12, 20, 23)]


def _rms(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("style", STYLES)
def test_teachers_are_pure(style: str, clips: list[np.ndarray]) -> None:
    before = clips[0].copy()
    first = teach(clips[0], style)
    assert first.shape == clips[0].shape and first.dtype == np.uint8
    assert np.array_equal(first, teach(clips[0], style))
    assert np.array_equal(before, clips[0])


def test_teachers_differ_from_their_input_and_from_each_other(clips: list[np.ndarray]) -> None:
    for a, b in itertools.combinations([None, *STYLES], 2):
        distance = np.mean([_rms(teach(clip, a), teach(clip, b)) for clip in clips])
        assert distance > 20, (a, b, distance)


@pytest.mark.parametrize("style", STYLES)
def test_teachers_are_steady(style: str, clips: list[np.ndarray]) -> None:
    """A barely changed input gives a barely changed output."""
    rng = np.random.default_rng(0)
    clip = clips[3]
    shaken = np.clip(clip.astype(int) + rng.integers(-1, 2, clip.shape), 0, 255).astype(np.uint8)
    assert _rms(teach(clip, style), teach(shaken, style)) < 12


@pytest.mark.parametrize("mood", MOODS)
def test_moods_change_colours(mood: str, clips: list[np.ndarray]) -> None:
    assert np.mean([_rms(teach(clip, None, (mood,)), clip) for clip in clips]) > 8


def test_unknown_names_are_refused(clips: list[np.ndarray]) -> None:
    with pytest.raises(KeyError):
        teach(clips[0], "cubism")


def test_every_style_has_phrases_of_known_words() -> None:
    assert PHRASES.keys() == STYLES.keys()
    assert len(set(WORDS)) == len(WORDS)
    rng = np.random.default_rng(0)
    for style in STYLES:
        assert any(word in make_prompt(rng, style, ()) for word in WORDS)
    assert make_prompt(rng, None, ()) == ""
    assert make_prompt(rng, None, ("warm",)) == "warm"
