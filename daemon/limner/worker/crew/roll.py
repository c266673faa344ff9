"""Who is there, who may serve and who does: what the crew knows, without its thread and its lock."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Literal

from limner.engine.blocks import Blocks
from limner.models.plan_bytes import Choice
from limner.worker.crew.config import CrewConfig
from limner.worker.crew.falls import Falls
from limner.worker.crew.formation import Formation, RankProcess
from limner.worker.crew.messages import Anew, Dismiss, Drop, Gather, Load, Pulse, Welcome
from limner.worker.crew.peers import Peer, in_order
from limner.worker.crew.seats import Seats
from limner.worker.crew.switchboard import Switchboard
from limner.worker.crew.watch import Watch

log = logging.getLogger("limner.worker")
FRESH_S = 0.6
"""Who was heard this lately can be gathered; who was not may be the next to be given up."""
LETTING_GO_S = 1.5
"""To leave a generation that is over; who takes longer hangs in it."""


class Roll:
    """All processes that said hello, and the generation of now. For whoever has the crew's lock."""

    def __init__(self, config: CrewConfig, board: Switchboard, seats: Seats) -> None:
        self._config, self._board, self._seats = config, board, seats
        self.peers: dict[bytes, Peer] = {}
        self.watch = Watch()
        self.falls = Falls()
        self.formation: Formation | None = None
        """It may be over."""
        self._generation = 0
        self._welcome = None if config.is_planned else _welcome(config, None)

    # ---- who is there

    def known(self) -> list[RankProcess]:
        """All, in the order that they would be ranks in."""
        return sorted((peer.rank for peer in self.peers.values()), key=in_order)

    def waiting(self) -> list[RankProcess]:
        """Those in no generation."""
        serving = self.watch.serving
        return [peer.rank for name, peer in self.peers.items() if name not in serving]

    def fit(self) -> list[RankProcess]:
        """Those of them that could be in the next one, from rank 1 on."""
        return sorted((peer.rank for peer in self.peers.values() if self._is_fit(peer)), key=in_order)

    def is_hopeless(self, count: int) -> bool:
        """Whether so many will never be fit: no others may join, and seats stay empty."""
        if self._config.listen:
            return False
        return len(self.fit()) + len(self._seats.all) - len(self._seats.hopeless()) < count

    def outline(self) -> object:
        """Another one when something has changed for whoever gathers them."""
        over = self.formation is None or self.formation.is_over
        return self.formation, over, [rank.peer for rank in self.fit()]

    def _is_fit(self, peer: Peer) -> bool:
        """It lives, has what it needs, and is in no generation (any more)."""
        beat = self.watch.last_beat(peer.rank.peer)
        waits = beat is not None and beat.waits and peer.drop_due_s is None
        now_s = time.monotonic()
        return waits and now_s - peer.heard_s < FRESH_S and self.falls.may_join(peer.place, now_s)

    # ---- coming and going

    def settle(self, choice: Choice | None) -> None:
        """What will be painted with is known now: all are told."""
        self._welcome = _welcome(self._config, choice)
        for name in self.peers:
            self.greet(name)

    def add(self, rank: RankProcess, now_s: float, *, is_local: bool) -> None:
        """A process said hello, and may be a rank."""
        self.peers[rank.peer] = Peer(rank, now_s, is_local)
        self.watch.came(rank.peer, now_s)
        log.info("rank process %d (%s) is there", rank.hello.pid, rank.words)
        self.greet(rank.peer)

    def greet(self, name: bytes) -> None:
        """Tell a process what will be painted with, once that is known."""
        if self._welcome is not None:
            self._board.put(name, self._welcome)
            self._board.put(name, Pulse(clock_ns=time.monotonic_ns()))

    def load(self, name: bytes, blocks: Blocks) -> None:
        """Let a process that waits have these blocks in memory."""
        if (peer := self.peers.get(name)) is not None:
            peer.loaded = None
            self._board.put(name, Load(first=blocks[0], end=blocks[1]))

    def lose(self, name: bytes, why: str, *, may_return: bool = False) -> None:
        """Give a process up, and with it the generation that it is in.

        `may_return`: it is well, but was not heard; one of this machine is ended all the same.
        """
        peer = self.peers.pop(name, None)
        self.watch.went(name)
        if peer is None:
            return
        log.error("rank process %d (%s) %s", peer.rank.hello.pid, peer.rank.words, why)
        self._board.put(name, Anew() if may_return else Dismiss(why=why))
        if peer.is_local and not may_return:
            self._seats.kill(peer.rank.hello.pid)
        self.lose_rank(name, why)

    def dismiss_all(self, why: str) -> None:
        """Nobody is needed any more."""
        self.end_generation()
        for name in self.peers:
            self._board.put(name, Dismiss(why=why))

    # ---- generations

    def form(self, host: str, port: int, transport: Literal["gloo", "nccl"]) -> Formation:
        """Tell all who are fit to gather; none of them may be in a generation."""
        self._generation += 1
        ranks = self.fit()
        self.formation = formation = Formation(self._generation, ranks, self._board.put)
        self.watch.serving = tuple(rank.peer for rank in ranks)
        for number, rank in enumerate(ranks, 1):
            gather = Gather(
                generation=formation.number,
                rank=number,
                size=formation.size,
                host=host,
                port=port,
                transport=transport,
            )
            self._board.put(rank.peer, gather)
        return formation

    def end_generation(self) -> None:
        """Let go of the generation of now, if it is not over."""
        formation = self.formation
        if formation is None or formation.is_over:
            return
        formation.end()
        self._drop(formation)

    def lose_rank(self, name: bytes, why: str, *, no_memory: bool = False) -> None:
        """A process is not in the generation any more, which is over with that."""
        formation = self.formation
        if formation is None or formation.is_over or (rank := formation.rank_of(name)) is None:
            return
        formation.lose(rank, why, no_memory=no_memory)
        self._drop(formation)

    @property
    def is_dropping(self) -> bool:
        """Somebody has not shown yet that it let go of a generation that is over."""
        return any(peer.drop_due_s is not None for peer in self.peers.values())

    def _drop(self, formation: Formation) -> None:
        """Let its processes go; they have to show that they did."""
        self.watch.serving = ()
        due_s = time.monotonic() + LETTING_GO_S
        for rank in formation.ranks:
            if (peer := self.peers.get(rank.peer)) is not None:
                peer.drop_due_s = due_s
                self._board.put(rank.peer, Drop(generation=formation.number))

    # ---- looking after them

    def look(self, now_s: float) -> None:
        """Give up who ended, shows no life, or does not let go."""
        for name, why in self._ended(now_s):
            self.lose(name, why)
        for name, fault in self.watch.look(now_s).items():
            # Over a network, silence may be the cable's fault.
            self.lose(name, fault.words, may_return=fault.is_silence and not self.peers[name].is_local)
        for name, peer in list(self.peers.items()):
            if peer.drop_due_s is None:
                continue
            beat = self.watch.last_beat(name)
            if beat is not None and beat.waits:
                peer.drop_due_s = None
            elif now_s > peer.drop_due_s:
                self.lose(name, "did not let go of a generation that is over")

    def _ended(self, now_s: float) -> Iterator[tuple[bytes, str]]:
        for pid, how in self._seats.reap(now_s):
            for name, peer in list(self.peers.items()):
                if peer.is_local and peer.rank.hello.pid == pid:
                    yield name, how


def _welcome(config: CrewConfig, choice: Choice | None) -> Welcome:
    kind = config.weight_kind if choice is None else choice.weights
    return Welcome(engine=config.engine, dtype=config.dtype, weight_kind=kind, choice=choice)
