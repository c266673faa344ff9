"""How long a rank computes and waits, without waiting for the device to know it."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Sequence

import torch

from limner.engine.clock import Mark, Span
from limner.engine.pipeline.commands import Coded, Coding, Times

REPORT_S = 0.25
"""Between two reports of a rank."""
STUCK_S = 0.5
"""A device that is at one thing for longer hangs, or is slower than anybody would paint with."""

_ALONE = 0.2
"""Of forwards on a device, this share took no longer than one with nothing beside it takes."""

_MOST_SPANS = 200
"""In a report, which has to stay small."""


class WorkClock:
    """What a thread's work takes by itself, whoever else wants the processor. Of no use on other devices."""

    def __init__(self, device: torch.device, more_ms: float = 0.0) -> None:
        """`more_ms`: of work that belongs to it, and was done before."""
        self._began_s = time.thread_time() if device.type == "cpu" else None
        self._more_ms = more_ms

    def ms(self) -> float | None:
        """Since it was made, on the thread that made it; None: the device does the work."""
        if self._began_s is None:
            return None
        return (time.thread_time() - self._began_s) * 1000 + self._more_ms


class StageTimes:
    """Collects the times of one rank; `due` gives them every so often."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._spans: deque[Span] = deque()
        self._waiting_s = 0.0
        self._since_s = time.perf_counter()
        self._anchor: tuple[Mark, float] | None = None
        """A mark of the device, and the host's clock then."""
        self._begun: tuple[Span, float] | None = None
        """What the device is at, and since when that is known."""
        self._coded: dict[Coding, deque[Span]] = {"encode": deque(), "decode": deque()}
        self._worked: dict[Coding | None, deque[float]] = {
            None: deque(),
            "encode": deque(),
            "decode": deque(),
        }

    def computed(self, span: Span, work: WorkClock | None = None) -> None:
        """A forward was in the blocks for so long. `work`: begun with it."""
        self._note_work(None, work)
        if self._anchor is None:
            self._anchor = span.start, time.perf_counter()
        self._spans.append(span)

    def coded(self, what: Coding, span: Span, work: WorkClock | None = None) -> None:
        """A chunk was encoded or decoded. For any thread; `work` is of the one that did it."""
        self._note_work(what, work)
        if self._anchor is None:
            self._anchor = span.start, time.perf_counter()
        self._coded[what].append(span)

    def _note_work(self, what: Coding | None, work: WorkClock | None) -> None:
        if work is not None and (ms := work.ms()) is not None:
            self._worked[what].append(ms)

    def is_stuck(self, now_s: float) -> bool:
        """The device has been at one thing for too long, and what that needs from other ranks was there.

        To be asked every so often. Always False on a host, where whoever asks would be stuck as well.
        """
        unfinished = (spans[0] for spans in (self._spans, *self._coded.values()) if spans)
        begun = [span for span in unfinished if span.is_begun and not span.is_over]
        if self._begun is None or all(span is not self._begun[0] for span in begun):
            self._begun = (begun[0], now_s) if begun else None
        return self._begun is not None and now_s - self._begun[1] > STUCK_S

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
            work_ms=self._work(None, lengths_ms),
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
            work_ms=self._work(what, lengths_ms),
            busy_ms=sum(lengths_ms),
            spans_us=_spans_us(spans[:_MOST_SPANS], self._anchor),
        )

    def _work(self, what: Coding | None, lengths_ms: list[float]) -> float:
        """What one of these took by itself."""
        worked = self._worked[what]
        works_ms = [worked.popleft() for _ in range(len(worked))]
        if works_ms:
            return statistics.median(works_ms)
        return sorted(lengths_ms)[int(_ALONE * len(lengths_ms))] if lengths_ms else 0.0


def _finished(spans: deque[Span]) -> list[Span]:
    """Take out those that the device is done with."""
    finished = []
    while spans and spans[0].is_over:
        finished.append(spans.popleft())
    return finished


def _spans_us(spans: Sequence[Span], anchor: tuple[Mark, float] | None) -> tuple[tuple[int, int], ...]:
    """When each began, on the host's monotonic clock, and how long it was."""
    if anchor is None:
        return ()
    mark, at_s = anchor
    return tuple(
        (int((at_s + Span(mark, span.start).ms() / 1000) * 1e6), int(span.ms() * 1000)) for span in spans
    )
