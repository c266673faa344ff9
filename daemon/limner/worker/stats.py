"""Figures for the report. Written by the loop, read by the link."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from limner.daemon.protocol import Plan, RankInfo
from limner.daemon.worker_protocol import Report
from limner.worker.link import memory_bytes


@dataclass(frozen=True)
class RanksNow:
    """What there is to say of an engine's ranks."""

    waits: str = ""
    """Why they do not paint, for people; empty: they do."""
    ranks: list[RankInfo] = field(default_factory=list)


@runtime_checkable
class OverRanks(Protocol):
    """An engine that is spread over several processes, perhaps."""

    def ranks(self) -> RanksNow:
        """Who they are, and how they do. For any thread."""


class Stats:
    """Thread-safe counts and mean stage times since the last report."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chunks = 0
        self._busy = False
        self._sums: dict[str, dict[str, float]] = {}
        self._counts: dict[str, int] = {}
        self._means: dict[str, dict[str, float]] = {}
        self._notes: dict[str, str] = {}
        self._limits: dict[str, str] = {}
        self._strengths: dict[str, float] = {}
        self._plans: dict[str, Plan] = {}
        self.ranks: Callable[[], RanksNow] = RanksNow
        """Of an engine over several."""

    def begin(self) -> None:
        """A job begins."""
        with self._lock:
            self._busy = True

    def end(self, *, working: bool = False) -> None:
        """A job is done; `working`: a painter is not."""
        with self._lock:
            self._busy = working
            self._chunks += 1

    def planned(self, session: str, plan: Plan) -> None:
        """Note what a session is painted by from now on."""
        with self._lock:
            self._plans[session] = plan

    def limited(self, session: str, words: str) -> None:
        """Note what a session goes without, to be told until it is over; empty: nothing (any more)."""
        with self._lock:
            self._limits[session] = words

    def noted(self, session: str, words: str) -> None:
        """Note what there is to say of a session before its first chunk."""
        with self._lock:
            self._notes[session] = words

    def painted(
        self, session: str, stages_ms: dict[str, float], note: str, strength: float | None = None
    ) -> None:
        """Note the times of a chunk, and what else there is to say of it."""
        with self._lock:
            sums = self._sums.setdefault(session, {})
            for stage, ms in stages_ms.items():
                sums[stage] = sums.get(stage, 0.0) + ms
            self._counts[session] = self._counts.get(session, 0) + 1
            self._notes[session] = note
            if strength is not None:
                self._strengths[session] = min(1.0, max(0.0, strength))

    def forget(self, session: str) -> None:
        """Drop a session's figures."""
        with self._lock:
            tables: tuple[dict[str, Any], ...] = (self._sums, self._counts, self._means, self._notes)
            for table in (*tables, self._limits, self._strengths, self._plans):
                table.pop(session, None)

    def report(self) -> Report:
        """Return the figures and begin anew; a session without a chunk keeps its last means."""
        ranks = self.ranks()
        with self._lock:
            for session, count in self._counts.items():
                self._means[session] = {
                    stage: round(total / count, 3) for stage, total in self._sums[session].items()
                }
            self._sums, self._counts = {}, {}
            return Report(
                chunks=self._chunks,
                busy=self._busy,
                memory_bytes=memory_bytes(),
                stages_ms=dict(self._means),
                notes=self._told(),
                strengths=dict(self._strengths),
                plans=dict(self._plans),
                waits=ranks.waits,
                ranks=ranks.ranks,
            )

    def _told(self) -> dict[str, str]:
        sessions = self._notes.keys() | self._limits.keys()
        told = {name: (self._limits.get(name, ""), self._notes.get(name, "")) for name in sessions}
        return {name: "; ".join(filter(None, words)) for name, words in told.items() if any(words)}
