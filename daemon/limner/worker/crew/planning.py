"""A model's memory, planned over the cards of all ranks before anything is loaded."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from limner.engine.blocks import best_split, counts_of
from limner.models.plan_cards import Card
from limner.models.plan_choice import Wishes
from limner.models.plan_rank_bytes import Places
from limner.models.plan_ranks import RankCard, RanksPlan
from limner.worker.crew.crew import Crew
from limner.worker.crew.deciding import Deciding
from limner.worker.crew.formation import RankProcess
from limner.worker.crew.rooms import Rooms, card_in
from limner.worker.engines import Progress
from limner.worker.model_plan import NoRoomError, Planned, planned_over
from limner.worker.model_source import ModelSource

log = logging.getLogger("limner.worker")
COMING_S = 60.0
"""For the ranks of this machine to start; painting begins without those that do not."""
AGAIN_S = 5.0
"""How often it is said what is waited for."""
SHARE = 0.1
"""Of the way to ready."""


class Planning:
    """Plans with whoever is there; where that is too little, and others may join, with those as well."""

    def __init__(
        self,
        crew: Crew,
        source: ModelSource,
        own: Card,
        processors: int,
        *,
        wishes: Wishes,
        progress: Progress,
    ) -> None:
        """`own`: rank 0's card, and how many `processors` it has (0: not known)."""
        self._crew, self._source, self._wishes, self._progress = crew, source, wishes, progress
        self._own, self._processors = own, processors

    def plan(self, step_down: int) -> tuple[Planned, Rooms]:
        """Return the plan, told already, and what each rank has room for. Raises NoRoomError."""
        others = len(self._crew.config.devices)
        self._progress(SHARE, f"Waiting for {others} other devices")
        ranks, listen, said = self._crew.wait_for_known(others, COMING_S), self._crew.config.listen, ""
        while True:
            try:
                return self._planned(ranks, step_down)
            except NoRoomError as error:
                if not listen:
                    raise
                if str(error) != said:
                    said = str(error)
                    log.warning("%s", said)
                self._progress(SHARE, f"Waiting for another device to join at {listen}, for {said}")
                ranks = self._crew.wait_for_known(len(ranks) + 1, AGAIN_S)

    def _planned(self, ranks: Sequence[RankProcess], step_down: int) -> tuple[Planned, Rooms]:
        def rooms_of(plan: RanksPlan) -> Rooms:
            return Rooms(plan.model.dit.layers, plan, self._processors)

        def counts(plan: RanksPlan) -> list[int]:
            costs = rooms_of(plan).costs(ranks, time.monotonic(), places.decodes)
            return counts_of(best_split(plan.model.dit.layers, costs))

        places = Places(decodes=Deciding(self._crew.config.decode).expected(len(ranks)))
        cards = [RankCard(card=card) for card in (self._own, *map(_card_of, ranks))]
        model = planned_over(
            self._source, cards, self._wishes, step_down=step_down, split=counts, places=places
        )
        assert isinstance(model.plan, RanksPlan)
        return model, rooms_of(model.plan)


def _card_of(rank: RankProcess) -> Card:
    card = card_in(rank.hello, rank.words)
    assert card is not None, "ranks are all cards, or all processors"
    return card
