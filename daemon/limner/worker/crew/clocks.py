"""How far a rank's clock is from the worker's: each machine counts its monotonic time from its own start."""

from __future__ import annotations

from collections import deque

KEPT = 64


class ClockOffset:
    """Of the round trips of late, the shortest says it best: the least of it was spent waiting."""

    def __init__(self) -> None:
        self._trips: deque[tuple[int, int]] = deque(maxlen=KEPT)

    def answered(self, *, sent_ns: int, its_clock_ns: int, now_ns: int) -> None:
        """Note an answer: when the question left, the rank's clock then, and the time of now."""
        if 0 < sent_ns <= now_ns:
            self._trips.append((now_ns - sent_ns, its_clock_ns - (sent_ns + now_ns) // 2))

    @property
    def offset_ns(self) -> int:
        """The rank's clock less the worker's; 0 before the first answer."""
        return min(self._trips, default=(0, 0))[1]

    @property
    def uncertainty_ns(self) -> int:
        """It may be wrong by this much."""
        return min(self._trips, default=(0, 0))[0] // 2
