"""Blocks for ranks that gather anew, of which nobody has to load any. Pure, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from limner.engine.blocks import Blocks, RankCost, Split


def split_without_loads(
    layers: int, held: Sequence[Blocks | None], costs: Sequence[RankCost]
) -> Split | None:
    """Return the fastest split in which each rank holds blocks that it has; None: there is none.

    `held`: what each rank has in memory, in the ring's order; None: it can load whatever it will hold. Every
    place where a rank may end is tried, rank after rank, so it is exact.
    """
    # For each block: the shortest period of the ranks so far when they hold all before it, and how they do.
    found: dict[int, tuple[float, Split]] = {0: (0.0, ())}
    for has, cost in zip(held, costs, strict=True):
        further: dict[int, tuple[float, Split]] = {}
        for first, (period_ms, split) in found.items():
            for end in range(first, layers + 1):
                if not _may_hold((first, end), has, cost):
                    continue
                longest_ms = max(period_ms, cost.fixed_ms + (end - first) * cost.block_ms)
                if longest_ms < further.get(end, (math.inf,))[0]:
                    further[end] = longest_ms, (*split, (first, end))
        found = further
    return found[layers][1] if layers in found else None


def _may_hold(blocks: Blocks, has: Blocks | None, cost: RankCost) -> bool:
    first, end = blocks
    if end - first > cost.most_blocks:
        return False
    return first == end or has is None or (has[0] <= first and end <= has[1])
