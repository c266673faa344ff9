"""What sharing a forward saves, learned from live chunks, and how many share one by that. Pure, no torch.

A forward's time alone and its parts when shared are taken from chunks of one kind within a few seconds, so
that both saw the same machine. Where a machine falls short and nothing is known yet, streams share for a
little while to find out, if everybody's limit of delay allows it even where nothing is gained. What gains too
little is let be, and tried again later: a game that was on the card may be over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from limner.engine.slo import FITS, HEADROOM
from limner.engine.slo_admit import Asking
from limner.engine.slo_batch import Streams, are_in_time, batch_of, use_of
from limner.engine.slo_kinds import Kind, kind_of, most_of_a_kind
from limner.engine.slo_plan import Plan

LEAST_GAIN = 0.1
"""Share of a forward that another stream in it saves: less is noise, and worth nobody's waiting."""
ALONE_S = 5.0
"""So old a forward alone may be that a shared one is held against."""
ENOUGH_ALONE, ENOUGH_SHARED = 3, 5
KEPT_ALONE, KEPT_SHARED = 7, 15
TRIAL_S = 4.0
AGAIN_S = 60.0
"""From one trial to the next."""
FALLS_S = 5.0
"""So long fewer must do before fewer share."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What is known. Carried on by `noted` and `decided`."""

    most: int = 1
    """Streams that can share a forward."""
    together: int = 1
    """Streams that may share one now."""
    alone: Mapping[Kind, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """Forwards alone: when, and ms."""
    shares: tuple[float, ...] = ()
    """Of a forward alone, what another stream in it saved: 0 nothing, 1 all of it, below 0 it cost more."""
    of: Plan | None = None
    """The plan that the last of them was painted by."""
    tried_s: float = -math.inf
    asked_s: float = -math.inf
    """When a stream was refused for want of room."""
    needed_s: float = -math.inf
    """When as many as now were needed last."""

    @property
    def share(self) -> float | None:
        """What another stream in a forward saves of it; None: too little was measured."""
        return median(self.shares) if len(self.shares) >= ENOUGH_SHARED else None

    @property
    def pays(self) -> bool:
        """It was measured, and is worth while."""
        return self.share is not None and self.share >= LEAST_GAIN

    def told(self, asking: Asking) -> Asking:
        """Return a stream with what sharing saves it, for `batch_of` and its like."""
        return replace(asking, profile=replace(asking.profile, saved=self.saved_ms(asking)))

    def saved_ms(self, asking: Asking) -> float:
        """Return `Profile.saved` for a stream's profile."""
        if not self.pays or self.share is None or self.of is None:
            return 0.0
        return self.share * asking.profile.forward_ms(self.of)

    def alone_ms(self, plan: Plan, now_s: float) -> float | None:
        """Return what a plan's denoising takes alone, by the last few seconds; None: it was not seen."""
        recent = [ms for at_s, ms in self.alone.get(kind_of(plan), ()) if now_s - at_s <= ALONE_S]
        return median(recent) if len(recent) >= ENOUGH_ALONE else None


def noted(learned: Learned, plan: Plan, *, denoise_ms: float, together: int, now_s: float) -> Learned:
    """Take the time of a chunk's denoising, for all `together` streams of it."""
    if denoise_ms <= 0:
        return learned
    if together == 1:
        kept = (*learned.alone.get(kind_of(plan), ())[1 - KEPT_ALONE :], (now_s, denoise_ms))
        return replace(learned, alone={**learned.alone, kind_of(plan): kept})
    alone_ms = learned.alone_ms(plan, now_s)
    if alone_ms is None:
        return learned
    share = (1 - denoise_ms / together / alone_ms) / (1 - 1 / together)
    return replace(learned, shares=(*learned.shares[1 - KEPT_SHARED :], share), of=plan)


def own_ms(learned: Learned, plan: Plan, *, denoise_ms: float, together: int, now_s: float) -> float:
    """Return what a chunk's denoising would have taken alone."""
    if together == 1:
        return denoise_ms
    if learned.share is not None:
        return denoise_ms / together / max(1 / together, 1 - learned.share * (1 - 1 / together))
    return learned.alone_ms(plan, now_s) or denoise_ms / together


def refused(learned: Learned, now_s: float) -> Learned:
    """A stream was refused: what sharing would save is worth to know."""
    return replace(learned, asked_s=now_s)


def decided(learned: Learned, wanted: Streams, painted: Sequence[Plan], now_s: float) -> Learned:
    """Say how many streams may share a forward from now on.

    `wanted`: the streams that are painted, by the plans that they would have; `painted`: their plans of now.
    """
    group = min(learned.most, most_of_a_kind(painted))
    if group < 2:
        return replace(learned, together=1)
    if not learned.pays:
        return _tried(learned, wanted, painted, group, now_s)
    told = [(learned.told(one), plan) for one, plan in wanted]
    now = [(one, plan) for (one, _), plan in zip(told, painted, strict=True)]
    # Whose quality gave way needs room to climb.
    most_use = FITS if painted == [plan for _, plan in wanted] else HEADROOM
    needed = batch_of(told, learned.most, painted=now, most_use=most_use)
    if needed >= learned.together:
        return replace(learned, together=needed, needed_s=now_s)
    return learned if now_s - learned.needed_s < FALLS_S else replace(learned, together=needed)


def _tried(learned: Learned, wanted: Streams, painted: Sequence[Plan], group: int, now_s: float) -> Learned:
    """Begin a trial, go on with it, or end it."""
    since_s = now_s - learned.tried_s
    if since_s < TRIAL_S and learned.share is None:
        return learned
    falls_short = use_of(wanted, 1) > FITS or now_s - learned.asked_s < AGAIN_S
    if since_s < AGAIN_S or not falls_short or not _can_be_tried(learned, wanted, painted, group, now_s):
        return replace(learned, together=1)
    return replace(learned, together=group, shares=(), tried_s=now_s)


def _can_be_tried(
    learned: Learned, wanted: Streams, painted: Sequence[Plan], group: int, now_s: float
) -> bool:
    now = [(one, plan) for (one, _), plan in zip(wanted, painted, strict=True)]
    seen_alone = any(learned.alone_ms(plan, now_s) is not None for plan in painted)
    return seen_alone and are_in_time(now, group)
