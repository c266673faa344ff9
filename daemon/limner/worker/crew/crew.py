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

from limner.engine.blocks import Blocks
from limner.models.plan_bytes import Choice
from limner.worker.crew.config import CrewConfig, CrewError
from limner.worker.crew.formation import Formation, RankProcess
from limner.worker.crew.hearing import Hearing
from limner.worker.crew.messages import BEAT_S, Beat, Pulse
from limner.worker.crew.roll import Roll
from limner.worker.crew.seats import Seats
from limner.worker.crew.switchboard import Switchboard
from limner.worker.crew.trace import TraceBook

log = logging.getLogger("limner.worker")
STOP_S = 1.0


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
        self._seats = Seats(config.endpoint, config.devices, config.threads, config.visible_cards)
        self._roll = Roll(config, self._board, self._seats)
        self._hearing = Hearing(config, self._board, self._seats, self._roll, self.trace)
        self._closing = False
        self._pidfds: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="crew", daemon=True)
        self._thread.start()

    # ---- who is there

    def known(self) -> list[RankProcess]:
        """All processes that said hello, in the order that they would be ranks in."""
        with self._lock:
            return self._roll.known()

    def waiting(self) -> list[RankProcess]:
        """Processes that could be ranks and are in no generation."""
        with self._lock:
            return self._roll.waiting()

    def fit(self) -> list[RankProcess]:
        """Who could be in the next generation, and is in none, from rank 1 on."""
        with self._lock:
            return self._roll.fit()

    def wait_for_known(self, count: int, timeout_s: float) -> list[RankProcess]:
        """Wait until so many processes said hello, or cannot be hoped for; return those that did."""
        return self._wait_for(self._roll.known, count, timeout_s)

    def wait_for(self, count: int, timeout_s: float) -> int:
        """Wait until so many processes can be gathered, or cannot be hoped for; return how many can."""
        return len(self._wait_for(self._roll.fit, count, timeout_s))

    def settle(self, choice: Choice | None) -> None:
        """Let all processes know what will be painted with; they get ready then."""
        with self._lock:
            self._roll.settle(choice)

    def load(self, peer: bytes, blocks: Blocks) -> None:
        """Let a process that waits load these blocks; it is not fit to be gathered until it has."""
        with self._lock:
            self._roll.load(peer, blocks)

    def loaded(self, peer: bytes) -> Blocks | None:
        """What it has loaded; None: it has not been asked, is not done, or is not there."""
        with self._lock:
            found = self._roll.peers.get(peer)
            return found.loaded if found else None

    def leave_out(self, rank: RankProcess) -> None:
        """A process has no memory even for no blocks: as if it had failed."""
        with self._lock:
            wait_s = self._roll.falls.fell(rank.place, time.monotonic())
        log.error("%s has no memory at all: it is left out for %.0f s", rank.words, wait_s)

    # ---- generations

    @property
    def formation(self) -> Formation | None:
        """The generation of now; it may be over."""
        return self._roll.formation

    def free(self) -> list[RankProcess]:
        """End the generation of now; return who could be in the next one, from rank 1 on.

        Waits until those who were in it let go of it, or are given up: 2 s at most.
        """
        with self._lock:
            self._roll.end_generation()
            while self._roll.is_dropping and not self._closing:
                self._lock.wait(0.05)
            return self._roll.fit()

    def form(self, host: str, port: int, transport: Literal["gloo", "nccl"] = "gloo") -> Formation:
        """End the generation of now and tell all who are `free` to gather into the next one.

        The caller has to join it as rank 0, through the store at `host`:`port`.
        """
        with self._lock:
            self.free()
            return self._roll.form(host, port, transport)

    def disband(self) -> None:
        """End the generation of now; its processes wait for the next."""
        with self._lock:
            self._roll.end_generation()

    def close(self) -> None:
        """Dismiss all ranks and end their processes."""
        with self._lock:
            self._roll.end_generation()
            self._closing = True
            self._lock.notify_all()
        self._board.wake_up()
        self._thread.join()

    # ---- how they do

    def beat_of(self, peer: bytes) -> Beat | None:
        """What a process said last of itself."""
        with self._lock:
            return self._roll.watch.last_beat(peer)

    def offset_ns(self, peer: bytes) -> int:
        """A process's monotonic clock less our own."""
        with self._lock:
            found = self._roll.peers.get(peer)
            return found.clock.offset_ns if found else 0

    def trace(self, seconds: float) -> bytes:
        """What all ranks did in the last seconds, as JSON in Chrome's format."""
        formation = self.formation
        names = {0: "Rank 0: the worker"}
        if formation is not None:
            names |= {number: f"Rank {number}: {one.words}" for number, one in enumerate(formation.ranks, 1)}
        return self.book.json(names, since_ns=time.monotonic_ns() - int(seconds * 1e9))

    def _wait_for(
        self, found: Callable[[], list[RankProcess]], count: int, timeout_s: float
    ) -> list[RankProcess]:
        end_s = time.monotonic() + timeout_s
        with self._lock:
            while len(ranks := found()) < count and not self._roll.is_hopeless(count):
                if self._closing or time.monotonic() >= end_s:
                    break
                self._lock.wait(0.1)
            return ranks

    # ---- the crew's thread

    def _run(self) -> None:
        try:
            pulse_s = 0.0
            while not self._closing:
                self._board.poller.poll(int(BEAT_S * 400))
                now_s = time.monotonic()
                with self._lock:
                    before = self._roll.outline()
                    self._hearing.hear(now_s)
                    self._roll.look(now_s)
                    self._look_after_seats(now_s)
                    if now_s - pulse_s >= BEAT_S:
                        pulse_s = now_s
                        self._pulse()
                    after = self._roll.outline()
                    self._lock.notify_all()
                self._board.flush()
                if before != after:
                    self.on_change()
        except Exception:
            log.exception("the crew's thread broke")
            raise
        finally:
            self._leave()

    def _look_after_seats(self, now_s: float) -> None:
        """Start who is due, and be woken up when one of those that run ends."""
        self._seats.start_due(now_s)
        running = {seat.pidfd for seat in self._seats.all if seat.pidfd >= 0}
        for pidfd in self._pidfds - running:
            self._board.poller.unregister(pidfd)
        for pidfd in running - self._pidfds:
            self._board.poller.register(pidfd, zmq.POLLIN)
        self._pidfds = running

    def _pulse(self) -> None:
        for name in self._roll.peers:
            self._board.put(name, Pulse(clock_ns=time.monotonic_ns()))

    def _leave(self) -> None:
        with self._lock:
            self._closing = True
            self._roll.dismiss_all("painting is over")
            self._lock.notify_all()
        self._board.flush()
        self._seats.stop(STOP_S)
        self._board.close()
