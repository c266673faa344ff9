"""Makes room when an engine is out of memory: another stream in the place of one, that takes less."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from msgspec import structs

from limner.daemon.protocol import Settings
from limner.daemon.worker_protocol import Open
from limner.engine.slo_plan import Plan
from limner.worker.engines import AtOnce, Painted, PaintEngine, PaintStream, Pixels
from limner.worker.governor import Governor
from limner.worker.stats import Stats
from limner.worker.streams import SessionStream

log = logging.getLogger("limner.worker")
ADVICE = (
    "not enough memory even for the smallest picture; close what else uses the device, or choose a smaller"
    " model"
)


class NoPlaceError(Exception):
    """The device has no time for one more session; the message says what would fit."""


class Room:
    """Opens painters, with less where memory does not allow what is wished."""

    def __init__(self, engine: PaintEngine, governor: Governor | None, stats: Stats) -> None:
        self._engine, self._governor, self._stats = engine, governor, stats

    def open(self, opening: Open) -> tuple[PaintStream, Plan | None]:
        """Begin a session; raises NoPlaceError, or MemoryError where nothing (more) can give way."""
        if self._governor and (refused := self._governor.refusal(opening)):
            raise NoPlaceError(refused.sentence)
        plan = self._governor.open(opening) if self._governor else None
        return self._opened(opening, plan)

    def make(self, stream: SessionStream) -> None:
        """Go on with a painter that takes less; raises MemoryError as `open` does.

        Not by an update: while it changes over, a stream holds both its old memory and the new.
        """
        stream.begin_anew()
        stream.painter = _Vacant(stream.painter.frames_per_chunk)
        plan = self._lower(stream.opening.session)
        opening = structs.replace(stream.opening, settings=stream.settings, rev=stream.rev)
        stream.painter, stream.plan = self._opened(opening, plan)

    def _opened(self, opening: Open, plan: Plan | None) -> tuple[PaintStream, Plan | None]:
        while True:
            try:
                return self._engine.open_stream(opening, plan), plan
            except MemoryError as error:
                log.warning("session %r is out of memory: %s", opening.session, error)
            # Outside of the handler: an error holds on to what was alive where it was raised.
            plan = self._lower(opening.session)

    def _lower(self, session: str) -> Plan:
        """Return a plan that takes less, or the same where there is more room now that others gave way."""
        if self._governor is None:
            raise MemoryError(ADVICE)
        if self._engine.free_memory():
            log.warning("session %r: the text encoder gives way", session)
            return self._governor.plan(session)
        plan = self._governor.out_of_memory(session)
        if plan is None:
            raise MemoryError(ADVICE)
        words = self._governor.memory_words(session)
        log.warning("session %r: %s", session, words)
        self._stats.limited(session, words)
        return plan


class _Vacant(AtOnce):
    """In a painter's place while its memory is given back."""

    def __init__(self, frames_per_chunk: int) -> None:
        super().__init__()
        self.frames_per_chunk = frames_per_chunk

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        taken()
        return None

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        """Nothing is painted."""

    def reset(self) -> None:
        """Nothing is remembered."""
