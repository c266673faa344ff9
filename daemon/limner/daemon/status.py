"""What state a session is in, and the sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass

from limner.daemon.protocol import State, WorkerInfo

# Painted below this share of what comes in, with frames dropped, is more than jitter ...
OVERLOAD_SHARE = 0.6
# ... and over only above this share for this long: a state that flaps helps nobody.
WELL_SHARE = 0.75
WELL_NS = 2_000_000_000
# Rates look back some seconds: before that, the start would look like an overload.
SETTLE_NS = 3_000_000_000


class OverloadWatch:
    """Whether painting falls too far behind; slow to say that it is over."""

    def __init__(self) -> None:
        self._overloaded = False
        self._well_since_ns: int | None = None

    def look(
        self, now_ns: int, *, painting_ns: int, fps_in: float, fps_out: float, fps_dropped: float
    ) -> bool:
        """Return whether it is so. `painting_ns`: since the first painted frame, as in `Facts`."""
        if painting_ns <= SETTLE_NS:
            self._overloaded = False
        elif not self._overloaded:
            self._overloaded = fps_out < OVERLOAD_SHARE * fps_in and fps_dropped > 0
            self._well_since_ns = None
        elif fps_out < WELL_SHARE * fps_in and fps_dropped > 0:
            self._well_since_ns = None
        elif self._well_since_ns is None:
            self._well_since_ns = now_ns
        else:
            self._overloaded = now_ns - self._well_since_ns < WELL_NS
        return self._overloaded


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the state of a session depends on."""

    bypass: bool
    failure: str
    """Why this session cannot be painted; empty: it can."""
    opened: bool
    """The worker has its segments mapped."""
    worker: WorkerInfo
    progress: float
    """Of the worker's loading, 0..1."""
    fps_in: float
    painting_ns: int
    """Since the worker gave the first painted frame; 0: it gave none yet."""
    fps_out: float
    overloaded: bool
    steps: int
    """As the session is painted now."""
    delay_ms: float
    reduced: str = ""
    """What is less than the settings ask for, in words; empty: nothing."""
    skipping: bool = False
    """Only some of the frames are painted: nothing else was left to give way."""
    note: str = ""


def describe(facts: Facts) -> tuple[State, str]:
    """Return the state and a sentence for people."""
    state, sentence = _describe(facts)
    return state, f"{sentence}; {facts.note}" if facts.note else sentence


def _describe(facts: Facts) -> tuple[State, str]:
    if facts.bypass:
        return "off", "Bypassed: the source is shown"
    if facts.failure:
        return "failed", facts.failure
    if facts.worker.state != "ready":
        return _without_worker(facts)
    return _with_worker(facts, f"{facts.worker.model} on {facts.worker.device}")


def _without_worker(facts: Facts) -> tuple[State, str]:
    sentence = facts.worker.sentence
    if facts.worker.state == "loading":
        return "loading", f"{sentence or 'Loading'}: {facts.progress:.0%}"
    return ("failed" if facts.worker.state == "failed" else "waiting"), sentence


def _with_worker(facts: Facts, where: str) -> tuple[State, str]:
    if not facts.opened:
        return "loading", f"Preparing {where}"
    if facts.fps_in == 0:
        return "live", f"Ready: {where}, no frames come in"
    if facts.painting_ns == 0:
        return "loading", f"Painting the first frames: {where}"
    kept_up = f"; {facts.reduced} to keep up" if facts.reduced else ""
    if facts.overloaded or facts.skipping:
        advice = "allow fewer steps or close other programs" if facts.steps > 1 else "close other programs"
        rates = f"{facts.fps_out:.0f} of {facts.fps_in:.0f} fps"
        return "overloaded", f"Overloaded: {rates}, {facts.delay_ms:.0f} ms delay{kept_up}; {advice}"
    return "live", f"Live: {facts.fps_out:.0f} fps, {facts.delay_ms:.0f} ms delay, {where}{kept_up}"
