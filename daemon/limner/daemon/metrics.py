"""Running figures: percentiles and rates over the last few seconds. The caller gives the time, in ns."""

from __future__ import annotations

from collections import deque

from limner.daemon.protocol import Percentiles

NS_PER_S = 1_000_000_000


class RunningPercentiles:
    """Percentiles of the values of the last `window_s` seconds, the newest `capacity` of them at the most."""

    def __init__(self, *, window_s: float = 5.0, capacity: int = 1024) -> None:
        self._window_ns = int(window_s * NS_PER_S)
        self._values: deque[tuple[int, float]] = deque(maxlen=capacity)

    def add(self, now_ns: int, value: float) -> None:
        """Note a value."""
        self._values.append((now_ns, value))

    def read(self, now_ns: int) -> Percentiles:
        """Return p50, p95 and p99 (nearest rank); zeros when there is nothing."""
        while self._values and self._values[0][0] < now_ns - self._window_ns:
            self._values.popleft()
        ordered = sorted(value for _, value in self._values)
        if not ordered:
            return Percentiles()

        def rank(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

        return Percentiles(p50=rank(0.50), p95=rank(0.95), p99=rank(0.99))


class Rate:
    """Events a second over the last `window_s` seconds."""

    def __init__(self, *, window_s: float = 2.0) -> None:
        self._window_ns = int(window_s * NS_PER_S)
        self._times: deque[int] = deque(maxlen=4096)
        self._since_ns: int | None = None

    def add(self, now_ns: int) -> None:
        """Note an event."""
        if self._since_ns is None:
            self._since_ns = now_ns
        self._times.append(now_ns)

    def read(self, now_ns: int) -> float:
        """Return events a second; a counter younger than its window counts over its age."""
        while self._times and self._times[0] <= now_ns - self._window_ns:
            self._times.popleft()
        if not self._times:
            self._since_ns = None
            return 0.0
        assert self._since_ns is not None
        span_ns = min(self._window_ns, max(now_ns - self._since_ns, NS_PER_S // 2))
        return round(len(self._times) * NS_PER_S / span_ns, 2)
