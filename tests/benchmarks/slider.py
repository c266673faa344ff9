"""Does the strength slider do what it says, and the colour and mood words what they say?

    python -m tests.benchmarks.slider --report docs/measurements/slider.json

Slider: distance of the output to the input at strength 0, 0.1 … 1.0, every style and clip. Bar: it rises;
a fall of up to 2 % of the largest distance is let pass as rounding. Words: how far a word moves the mean
colour of the picture along the way that its teacher moves it; 1 is exactly as taught. Bar: at least a half.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from tests.benchmarks import report
from tests.support.pictures import CLIPS, pocket, real_clip

from limner.engine.engine import Engine
from limner.engine.types import StreamSettings
from limner.pocket.look import Frames, paint
from limner.pocket.teachers import MOODS, STYLES, teach

STRENGTHS = tuple(round(0.1 * tenths, 1) for tenths in range(11))
MOST_FALL = 0.02
LEAST_OBEYED = 0.5
LEAD_IN_FRAMES = 8


@dataclass(frozen=True, kw_only=True)
class Slide:
    """One style on one clip, along the slider."""

    clip: str
    style: str
    distances: tuple[float, ...]
    """RMS distance of output to input at each strength, grey levels of 0..255."""
    fall: float
    """Largest fall from any strength to a higher one, part of the largest distance. 0: it only rises."""


@dataclass(frozen=True, kw_only=True)
class Obeyed:
    """One colour or mood word on one clip, alone and without a style."""

    clip: str
    word: str
    share: float
    """How much of the teacher's change of the mean colour came about. 1: all; below 0: the wrong way."""


def largest_fall(values: Sequence[float]) -> float:
    """From any value to any later one, as a part of the largest; 0 when they only rise."""
    array = np.asarray(values, np.float64)
    return float(np.max(np.maximum.accumulate(array) - array) / max(array.max(), 1e-9))


def share_obeyed(wanted_N3: Frames, got_N3: Frames, before_N3: Frames) -> float:
    """Projection of the change that came about on the change that was wanted, of mean colours. [..., 3]."""
    wanted, got, before = (clip.reshape(-1, 3).mean(0) for clip in (wanted_N3, got_N3, before_N3))
    way = wanted - before
    return float((got - before) @ way / max(way @ way, 1e-9))


def slide(engine: Engine, clip: str, frames: Frames, style: str) -> Slide:
    """Paint at every strength."""
    distances = tuple(_distance(engine, frames, style, strength) for strength in STRENGTHS)
    return Slide(clip=clip, style=style, distances=distances, fall=largest_fall(distances))


def obeyed(engine: Engine, clip: str, frames: Frames, word: str) -> Obeyed:
    """Paint with the word alone, at the model's default strength."""
    strength = engine.config.schedule.default_strength
    plain, worded = (
        paint(engine, frames, StreamSettings(prompt=prompt, strength=strength))[LEAD_IN_FRAMES:]
        for prompt in ("", word)
    )
    # Beside what the model makes of the picture without words, so that only the word's own doing counts.
    wanted = teach(plain, None, [word])
    return Obeyed(clip=clip, word=word, share=share_obeyed(wanted, worded, plain))


def broken_bars(slides: Sequence[Slide], words: Sequence[Obeyed]) -> list[str]:
    """What is not as promised, a sentence each."""
    falls = [f"{s.style} on {s.clip} falls by {s.fall:.1%}" for s in slides if not s.fall <= MOST_FALL]
    weak = [f"{w.word} on {w.clip}: {w.share:.0%} obeyed" for w in words if not w.share >= LEAST_OBEYED]
    return falls + weak


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when a bar is broken."""
    parser = report.parser(main.__doc__)
    parser.add_argument("--frames", type=int, default=16, help="of each clip")
    parser.add_argument("--skip", type=int, default=40, help="frames at the clips' start")
    parser.add_argument("--clips", nargs="+", default=list(CLIPS))
    parser.add_argument("--styles", nargs="+", default=list(STYLES))
    parser.add_argument("--words", nargs="*", default=list(MOODS))
    options = report.chosen(parser, arguments)
    engine = pocket(options.model)
    slides, words = [], []
    for clip in options.clips:
        frames = real_clip(clip, options.frames, skip=options.skip)
        for style in options.styles:
            slides.append(slide(engine, clip, frames, style))
            row = " ".join(f"{distance:5.1f}" for distance in slides[-1].distances)
            print(f"{clip:18}{style:15}{row}   largest fall {slides[-1].fall:.1%}", flush=True)
        for word in options.words:
            words.append(obeyed(engine, clip, frames, word))
            print(f"{clip:18}{word:15}{words[-1].share:.0%} obeyed", flush=True)
    return report.finish(
        {
            "machine": report.machine(engine),
            "strengths": STRENGTHS,
            "slides": [asdict(s) for s in slides],
            "words": [asdict(w) for w in words],
        },
        broken_bars(slides, words),
        options.report,
    )


def _distance(engine: Engine, frames: Frames, style: str, strength: float) -> float:
    painted = paint(engine, frames, StreamSettings(prompt=style, strength=strength))
    left = painted[LEAD_IN_FRAMES:].astype(np.float64) - frames[LEAD_IN_FRAMES : len(painted)]
    return float(np.sqrt(np.mean(left**2)))


if __name__ == "__main__":
    sys.exit(main())
