"""What a stream asks of the machine, and the plans that it may be painted by, best first. Pure, no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

FRAMES_PER_LATENT = 4
MOST_FRAME_STEP = 4
Mode = Literal["auto", "throughput", "latency"]
Size = tuple[int, int]
"""(width, height), pixels."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one stream asks for, and how far its quality may give way."""

    fps: float
    """Video frames a second that come in. More than 0."""
    latency_ms: float = 600.0
    """From a frame's presentation time until its painted frame is handed over. More than 0."""
    steps: int = 1
    """Denoising steps that the user wants."""
    least_steps: int = 1
    """Steps that overload may bring it down to; at most `steps`."""
    mode: Mode = "auto"
    """`throughput`: stream batch; `latency`: one chunk at a time; a user's choice is kept."""
    chunk_latents: int = 0
    """Latent frames of a chunk that the user wants; 0: chosen."""
    default_chunk: int = 1
    """Latent frames of a chunk as the model has it, where the user wants none."""
    most_chunk: int = 1
    """Latent frames of a chunk that model and memory allow."""
    most_waiting: int = 18
    """Frames that there is room for while they wait to be painted."""
    frames_behind: int = 0
    """Painted frames by which what is shown lags behind what went in with it: the autoencoder's doing."""
    sizes: tuple[Size, ...]
    """Working sizes allowed, the wanted one first, then smaller ones."""
    adapt: bool = True
    """Quality may give way. False: the user's settings are kept whatever it costs; frames are dropped."""

    def __post_init__(self) -> None:
        if not (self.fps > 0 and math.isfinite(self.fps)):
            raise ValueError(f"fps is {self.fps}; it must be a number above 0")
        if not self.latency_ms > 0:
            raise ValueError(f"latency_ms is {self.latency_ms}; it must be above 0")
        if not self.sizes:
            raise ValueError("sizes is empty; there must be one at least")
        if not 1 <= self.least_steps <= self.steps:
            raise ValueError(f"least_steps is {self.least_steps}; it must be 1 to steps ({self.steps})")


@dataclass(frozen=True, kw_only=True, order=True)
class Plan:
    """How a stream is painted."""

    steps: int
    stream_batch: bool
    """All steps in one forward, each on another chunk; False: one chunk at a time. The same at one step."""
    chunk_latents: int
    size: Size
    frame_step: int = 1
    """Every how manieth frame is painted; the others are passed over, evenly."""

    @property
    def frames(self) -> int:
        """Video frames of a chunk."""
        return FRAMES_PER_LATENT * self.chunk_latents

    @property
    def lag_chunks(self) -> int:
        """How many chunks later than its own push a chunk comes out."""
        return self.steps - 1 if self.stream_batch else 0

    def span_ms(self, fps: float) -> float:
        """Time from one chunk to the next."""
        return 1000 * self.frames * self.frame_step / fps


Ladder = tuple[tuple[Plan, ...], ...]


@lru_cache(maxsize=64)
def ladder(limits: Limits) -> Ladder:
    """Return the allowed plans: levels of quality, best first; in each, ways to paint, least delay first.

    From level to level one thing gives way, in this order:

    1. denoising steps, one at a time, down to `least_steps`;
    2. the working size, down the list of sizes;
    3. frames: every second, every third, every fourth is painted.

    Within a level the picture is as good and only its delay and cost differ: short chunks before long ones
    (which cost less a frame), one chunk at a time before stream batch.
    """
    levels = _levels(limits) if limits.adapt else [(limits.steps, limits.sizes[0], 1)]
    return tuple(tuple(_ways(limits, *level)) for level in levels)


def _levels(limits: Limits) -> list[tuple[int, Size, int]]:
    steps = range(limits.steps, limits.least_steps - 1, -1)
    by_steps = [(number, limits.sizes[0], 1) for number in steps]
    by_size = [(limits.least_steps, size, 1) for size in limits.sizes[1:]]
    by_frames = [(limits.least_steps, limits.sizes[-1], n) for n in range(2, MOST_FRAME_STEP + 1)]
    return by_steps + by_size + by_frames


def _ways(limits: Limits, steps: int, size: Size, frame_step: int) -> Iterator[Plan]:
    for chunk in _chunks(limits):
        for batch in _batches(limits.mode, steps):
            yield Plan(steps=steps, stream_batch=batch, chunk_latents=chunk, size=size, frame_step=frame_step)


def _chunks(limits: Limits) -> list[int]:
    if limits.chunk_latents:
        return [limits.chunk_latents]
    longest = limits.most_chunk if limits.adapt else limits.default_chunk
    return list(range(limits.default_chunk, max(limits.default_chunk, longest) + 1))


def _batches(mode: Mode, steps: int) -> list[bool]:
    if mode == "auto":
        return [False] if steps == 1 else [False, True]
    return [mode == "throughput"]


def level_of(plan: Plan, rungs: Ladder) -> int:
    """Return the level that a plan stands on; -1 when it is on none (the limits changed)."""
    return next((number for number, ways in enumerate(rungs) if plan in ways), -1)


def sizes_from(wanted: Size, listed: tuple[Size, ...], *, least_share: float = 0.3) -> tuple[Size, ...]:
    """Return `wanted`, then the listed sizes of about its aspect that are smaller, largest first.

    None below `least_share` of its area: a picture of a few pixels helps nobody.
    """
    area = wanted[0] * wanted[1]

    def fits(size: Size) -> bool:
        same = abs(math.log(size[0] * wanted[1] / (size[1] * wanted[0]))) < 0.15
        return same and least_share * area <= size[0] * size[1] < 0.95 * area

    smaller = sorted({size for size in listed if fits(size)}, key=lambda size: -size[0] * size[1])
    return (wanted, *smaller)


def reductions(plan: Plan, limits: Limits) -> str:
    """Return in words what of the wish gives way: "1 of 2 steps, 256×144"; empty when nothing does."""
    parts = []
    if plan.steps < limits.steps:
        parts.append(f"{plan.steps} of {limits.steps} steps")
    if plan.size != limits.sizes[0]:
        parts.append(f"{plan.size[0]}×{plan.size[1]}")
    if plan.frame_step > 1:
        parts.append(f"1 of {plan.frame_step} frames")
    return ", ".join(parts)
