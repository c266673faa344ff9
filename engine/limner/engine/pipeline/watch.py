"""What rank 0 hears of the others, and what it makes of it: times, moves of blocks, the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from limner.engine.block_balance import Balance, Report, balance, begin
from limner.engine.blocks import RankCost, Split
from limner.engine.dit.model import Block
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.channel import Coordinator
from limner.engine.pipeline.first import FirstRank
from limner.engine.pipeline.moving import Mover
from limner.engine.pipeline.placing import Placer
from limner.engine.pipeline.ring import POLL_S, PipelineError
from limner.engine.pipeline.watch_places import PlaceWatch

log = logging.getLogger(__name__)
_GUESSED_MS = 1.0
"""Of a block, before anything is measured: only the ratio of ranks counts, and all are taken for alike."""


class Watch:
    """Looks after the ranks of one generation, on the thread that drives.

    Moves blocks to where there is time for them as long as `balancing` is on.
    """

    def __init__(
        self,
        first: FirstRank,
        channel: Coordinator,
        split: Split,
        block_of: Callable[[int], Block],
        placer: Placer,
    ) -> None:
        self.mover, self.placer = Mover(first, split, block_of), placer
        self.places = PlaceWatch(placer)
        self.balancing = True
        self.costs: tuple[RankCost, ...] = tuple(RankCost(_GUESSED_MS) for _ in split)
        """What is known of the ranks; whoever knows their memory says it here, before anything is painted."""
        self.full: dict[int, int] = {}
        """Ranks that had no room for more than so many blocks."""
        self._first, self._channel = first, channel
        self._times: dict[int, c.Times] = {}
        self._fresh: set[int] = set()
        self._balance: Balance | None = None
        self._looked_s = 0.0
        self.on_times: Callable[[c.Times], None] = lambda _: None
        """Called for each report, by the thread that drives."""
        self.on_loras_read: Callable[[int, c.LorasRead], None] = lambda *_: None
        """The same when a rank has read LoRAs, or cannot."""

    def newest(self) -> list[c.Times]:
        """The last report of each rank, in their order. For any thread."""
        return [self._times[rank] for rank in sorted(self._times)]

    def measured_ms(self) -> list[float]:
        """How long a block takes, by rank; nothing before that was measured. After the ring's end."""
        if self._balance is None or not self._balance.reports:
            return []
        return [cost.block_ms for cost in self._balance.costs]

    def look(self) -> None:
        """Take what has come; PipelineError when a rank is gone or has failed."""
        now_s = time.perf_counter()
        if now_s - self._looked_s < POLL_S:
            return
        self._looked_s = now_s
        for rank, message in self._channel.heard():
            self._hear(rank, c.report_in(message))
        if lost := self._channel.lost():
            raise PipelineError(f"rank {min(lost)} is gone")
        own = self._first.times.due(self._first.stage.dit.held)
        if own is not None:
            self._note(own)
        self._weigh(now_s)
        self.placer.look()
        if not self.mover.look():
            self._has_no_room(0)

    def _hear(self, rank: int, report: c.Report) -> None:
        match report:
            case c.Times():
                self._note(report)
            case c.Prepared(fault=""):
                self.mover.prepared(rank, report)
            case c.Prepared():
                self._has_no_room(rank)
            case c.DecoderPrepared():
                self.placer.prepared(rank, report)
            case c.Moved():
                self.mover.arrived(rank, report)
            case c.LorasRead():
                self.on_loras_read(rank, report)
            case c.Fault(reason=reason):
                raise PipelineError(f"rank {rank} failed: {reason}")

    def _has_no_room(self, rank: int) -> None:
        """It could not load what it was to get: it keeps what it has, and is given no more than that."""
        self.mover.give_up()
        costs = list(self.costs if self._balance is None else self._balance.costs)
        first, end = self.mover.split[rank]
        self.full[rank] = end - first
        log.warning("rank %d could not load more blocks: it keeps %d", rank, end - first)
        costs[rank] = replace(costs[rank], most_blocks=end - first)
        self.costs = tuple(costs)
        self._balance = begin(self.mover.split, self.costs)

    def _note(self, times: c.Times) -> None:
        self._times[times.rank] = times
        self.on_times(times)
        if times.forwards or not times.held:
            self._fresh.add(times.rank)

    def _weigh(self, now_s: float) -> None:
        """Let blocks go to where there is time, when all ranks have reported under the split of now."""
        ranks = range(self._first.size)
        if self.mover.is_moving or not self.balancing:
            self._fresh.clear()
            return
        if len(self._fresh) < len(ranks):
            return
        self._fresh.clear()
        split, times = self.mover.split, self.newest()
        if [len(one.held) for one in times] != [end - first for first, end in split]:
            return
        report = Report(
            now_s=now_s,
            split=split,
            blocks_ms=tuple(one.compute_ms for one in times),
            # Coding shares rank 0's device with its blocks, so it shows in their times, as far as it is in
            # their way. Beside one another on a device with room for both, it is not.
            fixed_ms=tuple(0.0 for _ in ranks),
        )
        known = replace(self._balance or begin(split, self.costs), move_ms=self.mover.block_ms)
        wanted = self.places.weigh(now_s, times, known.costs, split[-1][1])
        # Blocks that go with decoding: what was measured until now says nothing of them afterwards.
        self._balance = balance(known, report) if wanted is None else begin(wanted, known.costs)
        if self._balance.split != split:
            self.mover.want(self._balance.split)
