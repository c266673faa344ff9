"""How the streams of one device share it. Pure, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from limner.engine.slo import HEADROOM, SloState
from limner.engine.slo_cost import Room, fair_shares, use
from limner.engine.slo_plan import Limits, ladder

HOLD_UP = 0.25
"""Share of another stream's latency limit that a chunk may hold it up for."""


def rooms(streams: Sequence[tuple[SloState, Limits]]) -> list[Room]:
    """Return the room of each stream: its fair share of the time, and how they may be in each other's way.

    A stream asks for what its best plan would take, with headroom; what it leaves is the others'.
    """
    shares = fair_shares([_demand(state, limits) for state, limits in streams])
    chunks_ms = [state.load * state.profile.chunk_ms(state.plan) for state, _ in streams]
    return [_room(streams, chunks_ms, number, share) for number, share in enumerate(shares)]


def _room(
    streams: Sequence[tuple[SloState, Limits]], chunks_ms: list[float], number: int, share: float
) -> Room:
    bounds_ms = [HOLD_UP * limits.latency_ms for i, (_, limits) in enumerate(streams) if i != number]
    return Room(
        share=share,
        others_ms=sum(chunks_ms) - chunks_ms[number],
        longest_ms=min(bounds_ms, default=math.inf),
    )


def _demand(state: SloState, limits: Limits) -> float:
    best = ladder(limits)[0][0]
    profile = state.profile
    return use(best, limits, state.load * profile.chunk_ms(best), profile.busy_share(best)) / HEADROOM
