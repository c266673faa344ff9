"""What processes say, and what becomes of it. For the crew's thread, which has the crew's lock meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from limner.daemon.rank_options import kind_of
from limner.daemon.rank_trace import TraceWanted
from limner.daemon.wire import Message, WireError
from limner.worker.crew.config import CrewConfig
from limner.worker.crew.formation import RankProcess
from limner.worker.crew.messages import Anew, Beat, Dismiss, Fallen, Hello, Knows, Loaded, Said, from_rank
from limner.worker.crew.peers import Peer, without_seat
from limner.worker.crew.roll import Roll
from limner.worker.crew.seats import Seats
from limner.worker.crew.switchboard import Switchboard

log = logging.getLogger("limner.worker")
FALLS_S = 30.0
"""Who fails twice within this time needs a fresh process."""


class Hearing:
    """Takes what came, and keeps the roll by it."""

    def __init__(
        self,
        config: CrewConfig,
        board: Switchboard,
        seats: Seats,
        roll: Roll,
        trace: Callable[[float], bytes],
    ) -> None:
        """`trace`: of so many seconds, for who asks."""
        self._config, self._board, self._seats, self._roll = config, board, seats, roll
        self._trace = trace

    def hear(self, now_s: float) -> None:
        """Take all that has come."""
        for name, data, is_local in self._board.hear():
            try:
                message = from_rank.decode(data)
            except WireError as error:
                log.error("a rank said something wrong: %s", error)
                continue
            if isinstance(message, Hello):
                self._came(name, message, is_local, now_s)
            elif isinstance(message, TraceWanted):
                if is_local:
                    self._board.put_bytes(name, self._trace(message.seconds))
            elif name in self._roll.peers:
                self._heard(name, message, now_s)
            else:
                self._board.put(name, Anew())

    def _came(self, name: bytes, hello: Hello, is_local: bool, now_s: float) -> None:
        if (known := self._roll.peers.get(name)) is not None:
            # It has not been welcomed yet, or has not heard of it.
            known.heard_s = now_s
            self._roll.watch.heard(name, now_s)
            self._roll.greet(name)
            return
        if is_local and not self._seats.said_hello(hello.seat, hello.pid, now_s):
            self._board.put(name, Dismiss(why="another process has this place"))
            return
        if kind_of(hello.device) != self._config.kind:
            self._refuse(name, hello)
            return
        for other, peer in list(self._roll.peers.items()):
            if hello.process and peer.rank.hello.process == hello.process:
                self._roll.lose(other, "came back under another name", may_return=True)
        # Over the network nobody has a seat, whatever it says.
        seat = hello.seat if is_local else -1
        rank = RankProcess(name, hello if seat == hello.seat else without_seat(hello))
        self._roll.add(rank, now_s, is_local=is_local)

    def _refuse(self, name: bytes, hello: Hello) -> None:
        why = f"{hello.device} cannot paint with {self._config.kind}: all ranks are cards, or all processors"
        log.error("rank process %d on %s: %s", hello.pid, hello.machine, why)
        self._board.put(name, Dismiss(why=why))

    def _heard(self, name: bytes, message: Message, now_s: float) -> None:
        roll, config = self._roll, self._config
        peer, formation = roll.peers[name], roll.formation
        peer.heard_s = now_s
        match message:
            case Beat():
                roll.watch.heard(name, now_s, message)
                now_ns = time.monotonic_ns()
                peer.clock.answered(sent_ns=message.echo_ns, its_clock_ns=message.clock_ns, now_ns=now_ns)
            case Knows(digest=digest) if digest != config.digest and config.digest:
                roll.lose(
                    name,
                    f"has other weights of {config.engine} than the worker; fetch the same on both machines"
                    f" (limner models pull {config.engine})",
                )
            case Loaded():
                if message.fault:
                    log.error("%s could not load its blocks ahead: %s", peer.rank.words, message.fault)
                peer.loaded = message.first, message.end
            case Said():
                roll.watch.heard(name, now_s)
                if formation is not None and not formation.said(name, message):
                    roll.lose(name, "lost a message on the way", may_return=not peer.is_local)
            case Fallen() if formation is not None and message.generation == formation.number:
                # What comes after another one's fall comes of it, such as a meeting that fails.
                self._fell(name, peer, message, now_s, is_own=message.is_own and not formation.lost())

    def _fell(self, name: bytes, peer: Peer, message: Fallen, now_s: float, *, is_own: bool) -> None:
        """A process cannot go on; the generation is over, whoever's fault it was."""
        roll, why, pid, words = self._roll, message.why, peer.rank.hello.pid, peer.rank.words
        if not is_own:
            log.warning("rank process %d (%s) broke off: %s", pid, words, why)
            roll.lose_rank(name, "lost touch with another one")
            return
        if message.no_memory:  # The next generation gives it less.
            log.error("rank process %d (%s) has too little memory: %s", pid, words, why)
            roll.lose_rank(name, "has too little memory for its blocks", no_memory=True)
            return
        log.error("rank process %d (%s): %s", pid, words, why)
        roll.lose_rank(name, f"cannot go on: {why}")
        if peer.fell_s is not None and now_s - peer.fell_s < FALLS_S:
            roll.lose(name, f"failed again: {why}")
        peer.fell_s = now_s
        if (wait_s := roll.falls.fell(peer.place, now_s)) > 0:
            log.error("%s is left out for %.0f s, since it failed again", words, wait_s)
