"""An engine over a crew: it mends itself when ranks are lost, and takes in those that come."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from limner.daemon.rank_options import DecodeOn
from limner.engine.blocks import RankCost, best_split
from limner.engine.config import ModelConfig
from limner.engine.errors import EngineError
from limner.engine.loading import Weights
from limner.engine.pipeline.commands import Times
from limner.engine.pipeline.engine import PipelineEngine
from limner.engine.pipeline.group import Alone, Group, Meeting, Transport, join, open_store
from limner.engine.pipeline.ring import PipelineError, Ring
from limner.worker.crew.crew import Crew
from limner.worker.crew.deciding import Deciding
from limner.worker.crew.figures import with_times
from limner.worker.crew.formation import Formation, RankProcess
from limner.worker.crew.joining import Joining
from limner.worker.crew.lessons import Lessons
from limner.worker.crew.rooms import LackError, Rooms
from limner.worker.crew.telling import rank_infos, write_down
from limner.worker.stats import RanksNow

log = logging.getLogger("limner.worker")
MOST_MENDING_S = 60.0
"""Chunks wait for so long while the ranks gather anew."""
ATTEMPTS = 4
STEADY_S = 1.0
"""Who comes back is taken in when the others have been together for so long."""


class CrewEngine(PipelineEngine):
    """A PipelineEngine whose ring is always one of ranks that live, or is being waited for."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        *,
        crew: Crew,
        address: str,
        decode: DecodeOn = "auto",
        rooms: Rooms | None = None,
        **options: Any,
    ) -> None:
        """`crew`: this engine's from now on; closed with it. `address`: own, that all ranks reach. `decode`:
        which rank does. `rooms`: how many blocks each has memory for; None: as many as there are."""
        self._rooms = rooms or Rooms(config.dit.layers)
        self._lessons = Lessons(self._rooms, crew.leave_out)
        self._joining = Joining(crew, config.dit.layers)
        self._state = threading.Condition()
        self._is_whole = False
        self._look = threading.Event()
        self._crew, self._address = crew, address
        self._decode = Deciding(decode)
        self.threads_each: int = options.get("threads") or 1
        self._store = open_store(address)
        self._formation: Formation | None = None
        self._watched: Formation | None = None
        """That `watch` is of."""
        self._since_s = 0.0
        self._closing = threading.Event()
        self.fatal: BaseException | None = None
        """Why painting cannot go on at all; None: it can."""
        self.news = ""
        """Why painting waits, for people; empty: it does not."""
        self.lack = ""
        """What the ranks that are there lack to hold the model; painting waits for those that are gone."""
        self._thread = threading.Thread(target=self._mend_always, name="limner-mending", daemon=True)
        super().__init__(config, weights, **options)

    def begin(self, ranks: int, timeout_s: float) -> None:
        """Wait for so many other ranks, this long at most, and gather all who are there.

        Raises LackError where they cannot hold the model, PipelineError where they do not gather.
        """
        there = self._crew.wait_for(ranks, timeout_s)
        if there < ranks:
            log.error("%d of %d other ranks are there; painting begins without the rest", there, ranks)
        self._gather()
        if self.lack:
            raise LackError(self.lack)
        self._crew.on_change = self._look.set
        self._thread.start()

    @property
    def ring(self) -> Ring:
        """The ring of the ranks that live; waited for while they gather. PipelineError when they cannot."""
        with self._state:
            self._state.wait_for(self._is_decided, MOST_MENDING_S)
            if not self._is_whole:
                raise PipelineError(f"the ranks did not gather: {self.news or 'painting is over'}")
        return super().ring

    def _is_decided(self) -> bool:
        return self._is_whole or self._closing.is_set() or self.fatal is not None or bool(self.lack)

    def rank_words(self, rank: int) -> str:
        """As `PipelineEngine.rank_words`, with its machine and device."""
        ranks = self._formation.ranks if self._formation is not None else []
        if not 1 <= rank <= len(ranks):
            return super().rank_words(rank)
        hello = ranks[rank - 1].hello
        return f"rank {rank} ({hello.device_name} on {hello.machine})"

    @property
    def most_ranks(self) -> int:
        """That are to be expected, with this one."""
        config = self._crew.config
        return 1 + len(config.devices) + bool(config.listen)

    @property
    def formation(self) -> Formation | None:
        """The generation of now."""
        return self._formation

    def give_up(self) -> None:
        """Painting is over: chunks that wait for ranks are lost."""
        self._closing.set()
        self._look.set()
        with self._state:
            self._state.notify_all()

    def close(self) -> None:
        """End the ring and the crew."""
        self.give_up()
        if self._thread.is_alive():
            self._thread.join()
        self._end_ring()
        self._crew.close()
        super().close()

    def ranks_now(self) -> RanksNow:
        """Who paints, and how they do."""
        formation, watch = self._formation, getattr(self, "watch", None)
        if formation is None or watch is None:
            return RanksNow(self.news)
        times: dict[int, Times] = {}
        decodes = None
        if formation is self._watched:  # Else they are gathering: the watch is that of ranks before.
            # When the thread that drives has just heard of another rank, the next report will know.
            with contextlib.suppress(RuntimeError):
                times = {one.rank: one for one in watch.newest()}
            decodes = watch.placer.rank
        ranks = rank_infos(self._crew, formation, self.device, decodes)
        return RanksNow(self.news, [with_times(one, times.get(one.rank)) for one in ranks])

    # ---- mending

    def _mend_always(self) -> None:
        while not self._closing.is_set():
            self._look.wait(STEADY_S)
            self._look.clear()
            try:
                self._mend_if_needed()
            except BaseException as fault:
                log.exception("the ranks cannot be gathered")
                self.news = str(fault)
                # Who waits is told at once: this process cannot go on.
                with self._state:
                    self.fatal = fault
                    self._state.notify_all()

    def _mend_if_needed(self) -> None:
        if self._closing.is_set():
            return
        if self.lack:
            if not self._lack_of(self._crew.fit()):
                log.info("the ranks that are there can hold the model: painting goes on")
                self._gather()
            return
        formation, ring = self._formation, self._ring
        broken = formation is None or formation.is_over or (ring is not None and ring.fault is not None)
        if broken:
            why = (formation.why if formation else "") or (str(ring.fault) if ring and ring.fault else "")
            began_s = time.monotonic()
            self.news = f"{why or 'A rank is lost'}; painting goes on with the others"
            self._gather()
            log.warning("%s: painting goes on after %.1f s", why, time.monotonic() - began_s)
        elif formation is not None and self._may_join(formation):
            self.news = "A device joins: painting goes on with it"
            self._gather()

    def _may_join(self, formation: Formation) -> bool:
        """Whether others are ready to be taken in; they get ready while painting goes on."""
        now_s = time.monotonic()
        if now_s - self._since_s <= STEADY_S:
            return False

        def costs_of(ranks: Sequence[RankProcess]) -> Sequence[RankCost]:
            return self._rooms.costs(ranks, now_s, self._decode.expected(len(ranks)))

        return self._joining.is_ready(formation, self.watch.mover.split, costs_of, now_s)

    def _gather(self) -> None:
        """Form the next generation, until one holds; raises PipelineError when none does."""
        with self._state:
            self._is_whole = False
        self._end_ring()
        why, attempts = "", 0
        while attempts < ATTEMPTS:
            if self._closing.is_set():
                return
            try:
                self._form()
            except LackError as error:
                self._wait_for_memory(str(error))
                return
            except (EngineError, RuntimeError) as error:
                # What was learned of memory brings it nearer, so it is no attempt in vain.
                attempts += not self._lessons.learn()
                log.error("a generation of ranks did not come about: %s", error)
                self._crew.disband()
                why = str(error).partition("\n")[0]
                continue
            self._since_s, self.news, self.fatal, self.lack = time.monotonic(), "", None, ""
            with self._state:
                self._is_whole = True
                self._state.notify_all()
            return
        raise PipelineError(f"the ranks did not gather in {ATTEMPTS} attempts: {why}")

    def _wait_for_memory(self, lack: str) -> None:
        """Nothing is painted until ranks are there that can hold the model."""
        self._crew.disband()
        self._formation = None
        log.error("painting cannot go on: %s", lack)
        self.news = f"Painting cannot go on until more memory is there: {lack}"
        with self._state:
            self.lack = lack
            self._state.notify_all()

    def _lack_of(self, ranks: list[RankProcess]) -> str:
        return self._rooms.lack(ranks, time.monotonic(), self._decode.expected(len(ranks)))

    def _form(self) -> None:
        if lack := self._lack_of(self._crew.free()):
            raise LackError(lack)
        formation = self._crew.form(self._address, self._store.port, self._transport)
        self._formation = formation
        group = self._joined(formation)
        formation.attach(group.abort)
        decodes = self._decode.rank_in(formation)
        if self._decode.is_free and self._rooms.lack(formation.ranks, time.monotonic(), decodes):
            decodes = 0
        costs = self._rooms.costs(formation.ranks, time.monotonic(), decodes)
        split = self._joining.split_for(formation, costs) or best_split(self.config.dit.layers, costs)
        self._lessons.begin(formation, split)
        log.info("generation %d: blocks %s, rank %d decodes", formation.number, split, decodes)
        ring = self.join(
            formation,
            group,
            split,
            decodes=decodes,
            is_ended=lambda: formation.is_over or self._closing.is_set(),
        )
        self._watched = formation
        self.watch.costs = costs
        self.watch.on_times = partial(write_down, self._crew, formation)
        self.watch.places.is_on = self._decode.is_free
        ring.do(lambda: torch.set_num_threads(self.threads_each))

    def _joined(self, formation: Formation) -> Group | Alone:
        if formation.size == 1:
            return Alone()
        meeting = Meeting(
            host=self._address,
            port=self._store.port,
            generation=formation.number,
            rank=0,
            size=formation.size,
            transport=self._transport,
            address=self._address,
            device=str(self.device),
        )
        return join(meeting, self._store, lambda: formation.is_over or self._closing.is_set())

    @property
    def _transport(self) -> Transport:
        """Cards send to one another by NCCL; a crew is all of cards, or all of processors."""
        return "nccl" if self.device.type == "cuda" else "gloo"

    def _end_ring(self) -> None:
        if self._ring is None:
            return
        # First the group: a thread of the ring may wait for what will never come.
        self._crew.disband()
        self._ring.close()
        self._ring = None
        if self._formation is not None:
            self._decode.was_on(self._formation, self.watch.placer.rank)
            self._joining.ring_ended(self._formation, self.watch.mover.split)
        self._lessons.ring_ended(self.watch)
        self._lessons.learn()
