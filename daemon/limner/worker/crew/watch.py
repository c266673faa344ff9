"""Who of the ranks is alive, from what is heard of them. Pure: time comes from outside."""

from __future__ import annotations

from dataclasses import dataclass, field

from limner.worker.crew.messages import Beat

SILENCE_S = 1.5
"""A rank that said nothing for this long is stopped, or cut off. Four beats were missed and two more."""
HANG_S = 1.5
"""A rank whose computing thread shows no life for this long hangs: a card is lost, a kernel does not end."""
WARM_HANG_S = 60.0
"""The same while it loads blocks and its libraries still compile and choose."""
WARM_REPORTS = 40
"""Signs of life until then; a pipeline's rank gives four a second."""
FIRST_REPORTS = 2
"""Until then a rank meets the others of its generation, and loads the blocks that it lacks: seconds, even of
one that is warm, when another one is lost and leaves it many."""
LOADING_SILENCE_S = 30.0
"""Imports and the reading of weights hold a process's threads up."""
AWAY_S = 0.6
"""Who looks this much later than meant was away: what was not heard meanwhile is nobody's fault."""


@dataclass(frozen=True)
class Fault:
    """Why a rank is given up, in words that follow its name."""

    words: str
    is_silence: bool = False


@dataclass
class _Seen:
    heard_s: float
    beat: Beat | None = None
    reports: int = 0
    """In all generations."""
    before: int = 0
    """In the generations before the one of now."""


@dataclass
class Watch:
    """Notes signs of life and says who shows none. Ranks go by a name of the caller's."""

    serving: tuple[bytes, ...] = ()
    """Those in the generation of now, from rank 1 on: of them, silence is a fault at once."""
    _seen: dict[bytes, _Seen] = field(default_factory=dict)
    _looked_s: float | None = None

    def came(self, who: bytes, now_s: float) -> None:
        """Note a new rank."""
        self._seen[who] = _Seen(now_s)

    def went(self, who: bytes) -> None:
        """Forget a rank."""
        self._seen.pop(who, None)

    def heard(self, who: bytes, now_s: float, beat: Beat | None = None) -> None:
        """Note that a rank said something."""
        if (seen := self._seen.get(who)) is None:
            return
        seen.heard_s = now_s
        if beat is None:
            return
        if seen.beat and seen.beat.generation != beat.generation:
            seen.before = seen.reports
        seen.reports, seen.beat = seen.before + beat.reports, beat

    def last_beat(self, who: bytes) -> Beat | None:
        """What a rank said last of itself."""
        seen = self._seen.get(who)
        return seen.beat if seen else None

    def look(self, now_s: float) -> dict[bytes, Fault]:
        """Return whom to give up, and why."""
        away = self._looked_s is not None and now_s - self._looked_s > AWAY_S
        self._looked_s = now_s
        if away:
            for seen in self._seen.values():
                seen.heard_s, seen.beat = now_s, None
            return {}
        silent = {
            who: Fault(f"said nothing for {now_s - seen.heard_s:.1f} s", is_silence=True)
            for who, seen in self._seen.items()
            if now_s - seen.heard_s > self._patience(who)
        }
        return silent or self._hanging()

    def _patience(self, who: bytes) -> float:
        return SILENCE_S if who in self.serving else LOADING_SILENCE_S

    def _hanging(self) -> dict[bytes, Fault]:
        found = {}
        for who in self.serving:
            seen = self._seen.get(who)
            if seen is None or seen.beat is None:
                continue
            is_warm = seen.reports >= WARM_REPORTS and seen.beat.reports >= FIRST_REPORTS
            limit_s = HANG_S if is_warm else WARM_HANG_S
            if (silent_s := seen.beat.silent_ms / 1000) > limit_s:
                found[who] = Fault(f"hangs: it got on with nothing for {silent_s:.1f} s")
        return found
