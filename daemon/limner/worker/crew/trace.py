"""What all ranks did of late, as Chrome and Perfetto show it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from limner.daemon.rank_trace import MOST_S

NS_PER_US = 1000
NS_PER_S = 1_000_000_000
MOST_SPANS = 50_000


class _Span(NamedTuple):
    rank: int
    lane: str
    name: str
    start_ns: int
    """On rank 0's clock."""
    length_ns: int


class TraceBook:
    """Keeps the spans of the last while. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: deque[_Span] = deque(maxlen=MOST_SPANS)

    def add(self, rank: int, lane: str, name: str, start_ns: int, length_ns: int) -> None:
        """A rank did something from then on, by rank 0's monotonic clock."""
        with self._lock:
            self._spans.append(_Span(rank, lane, name, start_ns, length_ns))
            oldest_ns = start_ns - int(2 * MOST_S * NS_PER_S)
            while self._spans and self._spans[0].start_ns < oldest_ns:
                self._spans.popleft()

    def json(self, names: Mapping[int, str], *, since_ns: int) -> bytes:
        """Spans that ended after `since_ns`, in Chrome's trace format; `names`: of the ranks."""
        with self._lock:
            spans = [span for span in self._spans if span.start_ns + span.length_ns >= since_ns]
        lanes = {key: number for number, key in enumerate(sorted({(s.rank, s.lane) for s in spans}))}
        named = (
            [_named("process_name", rank, 0, name) for rank, name in sorted(names.items())] if spans else []
        )
        named += [_named("thread_name", rank, number, lane) for (rank, lane), number in lanes.items()]
        events = [
            {
                "name": span.name,
                "ph": "X",
                "pid": span.rank,
                "tid": lanes[span.rank, span.lane],
                "ts": (span.start_ns - since_ns) / NS_PER_US,
                "dur": span.length_ns / NS_PER_US,
            }
            for span in spans
        ]
        return msgspec.json.encode({"traceEvents": [*named, *events], "displayTimeUnit": "ms"})


def _named(kind: str, rank: int, lane: int, name: str) -> dict[str, object]:
    return {"name": kind, "ph": "M", "pid": rank, "tid": lane, "args": {"name": name}}
