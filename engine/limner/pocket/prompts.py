"""What people may type for each style and mood, and the vocabulary that follows from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limner.pocket.teachers import MOODS

PHRASES: dict[str, tuple[str, ...]] = {
    "oil painting": ("oil painting", "oil painting", "oil on canvas", "oil"),
    "pencil sketch": ("pencil sketch", "pencil sketch", "sketch", "pencil drawing", "pencil"),
    "neon": ("neon", "neon", "neon glow", "cyberpunk", "cyberpunk neon"),
    "noir": ("noir", "film noir", "film noir", "black and white"),
    "cartoon": ("cartoon", "cartoon", "comic", "comic cartoon"),
    "watercolor": ("watercolor", "watercolor painting", "watercolour", "aquarelle"),
    "vaporwave": ("vaporwave", "vaporwave", "synthwave", "vaporwave synthwave"),
    "sunset": ("sunset", "sunset", "golden hour", "sunset light"),
    "cyanotype": ("cyanotype", "cyanotype", "blueprint", "cyanotype blueprint"),
    "sepia": ("sepia", "sepia", "vintage", "vintage photo", "sepia photo"),
    "pop art": ("pop art", "pop art", "pop", "screen print"),
    "emerald": ("emerald", "emerald", "forest", "emerald forest", "jade"),
    "moonlight": ("moonlight", "moonlight", "night", "moon", "moonlit night"),
}
"""Style → phrases, the likelier ones more than once. Words that no phrase holds are unknown to the model."""

_FILLERS = frozenset({"on", "and", "a", "an", "of", "the", "light"})

_FIRST_STYLES = 8
_FIRST_MOODS = 7


def _vocabulary() -> tuple[str, ...]:
    """The words of the first training come first: what was added since stands behind them."""
    styles, moods = list(PHRASES.values()), list(MOODS)
    first = [*(p for phrases in styles[:_FIRST_STYLES] for p in phrases), *moods[:_FIRST_MOODS]]
    later = [*(p for phrases in styles[_FIRST_STYLES:] for p in phrases), *moods[_FIRST_MOODS:]]
    words = (word for phrase in (*first, *later) for word in phrase.split() if word not in _FILLERS)
    return tuple(dict.fromkeys(words))


WORDS: tuple[str, ...] = _vocabulary()
"""The vocabulary, in the order of the rows of the text table. Only ever append: weights depend on it."""


def make_prompt(rng: np.random.Generator, style: str | None, moods: Sequence[str]) -> str:
    """One of many ways to ask for this; empty for neither style nor mood."""
    parts = list(moods)
    if style is not None:
        phrases = PHRASES[style]
        parts.insert(int(rng.integers(len(parts) + 1)), phrases[rng.integers(len(phrases))])
    return ", ".join(parts)
