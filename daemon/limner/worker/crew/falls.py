"""How long a device is left out after it failed. Pure: time comes from outside.

Each time that a rank is taken in, the chunks of all others are lost. One that fails whenever it is taken in
(its card's memory is a game's) would interrupt the picture every few seconds, and no fresh process helps.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

WAITS_S = (0.0, 30.0, 60.0, 120.0, 300.0)
"""After the first failure, which may be an accident, after the second, and so on."""
FORGIVEN_S = 300.0
"""Without a failure since it was taken in again."""


@dataclass
class Falls:
    """What is held against places: devices, whatever process is on them."""

    _fell: dict[Hashable, tuple[int, float]] = field(default_factory=dict)

    def fell(self, place: Hashable, now_s: float) -> float:
        """Note a failure; return for how long nobody is taken in from there, s."""
        times, last_s = self._fell.get(place, (0, now_s))
        if times and now_s > last_s + _wait_s(times) + FORGIVEN_S:
            times = 0
        self._fell[place] = (times + 1, now_s)
        return _wait_s(times + 1)

    def may_join(self, place: Hashable, now_s: float) -> bool:
        """Whether it may be tried again."""
        times, last_s = self._fell.get(place, (0, 0.0))
        return times == 0 or now_s >= last_s + _wait_s(times)


def _wait_s(times: int) -> float:
    return WAITS_S[min(times, len(WAITS_S)) - 1]
