"""What state a session is in, and the sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass

from limner.daemon.protocol import State, WorkerInfo

# Painted below this share of what comes in, with frames dropped, is more than jitter.
OVERLOAD_SHARE = 0.6
SETTLE_NS = 3_000_000_000


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
    fps_dropped: float
    delay_ms: float
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
    # Rates look back some seconds: before that, the start would look like an overload.
    settled = facts.painting_ns > SETTLE_NS
    if settled and facts.fps_out < OVERLOAD_SHARE * facts.fps_in and facts.fps_dropped > 0:
        return "overloaded", (
            f"Overloaded: {facts.fps_out:.0f} of {facts.fps_in:.0f} fps, {facts.delay_ms:.0f} ms delay; "
            "use fewer steps or close other programs"
        )
    return "live", f"Live: {facts.fps_out:.0f} fps, {facts.delay_ms:.0f} ms delay, {where}"
