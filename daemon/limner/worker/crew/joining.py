"""Who joins while others paint loads its blocks first: the ring stops for as long as it takes to gather.

Those who are there keep blocks that they have, so nobody loads while all wait; what the split lacks then in
evenness, moves of blocks make good while painting goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from limner.engine.block_joins import split_without_loads
from limner.engine.blocks import Blocks, RankCost, Split
from limner.worker.crew.crew import Crew
from limner.worker.crew.formation import Formation, RankProcess
from limner.worker.crew.peers import in_order

log = logging.getLogger("limner.worker")
MOST_LOADING_S = 120.0
"""Who has loaded does not wait longer for who has not."""
_OWN = b""
"""Rank 0, among the peers."""
CostsOf = Callable[[Sequence[RankProcess]], Sequence[RankCost]]


class Joining:
    """For the thread that mends."""

    def __init__(self, crew: Crew, layers: int) -> None:
        """`layers`: blocks of the model."""
        self._crew, self._layers = crew, layers
        self._asked_s: dict[bytes, float] = {}
        """Who was asked to load, and when."""
        self._held: dict[bytes, Blocks] = {}
        """What the ranks had in memory when the last generation ended."""

    def is_ready(self, formation: Formation, split: Split, costs_of: CostsOf, now_s: float) -> bool:
        """Whether to gather anew with those who wait; until then they load. `split`: of the ranks of now."""
        waiting = {rank.peer for rank in self._crew.waiting()}
        self._asked_s = {peer: asked_s for peer, asked_s in self._asked_s.items() if peer in waiting}
        fit = self._crew.fit()
        new = [rank for rank in fit if rank.peer not in self._asked_s]
        if new:
            self._ask(formation, split, new, costs_of, now_s)
            return False
        are_loading = [peer for peer in self._asked_s if self._crew.loaded(peer) is None]
        if any(now_s - self._asked_s[peer] < MOST_LOADING_S for peer in are_loading):
            return False
        return any(rank.peer not in are_loading for rank in fit)

    def ring_ended(self, formation: Formation, split: Split) -> None:
        """A generation is over; this is what its ranks held."""
        self._held = dict(zip(_peers(formation.ranks), split, strict=True))

    def split_for(self, formation: Formation, costs: Sequence[RankCost]) -> Split | None:
        """The split of a generation in which nobody has to load; None where there is none."""
        loaded = {peer: self._crew.loaded(peer) for peer in self._asked_s}
        held = {peer: blocks for peer, blocks in loaded.items() if blocks is not None} | self._held
        peers = _peers(formation.ranks)
        if any(peer not in held for peer in peers):
            return None
        return split_without_loads(self._layers, [held[peer] for peer in peers], costs)

    def _ask(
        self,
        formation: Formation,
        split: Split,
        new: Sequence[RankProcess],
        costs_of: CostsOf,
        now_s: float,
    ) -> None:
        ranks = sorted([*formation.ranks, *new], key=in_order)
        held = dict(zip(_peers(formation.ranks), split, strict=True))
        have = [held.get(peer) for peer in _peers(ranks)]
        wanted = split_without_loads(self._layers, have, costs_of(ranks))
        for rank in new:
            first, end = (0, 0) if wanted is None else wanted[1 + ranks.index(rank)]
            log.info("%s will join, and loads %d blocks before", rank.words, end - first)
            self._asked_s[rank.peer] = now_s
            self._crew.load(rank.peer, (first, end))


def _peers(ranks: Sequence[RankProcess]) -> list[bytes]:
    return [_OWN, *(rank.peer for rank in ranks)]
