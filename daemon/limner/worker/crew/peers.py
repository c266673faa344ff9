"""Processes that could be ranks, as the crew knows them."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import structs

from limner.engine.blocks import Blocks
from limner.worker.crew.clocks import ClockOffset
from limner.worker.crew.formation import RankProcess
from limner.worker.crew.messages import Hello


@dataclass
class Peer:
    """One of them, and how it is."""

    rank: RankProcess
    heard_s: float
    is_local: bool
    clock: ClockOffset = field(default_factory=ClockOffset)
    drop_due_s: float | None = None
    """It has to have left its generation by then."""
    fell_s: float | None = None
    """When it last could not go on."""

    loaded: Blocks | None = None
    """Blocks that it has in memory, as it was asked; None: it was not, or is not done."""

    @property
    def place(self) -> tuple[str, int, str]:
        """Its device, whichever process is on it."""
        return self.rank.place


def in_order(rank: RankProcess) -> tuple[bool, int, str, int]:
    """This machine's ranks first, as they are seated: the fewest transfers go over the network."""
    hello = rank.hello
    return hello.seat < 0, hello.seat, hello.machine, hello.pid


def without_seat(hello: Hello) -> Hello:
    """The same, from somewhere else than this machine."""
    return structs.replace(hello, seat=-1)
