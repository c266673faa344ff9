"""What the motion-aware controller is worth: on against off, on a clip with a still and a fast half.

    python -m tests.benchmarks.motion --report docs/measurements/motion.json

Still half: one frame of a real clip under slight sensor noise. Fast half: the same picture swept past. Bars:
with the controller on, the still half is sharper (more of the teacher's detail) and the fast half has less of
earlier frames in it. Beside them: off, with the strength turned down to what fast motion gets, as a person
without the controller would have to do. `--grid` looks for settings that make both better.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from tests.benchmarks import report
from tests.benchmarks.ghosts import detail_kept, ghost_share
from tests.benchmarks.looks import look_of
from tests.support.pictures import SIZE, pocket, real_clip

from limner.engine.engine import Engine
from limner.engine.types import StreamSettings
from limner.pocket.look import Frames, paint
from limner.pocket.teachers import STYLES, teach

HALF_FRAMES = 48
SETTLED_FRAMES = 16
"""Of each half: not measured, so that the other half is forgotten."""
SPEED = 14
"""Pixels a frame in the fast half."""
SENSOR_NOISE = 1.5
"""Standard deviation, grey levels."""
LEAST_GAIN = 0.02
"""Part of the figure without the controller. What is less may be chance, and nobody sees it."""
LOWS, HIGHS = (0.5, 0.6, 0.7, 0.8, 0.875, 1.0), (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)


@dataclass(frozen=True, kw_only=True)
class Halves:
    """What one setting gives."""

    strength: float
    motion_aware: bool
    low: float
    high: float
    still_detail: float
    """Part of the teacher's detail that is there while the picture is still. More is better."""
    still_sharpness: float
    """Root mean square gradient while still, grey levels a pixel. Noise counts here."""
    fast_ghost: float
    """Part of the fine structure that is of earlier frames while it moves fast. Less is better."""
    fast_detail: float
    """As `still_detail`, while fast."""


def still_and_fast(size: tuple[int, int] = SIZE, *, half_frames: int = HALF_FRAMES) -> Frames:
    """The clip: [2 · half_frames, H, W, 3]."""
    width, height = size
    wide = real_clip("bigbuckbunny", 1, (2 * width, 2 * height), skip=60)[0]
    rng = np.random.default_rng(0)
    top, middle = height // 2, width // 2
    places = [middle] * half_frames
    # Back and forth between the edges, from the middle.
    places += [width - abs(width - (middle + SPEED * t) % (2 * width)) for t in range(half_frames)]
    clip = np.stack([wide[top : top + height, x : x + width] for x in places]).astype(np.float32)
    clip += rng.normal(0, SENSOR_NOISE, clip.shape).astype(np.float32)
    return np.clip(clip.round(), 0, 255).astype(np.uint8)


def measure(engine: Engine, clip: Frames, settings: StreamSettings) -> Halves:
    """Paint the clip of `still_and_fast` and look at its halves."""
    painted, taught = paint(engine, clip, settings), teach(clip, settings.prompt)
    half = len(clip) // 2
    still = slice(SETTLED_FRAMES, half)
    fast = slice(half + SETTLED_FRAMES, len(clip))
    return Halves(
        strength=settings.strength,
        motion_aware=settings.motion_aware,
        low=settings.motion_low,
        high=settings.motion_high,
        still_detail=detail_kept(painted[still], taught[still]),
        still_sharpness=look_of(painted[still]).sharpness,
        fast_ghost=ghost_share(painted[fast], taught[fast], clip[fast]),
        fast_detail=detail_kept(painted[fast], taught[fast]),
    )


def broken_bars(style: str, off: Halves, on: Halves) -> list[str]:
    """What the controller makes worse, or no better, a sentence each."""
    sharper = on.still_detail >= off.still_detail * (1 + LEAST_GAIN)
    # Below 0 there is no ghost to take away: then it must only not be further from 0 than before.
    less = abs(off.fast_ghost) * (1 - LEAST_GAIN if off.fast_ghost > 0 else 1)
    cleaner = abs(on.fast_ghost) <= less
    checks = (
        (sharper, "still half", "detail", off.still_detail, on.still_detail),
        (cleaner, "fast half", "ghost", off.fast_ghost, on.fast_ghost),
    )
    return [
        f"{style}: {where}: {what} {before:.4f} without the controller, {now:.4f} with it"
        for good, where, what, before, now in checks
        if not good
    ]


def grid(engine: Engine, clip: Frames, settings: StreamSettings) -> Iterator[Halves]:
    """Many limits with the controller on: `low` acts where it is fast and `high` where it is still."""
    for low, high in itertools.zip_longest(LOWS, HIGHS, fillvalue=1.0):
        yield measure(engine, clip, replace(settings, motion_low=low, motion_high=high))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when the controller does not help."""
    parser = report.parser(main.__doc__)
    parser.add_argument("--styles", nargs="+", default=list(STYLES))
    defaults = StreamSettings()
    parser.add_argument("--low", type=float, default=defaults.motion_low)
    parser.add_argument("--high", type=float, default=defaults.motion_high)
    parser.add_argument("--grid", action="store_true", help="try many limits too (minutes)")
    options = report.chosen(parser, arguments)
    engine, clip = pocket(options.model), still_and_fast()
    results, broken = {}, []
    for style in options.styles:
        # A sweep taken for a cut would begin a new context, and the controller get the praise.
        strength = engine.config.schedule.default_strength
        settings = StreamSettings(
            prompt=style,
            strength=strength,
            cuts=False,
            motion_low=options.low,
            motion_high=options.high,
        )
        off = measure(engine, clip, replace(settings, motion_aware=False))
        on = measure(engine, clip, settings)
        low = settings.strength * settings.motion_low
        down = measure(engine, clip, replace(settings, motion_aware=False, strength=low))
        tried = list(grid(engine, clip, settings)) if options.grid else []
        broken += broken_bars(style, off, on)
        results[style] = [asdict(halves) for halves in (off, on, down, *tried)]
        for halves in (off, on, down, *tried):
            print(line(style, halves), flush=True)
    return report.finish({"machine": report.machine(engine), "styles": results}, broken, options.report)


def line(style: str, halves: Halves) -> str:
    """One row of what `main` prints."""
    limits = f"on {halves.low:g}..{halves.high:g}" if halves.motion_aware else "off"
    limits += "" if halves.motion_aware else f" at {halves.strength:.2f}"
    still = f"still: detail {halves.still_detail:.3f}, sharpness {halves.still_sharpness:.2f}"
    fast = f"fast: ghost {halves.fast_ghost:+.4f}, detail {halves.fast_detail:.3f}"
    return f"{style:15}{limits:14}{still}   {fast}"


if __name__ == "__main__":
    sys.exit(main())
