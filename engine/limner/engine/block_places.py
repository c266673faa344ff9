"""Which ranks encode and decode, and with that, which blocks each holds. Pure, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from limner.engine.blocks import RankCost, Split, best_split, stages_ms

CostOf = Callable[[int, bool, bool], RankCost]
"""What a rank takes for a micro-step, by (rank, it encodes, it decodes)."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Who does what in a pipeline."""

    encodes: int
    """Rank."""
    decodes: int
    split: Split
    costs: tuple[RankCost, ...]

    @property
    def period_ms(self) -> float:
        """From micro-step to micro-step, transfers aside."""
        return max(stages_ms(self.split, self.costs))


def best_places(
    layers: int,
    ranks: int,
    cost_of: CostOf,
    transfer_ms: float = 0.0,
    *,
    encoders: Iterable[int] | None = None,
    decoders: Iterable[int] | None = None,
) -> Places:
    """Return the places with the shortest period; of those, the ones whose next busiest ranks are least busy.

    Encoder and decoder are one rank's each, for they remember; every pair of ranks is tried, so a slow card
    may get the autoencoder alone. `encoders`, `decoders`: ranks that may; None: all. Raises `ValueError`
    where no place leaves enough memory for the blocks.
    """
    may_encode, may_decode = (range(ranks) if may is None else sorted(may) for may in (encoders, decoders))
    found: list[tuple[list[float], Places]] = []
    problem: ValueError | None = None
    for encodes in may_encode:
        for decodes in may_decode:
            costs = tuple(cost_of(rank, rank == encodes, rank == decodes) for rank in range(ranks))
            try:
                split = best_split(layers, costs, transfer_ms)
            except ValueError as error:
                problem = problem or error
                continue
            times = sorted(stages_ms(split, costs, transfer_ms), reverse=True)
            found.append((times, Places(encodes=encodes, decodes=decodes, split=split, costs=costs)))
    if not found:
        raise problem or ValueError(f"ranks is {ranks}; there must be one at least")
    return min(found, key=lambda one: one[0])[1]
