"""What gives way when a running engine is out of memory. Pure.

A stream's memory grows with its steps (each has a history), with the size of its picture and with the length
of its chunks. So those are brought down, one at a time, and the stream goes on. They stay down until the user
asks for another number of steps, or the session begins anew: what was too much is so again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from limner.engine.slo_plan import Limits, Plan


@dataclass(frozen=True, kw_only=True)
class MemoryCaps:
    """The most that memory allows a stream; None: as much as it likes."""

    chunk_latents: int | None = None
    steps: int | None = None
    area_px: int | None = None

    def __bool__(self) -> bool:
        """Something is capped."""
        return self != MemoryCaps()


def lowered(caps: MemoryCaps, plan: Plan, limits: Limits) -> MemoryCaps | None:
    """Return the caps after `plan` was too much; None: nothing is left that could give way.

    First long chunks, then steps, one at a time, then the size, down the list.
    """
    if plan.chunk_latents > limits.default_chunk:
        return replace(caps, chunk_latents=limits.default_chunk)
    if plan.steps > 1:
        return replace(caps, steps=plan.steps - 1)
    area = plan.size[0] * plan.size[1]
    smaller = [w * h for w, h in limits.sizes if w * h < area]
    return replace(caps, area_px=max(smaller)) if smaller else None


def capped(limits: Limits, caps: MemoryCaps) -> Limits:
    """Return the limits within the caps. Memory comes before what the user wants kept."""
    steps = limits.steps if caps.steps is None else min(limits.steps, caps.steps)
    area = caps.area_px
    sizes = limits.sizes if area is None else tuple(s for s in limits.sizes if s[0] * s[1] <= area)
    longest = caps.chunk_latents or limits.most_chunk
    return replace(
        limits,
        steps=steps,
        least_steps=min(limits.least_steps, steps),
        sizes=sizes or limits.sizes[-1:],
        most_chunk=min(limits.most_chunk, longest),
        chunk_latents=min(limits.chunk_latents, longest),
    )


def words(caps: MemoryCaps, wished: Limits, planned: MemoryCaps | None = None) -> str:
    """Return what memory takes from a wish: "memory allows 1 of 2 steps; memory allows …"; "": nothing.

    `planned`: the caps that it began with. Who never asked for chunks longer than planned misses none.
    """
    within, from_the_start = capped(wished, caps), capped(wished, planned or MemoryCaps())
    parts = []
    if within.chunk_latents < wished.chunk_latents or within.most_chunk < from_the_start.most_chunk:
        parts.append("short chunks only")
    if within.steps < wished.steps:
        parts.append(f"{within.steps} of {wished.steps} steps")
    if within.sizes[0] != wished.sizes[0]:
        parts.append(f"{within.sizes[0][0]}×{within.sizes[0][1]}")
    # Each for itself: so the daemon finds its words again, for OBS in other languages.
    return "; ".join(f"memory allows {part}" for part in parts)
