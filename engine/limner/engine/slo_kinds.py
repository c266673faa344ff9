"""Which streams share a forward, and how much they save by it. Pure, no torch.

Chunks of one kind go through the same forwards. Of a kind's streams, as many as may share go together
whenever their chunks wait at the same time; under load they do, as far as their rates allow: of two streams,
one with twice the chunks of the other, every second forward of the first is shared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from limner.engine.slo_plan import Limits, Plan, Size

Kind = tuple[int, bool, int, Size]
"""Steps, stream batch, latent frames of a chunk, size."""


def kind_of(plan: Plan) -> Kind:
    """Return what must be the same of chunks that share their forwards."""
    return (plan.steps, plan.stream_batch, plan.chunk_latents, plan.size)


def most_of_a_kind(plans: Sequence[Plan]) -> int:
    """Return how many streams the largest kind has."""
    kinds = [kind_of(plan) for plan in plans]
    return max((kinds.count(kind) for kind in kinds), default=0)


def together_of(streams: Sequence[tuple[Limits, Plan]], most: int) -> list[float]:
    """Return, for each stream, how many there are in its forwards in the mean, when `most` may share one."""
    rates: dict[Kind, list[float]] = defaultdict(list)
    for limits, plan in streams:
        rates[kind_of(plan)].append(_rate(limits, plan))
    means = {kind: _mean(of_kind, most) for kind, of_kind in rates.items()}
    return [means[kind_of(plan)] for _, plan in streams]


def _rate(limits: Limits, plan: Plan) -> float:
    return 1000 / plan.span_ms(limits.fps)


def _mean(rates: Sequence[float], most: int) -> float:
    """A stream has one chunk in a forward at the most, so there are as many as its own."""
    forwards = max(*rates, sum(rates) / most)
    return sum(rates) / forwards
