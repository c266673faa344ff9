"""Which rank holds which DiT blocks. Pure functions of measured times, no torch.

All times are those of one micro-step (one forward of a row through a rank's blocks). A rank is busy for
`fixed_ms + blocks * block_ms`, and a rank that takes part in the ring for `transfer_ms` more; with enough
chunks in flight the pipeline is as fast as its busiest rank (`period_ms`). What a rank does once a chunk
(the VAE, say) counts in `fixed_ms` divided by the steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

Blocks = tuple[int, int]
"""(first, one past the last); the two are equal for a rank that holds none."""
Split = tuple[Blocks, ...]
"""What each rank holds, in the ring's order: neighbours, from block 0 to the last."""


@dataclass(frozen=True)
class RankCost:
    """What a rank takes for a micro-step, as measured or counted."""

    block_ms: float
    """A DiT block. Above 0."""
    fixed_ms: float = 0.0
    """Everything else on that device, averaged over micro-steps: VAE, embedding, head. 0 or more."""
    most_blocks: int = 1_000
    """That its memory holds, caches included. 0 or more."""

    def __post_init__(self) -> None:
        if not (self.block_ms > 0 and math.isfinite(self.block_ms)):
            raise ValueError(f"block_ms is {self.block_ms}; it must be a number above 0")
        if not (self.fixed_ms >= 0 and math.isfinite(self.fixed_ms)):
            raise ValueError(f"fixed_ms is {self.fixed_ms}; it must be a number, 0 or more")
        if self.most_blocks < 0:
            raise ValueError(f"most_blocks is {self.most_blocks}; it must be 0 or more")


def best_split(layers: int, costs: Sequence[RankCost], transfer_ms: float = 0.0) -> Split:
    """Return the split with the shortest period; of those, the one whose next busiest ranks are least busy.

    Blocks are all alike, so a split is a count a rank, and a rank's time grows with its count: to hand out
    block after block, each to the rank that would be the least busy with it, is exact.

    `transfer_ms`: see `stages_ms`. Raises `ValueError` where all ranks together hold fewer than `layers`.
    """
    _check(layers, costs)
    counts = [0] * len(costs)
    for _ in range(layers):
        free = (r for r, cost in enumerate(costs) if counts[r] < cost.most_blocks)
        taker = min(free, key=lambda r: _stage_ms(costs[r], counts[r] + 1, transfer_ms))
        counts[taker] += 1
    spread = split_of(counts)
    if costs[0].most_blocks < layers:
        return spread
    # Alone, the first rank has nothing to send: the one case that the hand-out does not see.
    alone = split_of([layers] + [0] * (len(costs) - 1))
    return min(spread, alone, key=lambda split: sorted(stages_ms(split, costs, transfer_ms), reverse=True))


def stages_ms(split: Split, costs: Sequence[RankCost], transfer_ms: float = 0.0) -> list[float]:
    """Return how long each rank is busy with a micro-step.

    `transfer_ms`: what sending and receiving cost a rank of its own time, 0 where they are hidden. Each rank
    with blocks pays it, and the first, which begins and ends every micro-step; none where the first has all.
    """
    counts = counts_of(split)
    ring = any(counts[1:])
    times = [
        _stage_ms(cost, count, transfer_ms if ring else 0.0)
        for cost, count in zip(costs, counts, strict=True)
    ]
    if ring and not counts[0]:
        times[0] += transfer_ms
    return times


def period_ms(split: Split, costs: Sequence[RankCost], transfer_ms: float = 0.0) -> float:
    """Return the time from one micro-step to the next, with enough chunks in flight: the busiest rank's."""
    return max(stages_ms(split, costs, transfer_ms))


def split_of(counts: Sequence[int]) -> Split:
    """Return the split that gives each rank so many blocks."""
    return tuple(pairwise(accumulate(counts, initial=0)))


def counts_of(split: Split) -> list[int]:
    """Return how many blocks each rank holds."""
    return [end - start for start, end in split]


def _stage_ms(cost: RankCost, blocks: int, transfer_ms: float) -> float:
    return cost.fixed_ms + blocks * cost.block_ms + (transfer_ms if blocks else 0.0)


def _check(layers: int, costs: Sequence[RankCost]) -> None:
    if layers < 1:
        raise ValueError(f"layers is {layers}; there must be one at least")
    if not costs:
        raise ValueError("costs is empty; there must be one rank at least")
    room = sum(cost.most_blocks for cost in costs)
    if room < layers:
        by_rank = ", ".join(str(cost.most_blocks) for cost in costs)
        raise ValueError(
            f"the model has {layers} blocks, and the memory of all ranks together holds {room} ({by_rank}); "
            "add a card, or choose a smaller model, a smaller working size or one-byte weights"
        )
