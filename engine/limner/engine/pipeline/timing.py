"""How long a rank computes and waits, without waiting for the device to know it."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Sequence

from limner.engine.clock import Span
from limner.engine.pipeline.commands import Times

REPORT_S = 0.25
"""Between two reports of a rank."""
_UNFINISHED = 2
"""Of the newest forwards a device may still be at work, so they are counted in the next report."""


class StageTimes:
    """Collects the times of one rank; `due` gives them every so often."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._spans: deque[Span] = deque()
        self._waiting_s = 0.0
        self._since_s = time.perf_counter()

    def computed(self, span: Span) -> None:
        """A forward was in the blocks for so long."""
        self._spans.append(span)

    def waited(self, seconds: float) -> None:
        """There was nothing to compute with for so long."""
        self._waiting_s += seconds

    def due(self, held: Sequence[int]) -> Times | None:
        """What happened since the last report; None when that was not long ago. `held`: its blocks."""
        now_s = time.perf_counter()
        if now_s - self._since_s < REPORT_S:
            return None
        on_device = bool(self._spans) and not isinstance(self._spans[-1].end, float)
        ready = max(0, len(self._spans) - (_UNFINISHED if on_device else 0))
        lengths_ms = [self._spans.popleft().ms() for _ in range(ready)]
        times = Times(
            rank=self._rank,
            held=tuple(held),
            forwards=len(lengths_ms),
            compute_ms=statistics.median(lengths_ms) if lengths_ms else 0.0,
            busy_ms=sum(lengths_ms),
            waiting_ms=self._waiting_s * 1000,
            spent_ms=(now_s - self._since_s) * 1000,
        )
        self._waiting_s, self._since_s = 0.0, now_s
        return times
