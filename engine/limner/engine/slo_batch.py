"""How many streams share a forward: a batch is streams × steps. Pure, no torch.

A forward of k streams reads the weights and starts the kernels once, not k times, so they all take less of
the device; but each waits for the others' rows, and for the forward before. So: as few as keep up. What it
saves is measured (`slo_learn`): where that is nothing, as where a forward is all arithmetic, it is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limner.engine.slo import FITS
from limner.engine.slo_admit import Asking
from limner.engine.slo_cost import behind_ms
from limner.engine.slo_kinds import together_of
from limner.engine.slo_plan import Plan

Streams = Sequence[tuple[Asking, Plan]]


def batch_of(wanted: Streams, most: int, *, painted: Streams | None = None, most_use: float = FITS) -> int:
    """Return how many streams a forward should carry, 1 to `most`: the fewest with which all keep up.

    `wanted`: the streams by the plans that they are to keep up with; `painted`: by those of now, none of
    which may come later than it may. They keep up when they take no more than `most_use` of the device. Where
    no number is enough, the one of least use. Streams of another kind (steps, chunk, size) do not go into one
    forward: where all differ it is 1.
    """
    now = wanted if painted is None else painted
    allowed = [k for k in range(1, min(most, len(wanted)) + 1) if k == 1 or are_in_time(now, k)]
    fitting = [k for k in allowed if use_of(wanted, k) <= most_use]
    return fitting[0] if fitting else min(allowed, key=lambda k: use_of(wanted, k))


def use_of(streams: Streams, together: int) -> float:
    """Return the share of the device's time that streams take with so many of them in a forward."""
    return sum(one.use(plan) for one, plan in sharing(streams, together))


def sharing(streams: Streams, together: int) -> list[tuple[Asking, Plan]]:
    """Return the streams as what they cost with so many of them in a forward."""
    means = together_of([(one.limits, plan) for one, plan in streams], together)
    return [
        (replace(one, profile=replace(one.profile, together=mean)), plan)
        for (one, plan), mean in zip(streams, means, strict=True)
    ]


def are_in_time(streams: Streams, together: int) -> bool:
    """Return whether nobody comes later than he may with so many in a forward."""
    delays_ms = (delay_ms(streams, number, together) for number in range(len(streams)))
    return all(ms <= one.limits.latency_ms for ms, (one, _) in zip(delays_ms, streams, strict=True))


def delay_ms(streams: Streams, number: int, together: int) -> float:
    """Return how late the first frame of one's chunk is handed over at the worst, with so many in a forward.

    It gathers its frames, waits for the forward that has just begun, and then for a chunk of everybody.
    """
    shared = sharing(streams, together)
    one, plan = shared[number]
    own_ms, span_ms = one.chunk_ms(plan), plan.span_ms(one.limits.fps)
    all_ms = sum(other.chunk_ms(theirs) for other, theirs in shared)
    waited_ms = span_ms + one.profile.begun_ms(own_ms) + behind_ms(plan, one.limits)
    return waited_ms + all_ms + plan.lag_chunks * max(span_ms, all_ms)
