"""What the daemon must know of an engine before its worker is up, and the working size of a session."""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass

from limner.models import catalogue
from limner.models.errors import ModelsError

MULTIPLE = 16
MIN_SIDE = 96
MAX_SIDE = 1024
# How much a wrong area counts against a wrong aspect, both as logarithms of ratios.
_AREA_WEIGHT = 0.1


@dataclass(frozen=True, kw_only=True)
class EngineTraits:
    """The shape of an engine's work."""

    frames_per_chunk: int
    """Painted frames come in such groups."""
    area_px: int
    """Pixels of the working picture, at the most."""
    most_frames: int = 1
    """Frames of the longest chunk that it paints at a time."""
    any_size: bool = False
    """Can paint at the source's own size, whatever it is."""

    @property
    def input_slots(self) -> int:
        """A chunk that is gathered, and some that the client writes or that come early."""
        return max(8, self.most_frames + 8)

    @property
    def output_slots(self) -> int:
        """A chunk that is written while the one before is shown."""
        return max(16, 2 * self.most_frames)


FRAMES_PER_LATENT = 4
MOST_FRAMES = 16
# As limner/pocket/pocket.toml has it, and a test holds the two equal: pocket is no model of the catalogue.
POCKET = EngineTraits(frames_per_chunk=FRAMES_PER_LATENT, area_px=320 * 192, most_frames=MOST_FRAMES)
ECHO = EngineTraits(frames_per_chunk=1, area_px=320 * 192, any_size=True)
ENGINES = {"pocket": POCKET, "echo": ECHO}
# Lets the tests put their own engine, "module:function", into a worker.
TEST_ENGINES_VARIABLE = "LIMNER_TEST_ENGINES"


def traits_of(engine: str) -> EngineTraits:
    """Return the traits of pocket, echo or a model of the catalogue; raises ValueError for any other name."""
    if ":" in engine and os.environ.get(TEST_ENGINES_VARIABLE) == "1":
        return POCKET
    if engine in ENGINES:
        return ENGINES[engine]
    known = catalogue.load()
    if engine not in {**known.entries, **known.problems}:
        names = [*ENGINES, *known.entries]
        near = difflib.get_close_matches(engine, names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"unknown engine {engine!r}; {hint}there are: {', '.join(names)}")
    try:
        entry = known.find(engine)
    except ModelsError as error:
        raise ValueError(str(error)) from error
    width, height = entry.default_size
    return EngineTraits(
        frames_per_chunk=FRAMES_PER_LATENT * entry.latent_frames_per_chunk,
        area_px=width * height,
        most_frames=MOST_FRAMES,
    )


def working_size(
    width: int, height: int, traits: EngineTraits, *, exact_size: bool = False
) -> tuple[int, int]:
    """Return (width, height) in pixels at which a source of `width` × `height` is painted.

    The nearest aspect among multiples of 16 that stay within the engine's area; `exact_size` asks for the
    source's own size and is honoured by engines that take any.
    """
    if exact_size and traits.any_size:
        return width, height
    aspect = width / height

    def badness(size: tuple[int, int]) -> float:
        w, h = size
        return abs(math.log(w / h / aspect)) + _AREA_WEIGHT * math.log(traits.area_px / (w * h))

    sides = range(MIN_SIDE, MAX_SIDE + 1, MULTIPLE)
    return min(((w, h) for w in sides for h in sides if w * h <= traits.area_px), key=badness)
