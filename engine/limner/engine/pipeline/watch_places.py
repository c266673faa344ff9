"""What the ranks' reports say of where to decode, and the move that follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from limner.engine.blocks import RankCost, Split
from limner.engine.decode_balance import Look, begin, place, unscaled
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.placing import Placer


class PlaceWatch:
    """Lets decoding go to where there is time for it, as long as `is_on`. For the thread that drives."""

    def __init__(self, placer: Placer) -> None:
        self.placer = placer
        self.is_on = False
        self._placing = begin(placer.rank)

    def weigh(
        self, now_s: float, times: Sequence[c.Times], costs: Sequence[RankCost], layers: int
    ) -> Split | None:
        """Take one report of each rank in; what the ranks should hold from now on, if decoding moves."""
        if not self.is_on or self.placer.is_moving:
            return None
        if self._placing.decodes != self.placer.rank:  # It could not go there, or was sent elsewhere.
            self._placing = begin(self.placer.rank)
        look = look_at(now_s, times)
        if look is None:
            return None
        self._placing = place(self._placing, look, costs, layers=layers, unable=self.placer.unable)
        if self._placing.decodes == self.placer.rank:
            return None
        self.placer.want(self._placing.decodes)
        return self._placing.split


def look_at(now_s: float, times: Sequence[c.Times]) -> Look | None:
    """What reports of all ranks, in their order, say; None: nothing was painted."""
    decoded = next((one for rank in times for one in rank.coded if one.what == "decode" and one.chunks), None)
    encoded = next((one for one in times[0].coded if one.what == "encode" and one.chunks), None)
    if decoded is None or encoded is None or not times[0].forwards:
        return None
    scales = [unscaled(one.busy_ms + sum(two.busy_ms for two in one.coded), one.spent_ms) for one in times]
    decodes = next(rank for rank, one in enumerate(times) if decoded in one.coded)
    return Look(
        now_s=now_s,
        blocks_ms=tuple(
            scale * one.compute_ms / len(one.held) if one.held else 0.0
            for scale, one in zip(scales, times, strict=True)
        ),
        encode_ms=scales[0] * encoded.ms,
        decode_ms=scales[decodes] * decoded.ms,
        steps=times[0].forwards / decoded.chunks,
    )
