"""The crew: all processes that can be ranks. Started, heard, given up, gathered into generations.

One thread hears them, whatever the worker computes. When a rank of the generation of now is lost, that thread
ends the generation on the spot: data that is waited for comes to an error, survivors hear of it, and the lost
one is ended for good, since what is only stopped could come back in the middle. Painting goes on when whoever
paints has gathered the rest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

import zmq

from limner.daemon.rank_options import kind_of
from limner.daemon.rank_trace import TraceWanted
from limner.daemon.wire import Message, WireError
from limner.models.plan_bytes import Choice
from limner.worker.crew.config import CrewConfig, CrewError
from limner.worker.crew.falls import Falls
from limner.worker.crew.formation import Formation, RankProcess
from limner.worker.crew.messages import (
    BEAT_S,
    Anew,
    Beat,
    Dismiss,
    Drop,
    Fallen,
    Gather,
    Hello,
    Knows,
    Pulse,
    Said,
    Welcome,
    from_rank,
)
from limner.worker.crew.peers import Peer, in_order, without_seat
from limner.worker.crew.seats import Seats
from limner.worker.crew.switchboard import Switchboard
from limner.worker.crew.trace import TraceBook
from limner.worker.crew.watch import Watch

log = logging.getLogger("limner.worker")
FRESH_S = 0.6
"""Who was heard this lately can be gathered; who was not may be the next to be given up."""
LETTING_GO_S = 1.5
"""To leave a generation that is over; who takes longer hangs in it."""
STOP_S = 1.0
FALLS_S = 30.0
"""Who fails twice within this time needs a fresh process."""


class Crew:
    """For any thread but where it says otherwise. Close it."""

    def __init__(self, config: CrewConfig, on_change: Callable[[], None] = lambda: None) -> None:
        """Start the ranks' processes.

        `on_change` (called on the crew's thread): look at `formation` and `waiting` again.
        Raises CrewError when the address for other machines cannot be had.
        """
        self.config = config
        self.on_change = on_change
        self.book = TraceBook()
        try:
            self._board = Switchboard(config.endpoint, config.listen, config.keys)
        except zmq.ZMQError as error:
            raise CrewError(
                f"cannot listen to ranks at {config.listen or config.endpoint}: {error.strerror}; choose an"
                " address of this machine and a free port"
            ) from error
        self._lock = threading.Condition()
        self._peers: dict[bytes, Peer] = {}
        self._watch = Watch()
        self._falls = Falls()
        self._formation: Formation | None = None
        self._generation = 0
        self._welcome = None if config.is_planned else _welcome(config, None)
        self._closing = False
        self._seats = Seats(config.endpoint, config.devices, config.threads, config.visible_cards)
        self._pidfds: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="crew", daemon=True)
        self._thread.start()

    # ---- for whoever paints

    @property
    def formation(self) -> Formation | None:
        """The generation of now; it may be over."""
        return self._formation

    def waiting(self) -> list[RankProcess]:
        """Processes that could be ranks and are in no generation."""
        with self._lock:
            serving = self._serving()
            return [peer.rank for name, peer in self._peers.items() if name not in serving]

    def known(self) -> list[RankProcess]:
        """All processes that said hello, in the order that they would be ranks in."""
        with self._lock:
            return sorted((peer.rank for peer in self._peers.values()), key=in_order)

    def wait_for_known(self, count: int, timeout_s: float) -> list[RankProcess]:
        """Wait until so many processes said hello, or cannot be hoped for; return those that did."""
        end_s = time.monotonic() + timeout_s
        with self._lock:
            while len(self._peers) < count and not self._seats_hopeless(count):
                if self._closing or time.monotonic() >= end_s:
                    break
                self._lock.wait(0.1)
        return self.known()

    def settle(self, choice: Choice | None) -> None:
        """Let all processes know what will be painted with; they get ready then."""
        with self._lock:
            self._welcome = _welcome(self.config, choice)
            for name in self._peers:
                self._greet(name)

    def waiting_fit(self) -> bool:
        """Whether one of those is ready to be gathered."""
        with self._lock:
            return any(self._is_fit(peer) for peer in self._peers.values())

    def trace(self, seconds: float) -> bytes:
        """What all ranks did in the last seconds, as JSON in Chrome's format."""
        formation = self._formation
        names = {0: "Rank 0: the worker"}
        if formation is not None:
            names |= {number: f"Rank {number}: {one.words}" for number, one in enumerate(formation.ranks, 1)}
        return self.book.json(names, since_ns=time.monotonic_ns() - int(seconds * 1e9))

    def beat_of(self, peer: bytes) -> Beat | None:
        """What a process said last of itself."""
        with self._lock:
            return self._watch.last_beat(peer)

    def offset_ns(self, peer: bytes) -> int:
        """A process's monotonic clock less our own."""
        with self._lock:
            found = self._peers.get(peer)
            return found.clock.offset_ns if found else 0

    def wait_for(self, count: int, timeout_s: float) -> int:
        """Wait until so many processes can be gathered, or cannot be hoped for; return how many can."""
        end_s = time.monotonic() + timeout_s
        with self._lock:
            while len(self._fit()) < count and not self._seats_hopeless(count):
                if self._closing or time.monotonic() >= end_s:
                    break
                self._lock.wait(0.1)
            return len(self._fit())

    def free(self) -> list[RankProcess]:
        """End the generation of now; return who could be in the next one, from rank 1 on.

        Waits until those who were in it let go of it, or are given up: 2 s at most.
        """
        with self._lock:
            self._end_generation()
            while any(peer.drop_due_s is not None for peer in self._peers.values()) and not self._closing:
                self._lock.wait(0.05)
            return self.fit()

    def fit(self) -> list[RankProcess]:
        """Who could be in the next generation, and is in none, from rank 1 on."""
        with self._lock:
            return sorted((peer.rank for peer in self._fit()), key=in_order)

    def form(self, host: str, port: int, transport: Literal["gloo", "nccl"] = "gloo") -> Formation:
        """End the generation of now and tell all who are `free` to gather into the next one.

        The caller has to join it as rank 0, through the store at `host`:`port`.
        """
        with self._lock:
            self.free()
            self._generation += 1
            ranks = self.fit()
            formation = Formation(self._generation, ranks, self._board.put)
            self._formation = formation
            self._watch.serving = tuple(rank.peer for rank in ranks)
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

    def disband(self) -> None:
        """End the generation of now; its processes wait for the next."""
        with self._lock:
            self._end_generation()

    def close(self) -> None:
        """Dismiss all ranks and end their processes."""
        with self._lock:
            self._end_generation()
            self._closing = True
            self._lock.notify_all()
        self._board.wake_up()
        self._thread.join()

    # ---- under the lock

    def _serving(self) -> tuple[bytes, ...]:
        formation = self._formation
        return () if formation is None or formation.is_over else self._watch.serving

    def _fit(self) -> list[Peer]:
        return [peer for peer in self._peers.values() if self._is_fit(peer)]

    def _is_fit(self, peer: Peer) -> bool:
        """It lives, has what it needs, and is in no generation (any more)."""
        beat = self._watch.last_beat(peer.rank.peer)
        waits = beat is not None and beat.waits and peer.drop_due_s is None
        now_s = time.monotonic()
        return waits and now_s - peer.heard_s < FRESH_S and self._falls.may_join(peer.place, now_s)

    def _seats_hopeless(self, count: int) -> bool:
        if self.config.listen:
            return False
        return len(self._fit()) + len(self._seats.all) - len(self._seats.hopeless()) < count

    def _end_generation(self) -> None:
        formation = self._formation
        if formation is None or formation.is_over:
            return
        formation.end()
        self._drop(formation)

    def _drop(self, formation: Formation) -> None:
        """Let its processes go; they have to show that they did."""
        self._watch.serving = ()
        due_s = time.monotonic() + LETTING_GO_S
        for rank in formation.ranks:
            if (peer := self._peers.get(rank.peer)) is not None:
                peer.drop_due_s = due_s
                self._board.put(rank.peer, Drop(generation=formation.number))

    def _lose(self, name: bytes, why: str, *, may_return: bool = False) -> None:
        """Give a process up, and with it the generation that it is in.

        `may_return`: it is well, but was not heard; one of this machine is ended all the same.
        """
        peer = self._peers.pop(name, None)
        self._watch.went(name)
        if peer is None:
            return
        log.error("rank process %d (%s) %s", peer.rank.hello.pid, peer.rank.words, why)
        self._board.put(name, Anew() if may_return else Dismiss(why=why))
        if peer.is_local and not may_return:
            self._seats.kill(peer.rank.hello.pid)
        self._lose_rank(name, why)
        self._lock.notify_all()

    def _lose_rank(self, name: bytes, why: str, *, no_memory: bool = False) -> None:
        formation = self._formation
        if formation is None or formation.is_over or (rank := formation.rank_of(name)) is None:
            return
        formation.lose(rank, why, no_memory=no_memory)
        self._drop(formation)

    # ---- the crew's thread

    def _run(self) -> None:
        try:
            pulse_s = 0.0
            while not self._closing:
                self._poll()
                now_s = time.monotonic()
                with self._lock:
                    before = self._outline()
                    self._hear(now_s)
                    self._look(now_s)
                    if now_s - pulse_s >= BEAT_S:
                        pulse_s = now_s
                        self._pulse()
                    after = self._outline()
                    self._lock.notify_all()
                self._board.flush()
                if before != after:
                    self.on_change()
        except Exception:
            log.exception("the crew's thread broke")
            raise
        finally:
            self._leave()

    def _outline(self) -> object:
        """What `on_change` is about."""
        formation = self._formation
        over = formation is None or formation.is_over
        return formation, over, [peer.rank.peer for peer in self._fit()]

    def _poll(self) -> None:
        self._board.poller.poll(int(BEAT_S * 400))

    def _look(self, now_s: float) -> None:
        self._reap(now_s)
        self._seats.start_due(now_s)
        self._poll_pidfds()
        for name, fault in self._watch.look(now_s).items():
            # Over a network, silence may be the cable's fault.
            self._lose(name, fault.words, may_return=fault.is_silence and not self._peers[name].is_local)
        for name, peer in list(self._peers.items()):
            if peer.drop_due_s is None:
                continue
            beat = self._watch.last_beat(name)
            if beat is not None and beat.waits:
                peer.drop_due_s = None
            elif now_s > peer.drop_due_s:
                self._lose(name, "did not let go of a generation that is over")

    def _reap(self, now_s: float) -> None:
        for pid, how in self._seats.reap(now_s):
            for name, peer in list(self._peers.items()):
                if peer.is_local and peer.rank.hello.pid == pid:
                    self._lose(name, how)

    def _poll_pidfds(self) -> None:
        """Wake up when one of the processes of now ends."""
        running = {seat.pidfd for seat in self._seats.all if seat.pidfd >= 0}
        for pidfd in self._pidfds - running:
            self._board.poller.unregister(pidfd)
        for pidfd in running - self._pidfds:
            self._board.poller.register(pidfd, zmq.POLLIN)
        self._pidfds = running

    def _pulse(self) -> None:
        for name in self._peers:
            self._board.put(name, Pulse(clock_ns=time.monotonic_ns()))

    def _hear(self, now_s: float) -> None:
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
                    self._board.put_bytes(name, self.trace(message.seconds))
            elif name in self._peers:
                self._heard(name, message, now_s)
            else:
                self._board.put(name, Anew())

    def _came(self, name: bytes, hello: Hello, is_local: bool, now_s: float) -> None:
        if (known := self._peers.get(name)) is not None:
            # It has not been welcomed yet, or has not heard of it.
            known.heard_s = now_s
            self._watch.heard(name, now_s)
            self._greet(name)
            return
        if is_local and not self._seats.said_hello(hello.seat, hello.pid, now_s):
            self._board.put(name, Dismiss(why="another process has this place"))
            return
        if kind_of(hello.device) != self.config.kind:
            self._refuse(name, hello)
            return
        for other, peer in list(self._peers.items()):
            if hello.process and peer.rank.hello.process == hello.process:
                self._lose(other, "came back under another name", may_return=True)
        # Over the network nobody has a seat, whatever it says.
        seat = hello.seat if is_local else -1
        rank = RankProcess(name, hello if seat == hello.seat else without_seat(hello))
        self._peers[name] = Peer(rank, now_s, is_local)
        self._watch.came(name, now_s)
        log.info("rank process %d (%s) is there", hello.pid, rank.words)
        self._greet(name)

    def _greet(self, name: bytes) -> None:
        if self._welcome is not None:
            self._board.put(name, self._welcome)
            self._board.put(name, Pulse(clock_ns=time.monotonic_ns()))

    def _refuse(self, name: bytes, hello: Hello) -> None:
        why = f"{hello.device} cannot paint with {self.config.kind}: all ranks are cards, or all processors"
        log.error("rank process %d on %s: %s", hello.pid, hello.machine, why)
        self._board.put(name, Dismiss(why=why))

    def _heard(self, name: bytes, message: Message, now_s: float) -> None:
        peer = self._peers[name]
        peer.heard_s = now_s
        formation = self._formation
        match message:
            case Beat():
                self._watch.heard(name, now_s, message)
                now_ns = time.monotonic_ns()
                peer.clock.answered(sent_ns=message.echo_ns, its_clock_ns=message.clock_ns, now_ns=now_ns)
            case Knows(digest=digest) if digest != self.config.digest and self.config.digest:
                engine = self.config.engine
                self._lose(
                    name,
                    f"has other weights of {engine} than the worker; fetch the same on both machines"
                    f" (limner models pull {engine})",
                )
            case Said():
                self._watch.heard(name, now_s)
                if formation is not None and not formation.said(name, message):
                    self._lose(name, "lost a message on the way", may_return=not peer.is_local)
            case Fallen() if formation is not None and message.generation == formation.number:
                # What comes after another one's fall comes of it, such as a meeting that fails.
                is_own = message.is_own and not formation.lost()
                if is_own and message.no_memory:
                    self._is_full(name, peer, message.why)
                else:
                    self._fell(name, peer, message.why, now_s, is_own=is_own)

    def _is_full(self, name: bytes, peer: Peer, why: str) -> None:
        """A process has no memory for what it was to hold: the next generation gives it less."""
        log.error("rank process %d (%s) has too little memory: %s", peer.rank.hello.pid, peer.rank.words, why)
        self._lose_rank(name, "has too little memory for its blocks", no_memory=True)

    def leave_out(self, rank: RankProcess) -> None:
        """A process has no memory even for no blocks: as if it had failed."""
        with self._lock:
            wait_s = self._falls.fell(rank.place, time.monotonic())
        log.error("%s has no memory at all: it is left out for %.0f s", rank.words, wait_s)

    def _fell(self, name: bytes, peer: Peer, why: str, now_s: float, *, is_own: bool) -> None:
        """A process cannot go on; the generation is over, whoever's fault it was."""
        if not is_own:
            log.warning("rank process %d (%s) broke off: %s", peer.rank.hello.pid, peer.rank.words, why)
            self._lose_rank(name, "lost touch with another one")
            return
        log.error("rank process %d (%s): %s", peer.rank.hello.pid, peer.rank.words, why)
        self._lose_rank(name, f"cannot go on: {why}")
        if peer.fell_s is not None and now_s - peer.fell_s < FALLS_S:
            self._lose(name, f"failed again: {why}")
        peer.fell_s = now_s
        if (wait_s := self._falls.fell(peer.place, now_s)) > 0:
            log.error("%s is left out for %.0f s, since it failed again", peer.rank.words, wait_s)

    def _leave(self) -> None:
        with self._lock:
            self._closing = True
            self._end_generation()
            for name in self._peers:
                self._board.put(name, Dismiss(why="painting is over"))
            self._lock.notify_all()
        self._board.flush()
        self._seats.stop(STOP_S)
        self._board.close()


def _welcome(config: CrewConfig, choice: Choice | None) -> Welcome:
    kind = config.weight_kind if choice is None else choice.weights
    return Welcome(engine=config.engine, dtype=config.dtype, weight_kind=kind, choice=choice)
