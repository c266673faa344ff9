"""How the streams of one device share it. Pure, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from limner.engine.slo import HEADROOM
from limner.engine.slo_cost import Room, fair_shares, use
from limner.engine.slo_plan import Limits, ladder
from limner.engine.slo_state import SloState

HOLD_UP = 0.25
"""Share of another stream's latency limit that a chunk may hold it up for."""


BEHIND_SHARE = 0.2
"""Of the device's time: what those behind get at the least, together, if they ask for it."""


def rooms(streams: Sequence[tuple[SloState, Limits]], on_air: Sequence[bool] = ()) -> list[Room]:
    """Return the room of each stream: its fair share of the time, and how they may be in each other's way.

    A stream asks for what its best plan would take, with headroom; what it leaves is the others'. Its own
    share is what it would get if it asked for all: what it asked for is of before its load rose, and then
    it needs more. Those on air come first; without `on_air` all are alike.
    """
    demands = [_demand(state, limits) for state, limits in streams]
    shares = [
        shares_by_turn([*demands[:number], math.inf, *demands[number + 1 :]], on_air)[number]
        for number in range(len(demands))
    ]
    chunks_ms = [state.load * state.profile.chunk_ms(state.plan) for state, _ in streams]
    return [_room(streams, chunks_ms, number, share) for number, share in enumerate(shares)]


def shares_by_turn(demands: Sequence[float], on_air: Sequence[bool] = ()) -> list[float]:
    """Return each stream's share of the device: those on air first, those behind them with what is left.

    Max-min fair within each of the two, as `fair_shares`. Nobody starves: those behind keep `BEHIND_SHARE`.
    """
    first = [number for number, is_first in enumerate(on_air) if is_first]
    behind = [number for number in range(len(demands)) if number not in first]
    if not first or not behind or sum(demands) <= 1:
        return fair_shares(demands)
    for_behind = min(BEHIND_SHARE, sum(demands[number] for number in behind))
    for_first = min(1 - for_behind, sum(demands[number] for number in first))
    shares = [0.0] * len(demands)
    for group, part in ((first, for_first), (behind, 1 - for_first)):
        for number, share in zip(group, fair_shares([demands[n] / part for n in group]), strict=True):
            shares[number] = part * share
    return shares


def _room(
    streams: Sequence[tuple[SloState, Limits]], chunks_ms: list[float], number: int, share: float
) -> Room:
    bounds_ms = [HOLD_UP * limits.latency_ms for i, (_, limits) in enumerate(streams) if i != number]
    own_ms = chunks_ms[number]
    return Room(
        share=share,
        others_ms=sum(chunks_ms) - own_ms + streams[number][0].profile.begun_ms(own_ms),
        longest_ms=min(bounds_ms, default=math.inf),
    )


def _demand(state: SloState, limits: Limits) -> float:
    best = ladder(limits)[0][0]
    profile = state.profile
    return use(best, limits, state.load * profile.chunk_ms(best), profile.busy_share(best)) / HEADROOM
