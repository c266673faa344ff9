"""How many streams share a forward: a batch is streams × steps. Pure, no torch.

A forward of k streams reads the weights and starts the kernels once, not k times, so they all take less of
the device; but each waits for the others' frames and for their rows. So: as few as keep up.
"""

from __future__ import annotations

from collections.abc import Sequence

from limner.engine.slo import FITS
from limner.engine.slo_admit import Asking
from limner.engine.slo_plan import Plan


def batch_of(streams: Sequence[tuple[Asking, Plan]], most: int) -> int:
    """Return how many streams a forward should carry, 1 to `most`: the fewest with which all keep up.

    Streams of another shape (steps, chunk, size) do not go into one forward: for them it is 1. Where no
    number is enough, the one of least use that still keeps every delay within its limit.
    """
    if len({(plan.steps, plan.stream_batch, plan.chunk_latents, plan.size) for _, plan in streams}) != 1:
        return 1
    allowed = [k for k in range(1, min(most, len(streams)) + 1) if k == 1 or _in_time(streams, k)]
    fitting = [k for k in allowed if use_of(streams, k) <= FITS]
    return fitting[0] if fitting else min(allowed, key=lambda k: use_of(streams, k))


def use_of(streams: Sequence[tuple[Asking, Plan]], together: int) -> float:
    """Return the share of the device's time that streams take with so many of them in a forward."""
    return sum(
        one.use(plan) * (1 - _saved_ms(one, plan, together) / one.chunk_ms(plan)) for one, plan in streams
    )


def _saved_ms(one: Asking, plan: Plan, together: int) -> float:
    forwards = 1 if plan.stream_batch else plan.steps
    return one.load * forwards * one.profile.forward * (1 - 1 / together)


def _in_time(streams: Sequence[tuple[Asking, Plan]], together: int) -> bool:
    return all(delay_ms(one, plan, together) <= one.limits.latency_ms for one, plan in streams)


def delay_ms(one: Asking, plan: Plan, together: int) -> float:
    """Return how late a chunk's first frame is handed over at the worst, in a batch of so many.

    It gathers its frames, waits for the last of the others' (their frames come when they like, a chunk's span
    apart at the most), and then for the whole batch.
    """
    span_ms = plan.span_ms(one.limits.fps)
    batch_ms = together * (one.chunk_ms(plan) - _saved_ms(one, plan, together))
    waits_ms = span_ms * (together - 1) / together
    return span_ms + waits_ms + batch_ms + plan.lag_chunks * max(span_ms, batch_ms)
