"""What state a session is in, and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass

from limner.daemon.protocol import Plan, Saying, State, WorkerInfo
from limner.daemon.sayings import found_in, say

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
    plan: Plan | None = None
    """As it is painted; None: none is known yet."""
    note: str = ""


def describe(facts: Facts) -> tuple[State, list[Saying]]:
    """Return the state and a sentence for people, piece by piece."""
    state, sayings = _describe(facts)
    return state, [*sayings, *found_in(facts.note)]


def _describe(facts: Facts) -> tuple[State, list[Saying]]:
    if facts.bypass:
        return "off", [say("bypassed")]
    if facts.failure:
        return "failed", found_in(facts.failure)
    if facts.worker.state != "ready":
        return _without_worker(facts)
    if facts.worker.waits:
        return "loading", found_in(facts.worker.waits)
    return _with_worker(facts)


def _without_worker(facts: Facts) -> tuple[State, list[Saying]]:
    sayings = found_in(facts.worker.sentence)
    if facts.worker.state == "loading":
        return "loading", [*sayings, say("share", percent=f"{100 * facts.progress:.0f}")]
    return ("failed" if facts.worker.state == "failed" else "waiting"), sayings


def _with_worker(facts: Facts) -> tuple[State, list[Saying]]:
    where = {"model": facts.worker.model, "device": facts.worker.device}
    if not facts.opened:
        return "loading", [say("preparing", **where)]
    if facts.fps_in == 0:
        return "live", [say("no_frames", **where)]
    if facts.painting_ns == 0:
        return "loading", [say("first_frames", **where)]
    rates = {"fps": f"{facts.fps_out:.0f}", "delay": f"{facts.delay_ms:.0f}"}
    given_way = _given_way(facts.plan)
    skipping = facts.plan is not None and facts.plan.frame_step > 1
    if facts.overloaded or skipping:
        advice = say("fewer_steps_or_programs" if facts.steps > 1 else "fewer_programs")
        return "overloaded", [say("overloaded", wanted=f"{facts.fps_in:.0f}", **rates), *given_way, advice]
    return "live", [say("live", **rates, **where), *given_way]


def _given_way(plan: Plan | None) -> list[Saying]:
    """Return what of the wish gives way, so that painting keeps up."""
    parts = plan.sentence.split(", ") if plan and plan.reduced and plan.sentence else []
    return [saying for part in parts for saying in found_in(f"{part} to keep up")]
