"""What pocket promises: on a clip it has never seen, each prompt gives what its own teacher would give."""

from __future__ import annotations

import pytest
from tests.pocket.real_clips import pocket, real_clip

from limner.engine.types import StreamSettings
from limner.pocket.look import paint, score
from limner.pocket.teachers import STYLES, teach

RIGHT_SHARE = 0.9
HELD = ("oil painting", "watercolor", "vaporwave", "sunset")
"""Styles that these weights hold to in every clip; docs/pocket.md has the figures of all eight."""


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["bikes.mp4", "bigbuckbunny.mp4"])
@pytest.mark.parametrize("steps", [1, 2])
def test_each_prompt_is_nearest_to_its_own_teacher(clip: str, steps: int) -> None:
    """Nearer, in plain RGB squared error, than to all seven other teachers and to the input."""
    source = real_clip(clip)
    taught = {style: teach(source, style) for style in STYLES}
    engine = pocket()
    strength = engine.config.schedule.default_strength
    scores = {}
    for style in HELD:
        painted = paint(engine, source, StreamSettings(prompt=style, strength=strength, steps=steps))
        assert painted.shape == source.shape
        scores[style] = score(painted, style, taught, source)
    wrong = {style: result for style, result in scores.items() if result.right < RIGHT_SHARE}
    assert not wrong, wrong
