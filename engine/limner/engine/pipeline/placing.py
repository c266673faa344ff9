"""Decoding that moves while streams paint: the decoder is loaded ahead where it goes, then handed over.

The rank that is to decode loads the decoder beside its work. Only then does decoding go there, at one place
in the order of all chunks, with what decoders remember of each stream: frames are the same as without.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future

from limner.engine.pipeline import commands as c
from limner.engine.pipeline.decode_place import DecodePlace
from limner.engine.pipeline.first import FirstRank

log = logging.getLogger(__name__)


class Placer:
    """Brings decoding to where it is wanted. For the thread that drives."""

    def __init__(self, first: FirstRank, place: DecodePlace) -> None:
        self._first, self._place = first, place
        self._wanted = place.rank
        self._preparing: int | None = None
        self._loading: Future[None] | None = None
        self.unable: set[int] = set()
        """Ranks that could not load the decoder."""

    @property
    def rank(self) -> int:
        """That decodes now."""
        return self._place.rank

    @property
    def is_moving(self) -> bool:
        """Decoding is not where it is wanted."""
        return self._preparing is not None or self._wanted != self.rank

    def want(self, rank: int) -> None:
        """Decode there, as soon as it can."""
        self._wanted = rank

    def prepared(self, rank: int, report: c.DecoderPrepared) -> None:
        """A rank has loaded the decoder, or could not."""
        if rank == self._preparing:
            self._settle(rank, report.fault)

    def look(self) -> None:
        """Go on, if there is anything to go on with."""
        if self._loading is not None and self._loading.done():
            fault, self._loading = self._loading.exception(), None
            self._settle(0, "" if fault is None else f"{type(fault).__name__}: {fault}")
        if self._preparing is None and self._wanted != self.rank:
            self._prepare(self._wanted)

    def _prepare(self, rank: int) -> None:
        self._preparing = rank
        if rank:
            self._first.tell_one(rank, c.PrepareDecoder(sizes=tuple(self._place.sizes)))
            return
        self._loading = self._place.prepare()

    def _settle(self, rank: int, fault: str) -> None:
        self._preparing = None
        if fault:
            log.warning("rank %d could not load the decoder, which stays where it is: %s", rank, fault)
            self.unable.add(rank)
            self._wanted = self.rank
        elif rank == self._wanted:
            self._place.move(rank)
