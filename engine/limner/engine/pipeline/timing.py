"""How long a rank computes and waits, without waiting for the device to know it."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Sequence

from limner.engine.clock import Mark, Span
from limner.engine.pipeline.commands import Coded, Coding, Times

REPORT_S = 0.25
"""Between two reports of a rank."""
_UNFINISHED = 2
"""Of the newest forwards a device may still be at work, so they are counted in the next report."""

_MOST_SPANS = 200
"""In a report, which has to stay small."""


class StageTimes:
    """Collects the times of one rank; `due` gives them every so often."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._spans: deque[Span] = deque()
        self._waiting_s = 0.0
        self._since_s = time.perf_counter()
        self._anchor: tuple[Mark, float] | None = None
        """A mark of the device, and the host's clock then."""
        self._coded: dict[Coding, deque[Span]] = {"encode": deque(), "decode": deque()}

    def computed(self, span: Span) -> None:
        """A forward was in the blocks for so long."""
        if self._anchor is None:
            self._anchor = span.start, time.perf_counter()
        self._spans.append(span)

    def coded(self, what: Coding, span: Span) -> None:
        """A chunk was encoded or decoded. For any thread."""
        if self._anchor is None:
            self._anchor = span.start, time.perf_counter()
        self._coded[what].append(span)

    def waited(self, seconds: float) -> None:
        """There was nothing to compute with for so long."""
        self._waiting_s += seconds

    def due(self, held: Sequence[int]) -> Times | None:
        """What happened since the last report; None when that was not long ago. `held`: its blocks."""
        now_s = time.perf_counter()
        if now_s - self._since_s < REPORT_S:
            return None
        spans = _finished(self._spans)
        lengths_ms = [span.ms() for span in spans]
        times = Times(
            rank=self._rank,
            held=tuple(held),
            forwards=len(lengths_ms),
            compute_ms=statistics.median(lengths_ms) if lengths_ms else 0.0,
            busy_ms=sum(lengths_ms),
            waiting_ms=self._waiting_s * 1000,
            spent_ms=(now_s - self._since_s) * 1000,
            spans_us=_spans_us(spans[:_MOST_SPANS], self._anchor),
            coded=tuple(self._summed(what) for what, spans in self._coded.items() if spans),
        )
        self._waiting_s, self._since_s = 0.0, now_s
        return times

    def _summed(self, what: Coding) -> Coded:
        spans = _finished(self._coded[what])
        lengths_ms = [span.ms() for span in spans]
        return Coded(
            what=what,
            chunks=len(spans),
            ms=statistics.median(lengths_ms) if lengths_ms else 0.0,
            busy_ms=sum(lengths_ms),
            spans_us=_spans_us(spans[:_MOST_SPANS], self._anchor),
        )


def _finished(spans: deque[Span]) -> list[Span]:
    """Take out those that the device is done with."""
    on_device = bool(spans) and not isinstance(spans[-1].end, float)
    ready = max(0, len(spans) - (_UNFINISHED if on_device else 0))
    return [spans.popleft() for _ in range(ready)]


def _spans_us(spans: Sequence[Span], anchor: tuple[Mark, float] | None) -> tuple[tuple[int, int], ...]:
    """When each began, on the host's monotonic clock, and how long it was."""
    if anchor is None:
        return ()
    mark, at_s = anchor
    return tuple(
        (int((at_s + Span(mark, span.start).ms() / 1000) * 1e6), int(span.ms() * 1000)) for span in spans
    )
