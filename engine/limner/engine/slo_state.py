"""What is known of a stream that is painted: measured chunks, and what follows from them. Pure, no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate

from limner.engine.slo_cost import STAGES, Profile, Stage, behind_ms
from limner.engine.slo_plan import Limits, Plan, ladder

RECENT = 3
PATIENCE_S = 1.5
MOST_PATIENCE_S = 4.0
AT_ONCE_S = 1.5
RETRY_S = 3.0
LOWER_LOAD = 0.85
"""A load below this share of the one that a climb failed at is another one: no need to wait."""
CALM_S = 15.0
"""Without a step down for so long, what failed is forgotten."""
LEARNING_RATE = 0.05
KEPT_S = 6.0
KEPT = 400


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One painted chunk, as measured."""

    now_s: float
    """When it was handed over, on any clock that runs evenly."""
    stages_ms: dict[Stage, float]
    """Its time on the device; `other` is what is in no stage. All of them, but zeros are no harm."""
    delay_ms: float
    """Of its first frame: from presentation to hand-over."""

    @property
    def chunk_ms(self) -> float:
        """Its time on the device in all."""
        return sum(self.stages_ms.values())


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What is kept of a chunk."""

    now_s: float
    load: float
    took_ms: float
    is_late: bool
    is_first: bool = False
    """By its plan, or after a pause: it pays for that, too."""


@dataclass(frozen=True, kw_only=True)
class Climb:
    """A step up that is not yet proved."""

    at_s: float
    load: float
    """At which it was thought to fit."""
    below: Plan
    """Where it came from."""


@dataclass(frozen=True, kw_only=True)
class SloState:
    """What is known of a stream. Made by `begin`, carried on by `control`."""

    plan: Plan
    """To paint by from the next chunk on."""
    profile: Profile
    samples: tuple[Sample, ...] = ()
    changed_s: float = -math.inf
    """When the plan was changed last."""
    lowered_s: float = -math.inf
    """When quality was lowered last."""
    is_settling: bool = True
    """The next chunk is the first by this plan: it pays for the change."""
    patience_s: float = PATIENCE_S
    climb: Climb | None = None
    failed: Climb | None = None
    """The last climb that failed at once."""
    retry_s: float = RETRY_S
    is_feasible: bool = True
    """False: no allowed plan fits; `plan` is the one that is nearest to it."""

    @property
    def load(self) -> float:
        """How much slower the machine is now than the profile, from the last chunks; 1 at the start."""
        recent = sorted(sample.load for sample in self.samples[-RECENT:])
        return recent[(len(recent) - 1) // 2] if recent else 1.0

    def lasting_load(self, seconds: float = PATIENCE_S) -> float:
        """The load that nine of ten of the chunks of the last seconds stayed below; 1 at the start."""
        since_s = self.samples[-1].now_s - seconds if self.samples else 0.0
        loads = sorted(one.load for one in self.samples if one.now_s >= since_s and not one.is_first)
        return loads[math.ceil(0.9 * len(loads)) - 1] if loads else self.load

    @property
    def risen_load(self) -> float:
        """The load to make room for where it is too high: that of half of the recent time.

        One that rises in the middle of a chunk is higher than that chunk says.
        """
        recent = sorted(self.samples[-RECENT:], key=lambda sample: sample.load)
        half_ms = sum(sample.took_ms for sample in recent) / 2
        sums_ms = accumulate(sample.took_ms for sample in recent)
        by_time = next(one.load for one, ms in zip(recent, sums_ms, strict=True) if ms >= half_ms)
        return max(self.load, by_time)


def begin(limits: Limits, profile: Profile | None = None) -> SloState:
    """Return the state of a stream that nothing is known of: the best plan, before it proves too slow."""
    return SloState(plan=ladder(limits)[0][0], profile=profile or Profile())


def noted(state: SloState, limits: Limits, chunk: Chunk) -> SloState:
    """Return what is known with one more measured chunk of the plan in force."""
    # A pause is longer than a chunk takes, however slow the machine is.
    kept_s = max(KEPT_S, (RECENT + 1) * chunk.chunk_ms / 1e3)
    kept = [old for old in state.samples if old.now_s > chunk.now_s - kept_s]
    sample = Sample(
        now_s=chunk.now_s,
        load=chunk.chunk_ms / state.profile.chunk_ms(state.plan),
        took_ms=chunk.chunk_ms,
        is_late=chunk.delay_ms + behind_ms(state.plan, limits) > limits.latency_ms,
        is_first=state.is_settling or not kept,
    )
    state = replace(state, samples=(*kept[-KEPT:], sample), is_settling=False)
    if sample.is_first:
        return state
    measured: dict[Stage, float] = {stage: chunk.stages_ms.get(stage, 0.0) for stage in STAGES}
    # Times that were not taken stage by stage say nothing of their ratios.
    staged = measured["denoise"] > 0
    profile = state.profile.learn(state.plan, measured, rate=LEARNING_RATE) if staged else state.profile
    return _calmed(_judged(replace(state, profile=profile)), chunk.now_s)


def _judged(state: SloState) -> SloState:
    """A climb failed at once, but the plan below is slow as well: the load rose, the forecast was good."""
    failed, newest = state.failed, state.samples[-1]
    if failed is None or newest.now_s - state.lowered_s > AT_ONCE_S:
        return state
    if newest.load < failed.load / LOWER_LOAD:
        return state
    longer_s = min(MOST_PATIENCE_S, 2 * state.patience_s)
    return replace(state, failed=None, retry_s=RETRY_S, patience_s=longer_s)


def _calmed(state: SloState, now_s: float) -> SloState:
    """A climb that lasts is proved, and what failed long ago is no reason for patience any more."""
    if state.climb is not None and now_s - state.climb.at_s > MOST_PATIENCE_S:
        state = replace(state, climb=None)
    if now_s - state.lowered_s > CALM_S and state.patience_s > PATIENCE_S:
        state = replace(state, patience_s=PATIENCE_S)
    if state.failed is not None and now_s - state.lowered_s > CALM_S + state.retry_s:
        state = replace(state, failed=None, retry_s=RETRY_S)
    return state
