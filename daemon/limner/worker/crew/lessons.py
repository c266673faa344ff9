"""What a generation of ranks shows of their devices: how fast they are, and whose memory is full."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from limner.engine.blocks import Split
from limner.engine.pipeline.watch import Watch
from limner.worker.crew.formation import Formation, RankProcess
from limner.worker.crew.rooms import OWN, Rooms

log = logging.getLogger("limner.worker")


class Lessons:
    """Keeps it for the next generation. For the thread that mends."""

    def __init__(self, rooms: Rooms, leave_out: Callable[[RankProcess], object]) -> None:
        """`leave_out`: who has no memory even for no blocks."""
        self._rooms, self._leave_out = rooms, leave_out
        self._formation: Formation | None = None
        self._held: Split = ()
        """What the ranks hold, or were to hold when their generation broke."""

    def begin(self, formation: Formation, split: Split) -> None:
        """A generation is to hold this."""
        self._formation, self._held = formation, split

    def ring_ended(self, watch: Watch) -> None:
        """It painted, and is over."""
        if self._formation is None:
            return
        self._held = watch.mover.split
        places = [OWN, *(one.place for one in self._formation.ranks)]
        # Nothing may have been measured, or not of all.
        self._rooms.measured(dict(zip(places, watch.measured_ms(), strict=False)))
        for rank, most in watch.full.items():
            self._rooms.limit(places[rank], most, time.monotonic())

    def learn(self) -> bool:
        """Whether ranks of the generation that is over had too little memory; they get fewer blocks then."""
        formation, held = self._formation, self._held
        self._formation, self._held = None, ()
        if formation is None:
            return False
        for rank in formation.without_memory:
            first, end = held[rank]
            self._give_less(formation.ranks[rank - 1], end - first)
        return bool(formation.without_memory)

    def _give_less(self, rank: RankProcess, held: int) -> None:
        if not held:
            self._leave_out(rank)
            return
        most = self._rooms.learn(rank.place, held, time.monotonic())
        log.warning("%s had no memory for %d blocks: it gets %d at the most", rank.words, held, most)
