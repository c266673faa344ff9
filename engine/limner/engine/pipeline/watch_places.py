"""What the ranks' reports say of where to decode, and the move that follows from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain

from limner.engine.blocks import RankCost, Split
from limner.engine.decode_balance import Look, begin, place
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.placing import Placer

TOGETHER_S = 2.0
"""Reports of so long make a look: in those of a quarter of a second, there may be no chunk."""
Reports = Sequence[c.Times]


class PlaceWatch:
    """Lets decoding go to where there is time for it, as long as `is_on`. For the thread that drives."""

    def __init__(self, placer: Placer) -> None:
        self.placer = placer
        self.is_on = False
        self._placing = begin(placer.rank)
        self._seen: deque[tuple[float, Reports]] = deque()

    def weigh(self, now_s: float, times: Reports, costs: Sequence[RankCost], layers: int) -> Split | None:
        """Take one report of each rank in; what the ranks should hold from now on, if decoding moves."""
        if not self.is_on or self.placer.is_moving:
            self._seen.clear()
            return None
        if self._placing.decodes != self.placer.rank:  # It could not go there, or was sent elsewhere.
            self._placing = begin(self.placer.rank)
        self._seen.append((now_s, tuple(times)))
        while self._seen[0][0] < now_s - TOGETHER_S:
            self._seen.popleft()
        look = look_at(now_s, [reports for _, reports in self._seen])
        if look is None:
            return None
        self._placing = place(self._placing, look, costs, layers=layers, unable=self.placer.unable)
        if self._placing.decodes == self.placer.rank:
            return None
        self._seen.clear()
        self.placer.want(self._placing.decodes)
        return self._placing.split


def look_at(now_s: float, seen: Sequence[Reports]) -> Look | None:
    """What reports of all ranks, in their order, say together; None: nothing was painted."""
    by_rank = list(zip(*seen, strict=True))
    coded = [one for times in chain(*seen) for one in times.coded if one.chunks]
    encode = [(one.work_ms, one.chunks) for one in coded if one.what == "encode"]
    decode = [(one.work_ms, one.chunks) for one in coded if one.what == "decode"]
    forwards = sum(times.forwards for times in by_rank[0])
    if not (encode and decode and forwards):
        return None
    return Look(
        now_s=now_s,
        blocks_ms=tuple(
            _mean((one.work_ms / len(one.held), one.forwards) for one in times if one.held)
            for times in by_rank
        ),
        encode_ms=_mean(encode),
        decode_ms=_mean(decode),
        steps=forwards / sum(chunks for _, chunks in decode),
    )


def _mean(weighted: Iterable[tuple[float, int]]) -> float:
    """The mean of times, each with its count; 0 of none."""
    times = list(weighted)
    count = sum(number for _, number in times)
    return sum(ms * number for ms, number in times) / count if count else 0.0
