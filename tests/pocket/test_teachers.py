from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest

import limner.pocket
from limner.pocket.data import make_clip
from limner.pocket.prompts import PHRASES, WORDS, make_prompt
from limner.pocket.teachers import MOODS, STYLES, teach


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [make_clip(seed, 3, 96, 160) for seed in (0, 2, 3, 7, 12, 20, 23)]


def _rms(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


def _change(frames: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.diff(frames.astype(float), axis=0) ** 2)))


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


@pytest.mark.parametrize("style", STYLES)
def test_what_stands_still_is_taught_without_its_noise(style: str, clips: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    still = np.repeat(clips[3][:1].astype(float), 8, 0)
    noisy = np.clip(still + rng.normal(0, 3, still.shape), 0, 255).astype(np.uint8)
    one_by_one = np.concatenate([teach(frame[None], style) for frame in noisy])
    assert _change(teach(noisy, style)[4:]) < 0.5 * _change(one_by_one[4:])


def test_what_moves_is_not_smeared() -> None:
    """After a cut the teacher shows the new scene at once."""
    before, after = (np.full((2, 48, 80, 3), level, np.uint8) for level in (60, 180))
    cut = np.concatenate([before, after])
    for style in STYLES:
        assert _rms(teach(cut, style)[2:], teach(after, style)) < 1


@pytest.mark.parametrize("mood", MOODS)
def test_moods_change_colours(mood: str, clips: list[np.ndarray]) -> None:
    assert np.mean([_rms(teach(clip, None, (mood,)), clip) for clip in clips]) > 8


def test_unknown_names_are_refused(clips: list[np.ndarray]) -> None:
    with pytest.raises(KeyError):
        teach(clips[0], "cubism")


def test_the_vocabulary_is_that_of_the_weights() -> None:
    config = tomllib.loads((Path(limner.pocket.__path__[0]) / "pocket.toml").read_text())
    assert tuple(config["text"]["words"]) == WORDS


def test_every_style_has_phrases_of_known_words() -> None:
    assert PHRASES.keys() == STYLES.keys()
    assert len(set(WORDS)) == len(WORDS)
    rng = np.random.default_rng(0)
    for style in STYLES:
        assert any(word in make_prompt(rng, style, ()) for word in WORDS)
    assert make_prompt(rng, None, ()) == ""
    assert make_prompt(rng, None, ("warm",)) == "warm"
