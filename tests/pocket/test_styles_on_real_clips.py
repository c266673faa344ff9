"""What pocket promises: on clips it has never seen, each prompt gives what its own teacher would give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.pocket.real_clips import CLIPS, pocket, real_clip

from limner.daemon.style_file import load
from limner.engine.types import StreamSettings
from limner.pocket.look import paint, score
from limner.pocket.teachers import STYLES, teach

RIGHT_SHARE = 0.9
STRENGTHS = tuple(n / 10 for n in range(11))


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("steps", [1, 2])
def test_each_prompt_is_nearest_to_its_own_teacher(clip: str, steps: int) -> None:
    """Nearer, in plain RGB squared error, than to all other teachers and to the input, as Limner ships it."""
    source = real_clip(clip, 48)  # bikes has a cut inside a chunk, which none can paint right
    taught = {style: teach(source, style) for style in STYLES}
    strengths = {style.name: style.strength for style in load()}
    scores = {}
    for style in STYLES:
        settings = StreamSettings(prompt=style, strength=strengths[style], steps=steps)
        painted = paint(pocket(), source, settings)
        assert painted.shape == source.shape
        scores[style] = score(painted, style, taught, source)
    wrong = {style: result for style, result in scores.items() if result.right < RIGHT_SHARE}
    assert not wrong, wrong


def _distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("style", STYLES)
def test_more_strength_is_further_from_the_input(style: str, clip: str) -> None:
    """At every tenth of the slider and to its end; a fall of one per cent is let pass as rounding."""
    source = real_clip(clip, 12)
    rising = [
        _distance(paint(pocket(), source, StreamSettings(prompt=style, strength=strength)), source)
        for strength in STRENGTHS
    ]
    assert all(b > a - 0.01 * max(rising) for a, b in itertools.pairwise(rising)), rising
    assert rising[1] < 0.5 * rising[-1]


@pytest.mark.parametrize(("clip", "least_db"), [("bikes.mp4", 33), ("bigbuckbunny.mp4", 29)])
def test_strength_zero_is_the_input_as_the_autoencoder_sees_it(clip: str, least_db: float) -> None:
    source = real_clip(clip, 32)
    passed = paint(pocket(), source, StreamSettings(prompt="neon", strength=0.0))
    square = (passed.astype(float) - source) ** 2
    assert np.mean(10 * np.log10(255**2 / square.mean((1, 2, 3)))) >= least_db
