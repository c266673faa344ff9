"""How many blocks each rank may hold, and holds at first: by its card's memory, and by what was learned.

What was learned of a device is kept from generation to generation: blocks for which its memory was not
enough, and how fast it is. The first is forgotten after a while, for a game that took the memory ends.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced

from limner.engine.blocks import RankCost
from limner.engine.errors import EngineError
from limner.models.plan_cards import Card
from limner.models.plan_rank_bytes import Places
from limner.models.plan_ranks import RankCard, RanksPlan, no_room, rooms_over
from limner.models.plan_words import refusal
from limner.worker.crew.formation import RankProcess
from limner.worker.crew.messages import Hello

OWN: Hashable = "rank 0"
"""The worker's own place."""
LEARNED_S = 300.0
"""For so long a device is not given more than it could hold."""
KEPT = 7 / 8
"""Of the blocks that were too much, so many are tried next."""
_SPEED = 100.0
"""Multiprocessors of a card whose blocks are said to take 1 ms: only ratios count."""


class LackError(EngineError):
    """The ranks that are there cannot hold the model; the text says what is missing."""


def card_in(hello: Hello, words: str) -> Card | None:
    """The card that a process is on; None: a processor. `words`: what people call it."""
    if not hello.total_bytes:
        return None
    return Card(
        index=0,
        name=words,
        total_bytes=hello.total_bytes,
        free_bytes=hello.free_bytes,
        capability=hello.capability,
    )


@dataclass
class Rooms:
    """What the ranks have room for. For one thread at a time."""

    layers: int
    """Blocks of the model."""
    plan: RanksPlan | None = None
    """Of the cards that were there at first; None: nothing is planned, and only what is learned counts."""
    processors: int = 0
    """Of rank 0's card."""
    _most: dict[Hashable, tuple[int, float]] = field(default_factory=dict)
    """What a place could hold, and until when that counts."""
    _block_ms: dict[Hashable, float] = field(default_factory=dict)

    def costs(self, ranks: Sequence[RankProcess], now_s: float, decodes: int = 0) -> tuple[RankCost, ...]:
        """What is known of rank 0 and of these before they paint; LackError where they lack memory.

        `decodes`: the rank that does.
        """
        rooms = self._rooms(ranks, now_s, decodes)
        if sum(rooms) < self.layers:
            raise LackError(self._lack(ranks, rooms, now_s, decodes))
        return tuple(
            RankCost(block_ms=ms, most_blocks=most)
            for ms, most in zip(self._speeds(ranks), rooms, strict=True)
        )

    def lack(self, ranks: Sequence[RankProcess], now_s: float, decodes: int = 0) -> str:
        """What rank 0 and these lack to hold the model, for people; empty: nothing."""
        rooms = self._rooms(ranks, now_s, decodes)
        return self._lack(ranks, rooms, now_s, decodes) if sum(rooms) < self.layers else ""

    def learn(self, place: Hashable, held: int, now_s: float) -> int:
        """A device had no memory for so many blocks; return how many it is given from now on."""
        most = min(held - 1, int(held * KEPT))
        self.limit(place, max(0, most), now_s)
        return max(0, most)

    def limit(self, place: Hashable, most: int, now_s: float) -> None:
        """A device holds so many blocks, and no more."""
        self._most[place] = most, now_s + LEARNED_S

    def measured(self, block_ms: Mapping[Hashable, float]) -> None:
        """How long a block takes, by place."""
        self._block_ms.update(block_ms)

    def _rooms(self, ranks: Sequence[RankProcess], now_s: float, decodes: int) -> tuple[int, ...]:
        learned = [self._learned(place, now_s) for place in (OWN, *(rank.place for rank in ranks))]
        if self.plan is None:
            return tuple(self.layers if most is None else most for most in learned)
        return rooms_over(
            self.plan.model, self.plan.choice, self._cards(ranks, now_s), Places(decodes=decodes)
        )

    def _cards(self, ranks: Sequence[RankProcess], now_s: float) -> list[RankCard]:
        assert self.plan is not None, "cards are of a plan"
        found = [replaced(self.plan.cards[0], most_blocks=self._learned(OWN, now_s))]
        for rank in ranks:
            card = card_in(rank.hello, rank.words)
            assert card is not None, "ranks are all cards, or all processors"
            found.append(RankCard(card=card, most_blocks=self._learned(rank.place, now_s)))
        return found

    def _lack(self, ranks: Sequence[RankProcess], rooms: Sequence[int], now_s: float, decodes: int) -> str:
        if self.plan is None:
            return f"the memory that is left holds {sum(rooms)} of {self.layers} blocks"
        return refusal(
            no_room(self.plan.model, self.plan.choice, self._cards(ranks, now_s), Places(decodes=decodes))
        )

    def _learned(self, place: Hashable, now_s: float) -> int | None:
        most, until_s = self._most.get(place, (None, 0.0))
        return most if now_s < until_s else None

    def _speeds(self, ranks: Sequence[RankProcess]) -> list[float]:
        """Of a block, ms: as measured where all were; else by the cards' processors, or all alike."""
        places = [OWN, *(rank.place for rank in ranks)]
        if all(place in self._block_ms for place in places):
            return [self._block_ms[place] for place in places]
        processors = [self.processors, *(rank.hello.processors for rank in ranks)]
        return [_SPEED / count for count in processors] if all(processors) else [1.0] * len(places)
