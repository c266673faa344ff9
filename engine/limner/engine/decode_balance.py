"""When decoding moves to another rank: from what the ranks measure, in time, to places. Pure, no torch.

`place` takes what is known and one more look, and returns what is known then; `.decodes` is the rank that
should decode, and `.split` what the ranks should hold with it. Encoding is rank 0's: frames come in there.
A move costs each stream's decoder the way over the line, so it must be worth more than a move of blocks, for
longer: better by `LEAST_GAIN` at every look for `LASTING_S`; and after one, nothing moves for `SETTLE_S`. To
go back to a rank that was left a short time ago takes `TWICE` the gain.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import median

from limner.engine.block_places import Places, best_places
from limner.engine.blocks import RankCost, Split

LONG_S = 6.0
FEW = 8
"""Looks, less than which say nothing."""
LEAST_GAIN = 0.1
LASTING_S = 3.0
SETTLE_S = 8.0
LEFT_S = 60.0
TWICE = 2.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the ranks measured since the last look, under one and the same place of decoding."""

    now_s: float
    """On any clock that runs evenly."""
    blocks_ms: tuple[float, ...]
    """A block in a forward, by rank, without what else the device did beside it; 0 where there was none."""
    encode_ms: float
    """A chunk, on rank 0."""
    decode_ms: float
    """A chunk, where it is decoded."""
    steps: float
    """Forwards of a chunk."""


@dataclass(frozen=True, kw_only=True)
class Placing:
    """What is known of a pipeline's places. Made by `begin`, carried on by `place`."""

    decodes: int
    """Rank that should decode."""
    split: Split | None = None
    """What the ranks should hold as decoding moves there; None: nothing has moved."""
    looks: tuple[Look, ...] = ()
    better_since_s: float = math.inf
    moved_s: float = -math.inf
    left: tuple[tuple[float, int], ...] = ()
    """When which rank was left."""


def begin(decodes: int) -> Placing:
    """Return the state of a pipeline that begins so."""
    return Placing(decodes=decodes)


def place(
    state: Placing, look: Look, costs: Sequence[RankCost], *, layers: int, unable: Collection[int] = ()
) -> Placing:
    """Return the state after a look; decoding is to move where its `decodes` is another one.

    `costs`: of blocks, for ranks that hold none, and their memory. `unable`: ranks that cannot decode.
    """
    looks = (*(old for old in state.looks if old.now_s > look.now_s - LONG_S), look)
    left = tuple(one for one in state.left if one[0] > look.now_s - LEFT_S)
    state = replace(state, looks=looks, left=left)
    if len(looks) < FEW or look.now_s - state.moved_s < SETTLE_S:
        return replace(state, better_since_s=math.inf)
    best = _better(state, costs, layers, unable)
    if best is None:
        return replace(state, better_since_s=math.inf)
    since_s = min(state.better_since_s, look.now_s)
    if look.now_s - since_s < LASTING_S:
        return replace(state, better_since_s=since_s)
    return Placing(
        decodes=best.decodes,
        split=best.split,
        moved_s=look.now_s,
        left=(*left, (look.now_s, state.decodes)),
    )


def _better(state: Placing, costs: Sequence[RankCost], layers: int, unable: Collection[int]) -> Places | None:
    """Return the best places, if they are worth the move."""
    known = _costs(state, costs)
    encode_ms, decode_ms, steps = (
        median(getattr(look, name) for look in state.looks) for name in ("encode_ms", "decode_ms", "steps")
    )

    def cost_of(rank: int, encodes: bool, decodes: bool) -> RankCost:
        # Who is twice as slow with a block is so with the autoencoder.
        there_ms = decode_ms * known[rank].block_ms / known[state.decodes].block_ms
        fixed_ms = (encode_ms if encodes else 0.0) + (there_ms if decodes else 0.0)
        return replace(known[rank], fixed_ms=fixed_ms / max(1.0, steps))

    able = [rank for rank in range(len(known)) if rank == state.decodes or rank not in unable]
    here = best_places(layers, len(known), cost_of, encoders=[0], decoders=[state.decodes])
    best = best_places(layers, len(known), cost_of, encoders=[0], decoders=able)
    was_left = any(best.decodes == rank for _, rank in state.left)
    least_gain = LEAST_GAIN * (TWICE if was_left else 1.0)
    return best if here.period_ms > best.period_ms * (1 + least_gain) else None


def _costs(state: Placing, costs: Sequence[RankCost]) -> list[RankCost]:
    """Return what is known of each rank's blocks. One that holds none is not taken for the fastest."""
    seen = [[ms for look in state.looks if (ms := look.blocks_ms[rank]) > 0] for rank in range(len(costs))]
    fastest_ms = min((median(times) for times in seen if times), default=0.0)
    return [
        replace(cost, block_ms=median(times) if times else max(cost.block_ms, fastest_ms))
        for cost, times in zip(costs, seen, strict=True)
    ]
