"""Which process decodes, from one generation to the next."""

from __future__ import annotations

from limner.daemon.rank_options import DecodeOn
from limner.worker.crew.formation import Formation


class Deciding:
    """Keeps decoding with the process that did it, as long as it is there; else with the worker."""

    def __init__(self, wanted: DecodeOn) -> None:
        self._wanted = wanted
        self._peer: bytes | None = None
        """That decoded last; None: the worker."""

    @property
    def is_free(self) -> bool:
        """It may go to where there is time."""
        return self._wanted == "auto"

    def rank_in(self, formation: Formation) -> int:
        """The rank that decodes as a generation begins."""
        if self._wanted == "last":
            return formation.size - 1
        if self._wanted == "first" or self._peer is None:
            return 0
        return formation.rank_of(self._peer) or 0

    def expected(self, others: int) -> int:
        """The rank that decodes where so many others gather, as far as that can be known before."""
        return others if self._wanted == "last" else 0

    def was_on(self, formation: Formation, rank: int) -> None:
        """Which rank decoded as a generation ended."""
        self._peer = formation.ranks[rank - 1].peer if rank else None
