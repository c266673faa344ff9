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
from itertools import accumulate, groupby, pairwise

Blocks = tuple[int, int]
"""(first, one past the last); the two are equal for a rank that holds none."""
Split = tuple[Blocks, ...]
"""What each rank holds, in the ring's order: neighbours, from block 0 to the last."""
LEAST_GAIN = 0.05
"""Blocks move for a period that is shorter by more than this share, not for less ..."""
NEARLY = 0.01
"""... and of the splits within this share of the best, the one is taken that moves the fewest."""
_NEAR = (NEARLY, 0.03, 0.1, 0.2, 0.4, 0.8)
"""Where moves cost time, splits are weighed that are so far from the best."""
PAYS_WITHIN_MS = 30_000.0
"""What a move costs has to be won back in this time: who knows what there is to do then."""

SPARE_CHUNKS = 3
"""In flight beyond what the way through takes, for times vary."""


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


def rebalanced(
    now: Split,
    costs: Sequence[RankCost],
    transfer_ms: float = 0.0,
    *,
    least_gain: float = LEAST_GAIN,
    move_ms: float = 0.0,
) -> Split | None:
    """Return a better split than that of now, if the gain is worth the move; else None.

    As good as the best, nearly, with the fewest blocks moved. `move_ms`: how long the ring stands still for
    each block that goes from a rank to its neighbour; of splits that are better by `least_gain`, the one is
    taken that wins the most by `PAYS_WITHIN_MS`, and none where none wins. A split that does not fit its
    ranks' memory (any more) is left for any that does. When to ask, and how to trust the measurements:
    `block_balance`. Raises `ValueError` as `best_split` does.
    """
    best = best_split(now[-1][1], costs, transfer_ms)
    best_ms, now_ms = (period_ms(split, costs, transfer_ms) for split in (best, now))
    fits = all(count <= cost.most_blocks for count, cost in zip(counts_of(now), costs, strict=True))
    if fits and now_ms <= best_ms * (1 + least_gain):
        return None
    nearest = _nearest(now, costs, transfer_ms, best_ms * (1 + NEARLY)) or best
    if not move_ms:
        return nearest

    def won_ms(split: Split) -> float:
        faster = 1 - period_ms(split, costs, transfer_ms) / now_ms
        return PAYS_WITHIN_MS * faster - move_ms * hops(now, split)

    near = (_nearest(now, costs, transfer_ms, best_ms * (1 + share)) for share in _NEAR[1:])
    better = [
        split
        for split in (nearest, *near)
        if split and (not fits or now_ms > period_ms(split, costs, transfer_ms) * (1 + least_gain))
    ]
    found = max(better, key=won_ms, default=nearest)
    return found if not fits or won_ms(found) > 0 else None


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


def chunks_in_flight(split: Split, costs: Sequence[RankCost], hop_ms: float = 0.0) -> int:
    """Return how many chunks, from encoding to decoding, keep the busiest rank busy.

    As many as its period goes into a micro-step's way through, transfers (`hop_ms` each) and all. A rank with
    blocks and other work counts twice: each of the two takes as long as both, for they share the device.
    """
    stages, counts = stages_ms(split, costs), counts_of(split)
    shared = [
        ms for ms, count, cost in zip(stages, counts, costs, strict=True) if count and cost.fixed_ms > 0
    ]
    hops = len(stages) if any(counts[1:]) else 0
    way_ms = sum(stages) + sum(shared) + hops * hop_ms
    return SPARE_CHUNKS + math.ceil(way_ms / max(stages) - 1e-9)


def split_of(counts: Sequence[int]) -> Split:
    """Return the split that gives each rank so many blocks."""
    return tuple(pairwise(accumulate(counts, initial=0)))


def counts_of(split: Split) -> list[int]:
    """Return how many blocks each rank holds."""
    return [end - start for start, end in split]


def hops(now: Split, then: Split) -> int:
    """Return how many times a block goes from a rank to its neighbour on the way from split to split."""
    return sum(abs(before - after) for (before, _), (after, _) in zip(now[1:], then[1:], strict=True))


@dataclass(frozen=True)
class Move:
    """Neighbouring blocks that go from one rank to another."""

    blocks: Blocks
    source: int
    target: int


def moves(now: Split, then: Split) -> list[Move]:
    """Return what has to move, in the order of the blocks."""
    owners = zip(_owners(now), _owners(then), strict=True)
    found, first = [], 0
    for (source, target), run in groupby(owners):
        end = first + len(list(run))
        if source != target:
            found.append(Move((first, end), source, target))
        first = end
    return found


def _owners(split: Split) -> list[int]:
    return [rank for rank, count in enumerate(counts_of(split)) for _ in range(count)]


def _nearest(now: Split, costs: Sequence[RankCost], transfer_ms: float, most_ms: float) -> Split | None:
    """Return the split within a period that keeps the most blocks where they are; None: there is none.

    By the ranks' order: `kept[end]` is the best that the ranks so far can do with the blocks before `end`.
    The first rank's own transfer counts even where it would have none: then there is a best split anyway.
    """
    layers = now[-1][1]
    kept: dict[int, tuple[int, Split]] = {0: (0, ())}
    for rank, cost in enumerate(costs):
        most = _most_within(cost, transfer_ms, most_ms, always_sends=rank == 0)
        grown: dict[int, tuple[int, Split]] = {}
        for start, (count, split) in kept.items():
            for end in range(start, min(layers, start + most) + 1):
                stays = max(0, min(end, now[rank][1]) - max(start, now[rank][0]))
                if end not in grown or count + stays > grown[end][0]:
                    grown[end] = (count + stays, (*split, (start, end)))
        kept = grown
    return kept[layers][1] if layers in kept else None


def _most_within(cost: RankCost, transfer_ms: float, most_ms: float, *, always_sends: bool) -> int:
    """Return how many blocks a rank may hold to be done in time; -1: not even none."""
    if _stage_ms(cost, 0, 0.0) + (transfer_ms if always_sends else 0.0) > most_ms:
        return -1
    spare_ms = most_ms - cost.fixed_ms - transfer_ms
    return max(0, min(cost.most_blocks, int(spare_ms / cost.block_ms)))


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
