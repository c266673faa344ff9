"""A generation as rank 0 holds it: who is which rank, and the pipeline's channel to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limner.worker.crew.messages import Hello, Said, Told


@dataclass(frozen=True)
class RankProcess:
    """A process that is a rank. `peer`: its name on the line."""

    peer: bytes
    hello: Hello

    @property
    def place(self) -> tuple[str, int, str]:
        """Its device, whichever process is on it."""
        return self.hello.place or self.hello.machine, self.hello.seat, self.hello.device

    @property
    def words(self) -> str:
        """What people call it: "NVIDIA L4 (cuda:1)", with the machine where it is another one."""
        where = f" on {self.hello.machine}" if self.hello.seat < 0 else ""
        return f"{self.hello.device_name}{where}"


class Formation:
    """The `Coordinator` of one generation. For any thread."""

    def __init__(
        self, number: int, ranks: Sequence[RankProcess], send: Callable[[bytes, Told], None]
    ) -> None:
        """`ranks`: from rank 1 on. `send` must not wait."""
        self.number, self.ranks = number, tuple(ranks)
        self._send = send
        self._lock = threading.Lock()
        self._told = [0] * len(ranks)
        self._said = [0] * len(ranks)
        self._heard: list[tuple[int, bytes]] = []
        self._lost: dict[int, str] = {}
        self._without_memory: set[int] = set()
        self._over = False
        self._breaks: Callable[[], None] = lambda: None

    @property
    def size(self) -> int:
        """Processes, with rank 0."""
        return len(self.ranks) + 1

    # ---- the pipeline's side: `Coordinator`

    def tell(self, rank: int, message: bytes) -> None:
        """Send to a rank, 1 and up; to one that is lost it goes nowhere."""
        with self._lock:
            if self._over or rank in self._lost:
                return
            number, self._told[rank - 1] = self._told[rank - 1], self._told[rank - 1] + 1
            told = Told(generation=self.number, number=number, body=message)
            self._send(self.ranks[rank - 1].peer, told)

    def heard(self) -> list[tuple[int, bytes]]:
        """What came since the last call, oldest first: (rank, message)."""
        with self._lock:
            heard, self._heard = self._heard, []
            return heard

    def lost(self) -> frozenset[int]:
        """Ranks that are gone: with one of them, the generation is over."""
        with self._lock:
            return frozenset(self._lost)

    def attach(self, breaks: Callable[[], None]) -> None:
        """From now on, the loss of a rank `breaks` what threads here may wait for. At once if it is over."""
        with self._lock:
            self._breaks = breaks
            over = self._over
        if over:
            breaks()

    # ---- the crew's side

    def said(self, peer: bytes, said: Said) -> bool:
        """Add a report; False: one before it was lost on the way."""
        with self._lock:
            rank = self.rank_of(peer)
            if rank is None or said.generation != self.number or self._over:
                return True
            if said.number != self._said[rank - 1]:
                return False
            self._said[rank - 1] += 1
            self._heard.append((rank, said.body))
            return True

    def rank_of(self, peer: bytes) -> int | None:
        """The rank that a process is; None: it is not in this generation."""
        return next((rank for rank, one in enumerate(self.ranks, 1) if one.peer == peer), None)

    def lose(self, rank: int, why: str, *, no_memory: bool = False) -> None:
        """A rank is gone: the generation is over. `no_memory`: for what it was to hold."""
        with self._lock:
            self._lost.setdefault(rank, why)
            if no_memory:
                self._without_memory.add(rank)
        self.end()

    def end(self) -> None:
        """Nothing more is told or heard; who waits for data here is told so."""
        with self._lock:
            over, self._over = self._over, True
        if not over:
            self._breaks()

    @property
    def is_over(self) -> bool:
        """A rank was lost, or another generation came."""
        with self._lock:
            return self._over

    @property
    def without_memory(self) -> frozenset[int]:
        """Ranks that were lost for want of memory: with fewer blocks they can go on."""
        with self._lock:
            return frozenset(self._without_memory)

    @property
    def why(self) -> str:
        """Why it is over, for people; empty: no rank was lost."""
        with self._lock:
            return "; ".join(
                f"Rank {rank} ({self.ranks[rank - 1].words}) {why}" for rank, why in self._lost.items()
            )
