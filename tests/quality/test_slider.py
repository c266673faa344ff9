"""A short version of tests/benchmarks/slider.py, and its measures on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.benchmarks.slider import (
    LEAST_OBEYED,
    MOST_FALL,
    Obeyed,
    Slide,
    broken_bars,
    largest_fall,
    obeyed,
    share_obeyed,
    slide,
)
from tests.support.pictures import pocket, real_clip

from limner.pocket.teachers import MOODS, STYLES, teach

CLIP = "bigbuckbunny"
FRAMES, SKIP = 12, 40
NOT_YET: frozenset[str] = frozenset()
"""Styles that fall further than the bar, or just about, with these weights. To be emptied with new ones."""
MOST_FALL_YET = 0.2


def test_a_fall_is_found_wherever_it_is() -> None:
    assert largest_fall([0, 1, 2, 3]) == 0
    assert largest_fall([0, 10, 9, 8, 10]) == pytest.approx(0.2)
    assert largest_fall([5, 4, 20]) == pytest.approx(0.05)


def test_what_is_obeyed_is_measured_along_the_teachers_way() -> None:
    before = np.full((2, 4, 4, 3), 100, np.uint8)
    wanted = teach(before, None, ["red"])
    assert share_obeyed(wanted, wanted, before) == pytest.approx(1)
    assert share_obeyed(wanted, before, before) == 0
    halfway = ((wanted.astype(float) + before) / 2).round().astype(np.uint8)
    assert share_obeyed(wanted, halfway, before) == pytest.approx(0.5, abs=0.02)
    assert share_obeyed(wanted, teach(before, None, ["blue"]), before) < LEAST_OBEYED


def test_each_bar_can_be_broken() -> None:
    good = Slide(clip="street", style="neon", distances=(1, 2), fall=0)
    bad = Slide(clip="street", style="neon", distances=(2, 1), fall=0.5)
    obeys = Obeyed(clip="street", word="red", share=1)
    assert broken_bars([good], [obeys]) == []
    assert len(broken_bars([bad], [Obeyed(clip="street", word="red", share=0.2)])) == 2
    assert len(broken_bars([], [Obeyed(clip="street", word="red", share=float("nan"))])) == 1


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_more_strength_is_further_from_the_input(style: str) -> None:
    found = slide(pocket(), CLIP, real_clip(CLIP, FRAMES, skip=SKIP), style)
    assert found.fall <= (MOST_FALL_YET if style in NOT_YET else MOST_FALL), found
    assert found.distances[10] > 2 * found.distances[0], found


@pytest.mark.parametrize("word", MOODS)
def test_colour_and_mood_words_are_obeyed(word: str) -> None:
    assert broken_bars([], [obeyed(pocket(), CLIP, real_clip(CLIP, FRAMES, skip=SKIP), word)]) == []
