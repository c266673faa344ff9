"""A pipeline of ranks, event by event: micro-steps round the ring, transfers beside them, the autoencoder.

A rank has two lanes that share it in slices of `SLICE_MS`, as streams of a GPU do: micro-steps in the order
in which the first rank sent them on; and decoding, then encoding. A transfer takes its link, not the ranks.
A chunk of n steps goes round n times; `in_flight` chunks at most are inside, from encoding to decoding.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import linear_regression

from limner.engine.blocks import Split, counts_of

STEP, DECODE, ENCODE = 0, 1, 2
SLICE_MS = 0.5


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What is simulated. Times in ms."""

    split: Split
    block_ms: tuple[float, ...]
    """Of each rank."""
    hop_ms: float
    """From a rank to the next that holds blocks, and back to the first."""
    encode: tuple[int, float]
    """Which rank, and how long."""
    decode: tuple[int, float]
    steps: int
    in_flight: int
    jitter: float = 0.0
    """Sigma of the logarithm of each time."""


@dataclass
class Flow:
    """What came of it."""

    done_ms: list[float] = field(default_factory=list)
    """When each chunk was decoded."""
    took_ms: list[float] = field(default_factory=list)
    """From a chunk's coming to that."""
    busy_ms: list[float] = field(default_factory=list)
    """Of each rank, in all."""
    first_ms: float = 0.0
    """When the first chunk came out: that much of the busy shares is filling."""

    def period_ms(self) -> float:
        """From chunk to chunk, neither filling nor draining: a slope, for they come in bursts."""
        first, last = len(self.done_ms) // 4, len(self.done_ms) * 3 // 4
        return linear_regression(range(first, last), self.done_ms[first:last]).slope

    def busy_shares(self) -> list[float]:
        """The part of the time that each rank works; the rest is bubbles."""
        return [busy / self.done_ms[-1] for busy in self.busy_ms]

    def latency_ms(self, share: float) -> float:
        """A percentile of a chunk's time through, the first ones left out."""
        took = sorted(self.took_ms[len(self.took_ms) // 4 :])
        return took[min(len(took) - 1, int(share * len(took)))]


@dataclass(order=True)
class _Job:
    kind: int
    serial: int
    left_ms: float = field(compare=False)
    then: Callable[[], None] = field(compare=False)


@dataclass
class _Rank:
    lanes: tuple[list[_Job], list[_Job]] = field(default_factory=lambda: ([], []))
    """Micro-steps; the autoencoder's work."""
    turn: int = 0
    is_busy: bool = False
    busy_ms: float = 0.0

    def next_lane(self) -> list[_Job] | None:
        """The lanes take turns where both have work."""
        self.turn = 1 - self.turn
        lanes = (self.lanes[self.turn], self.lanes[1 - self.turn])
        return next((lane for lane in lanes if lane), None)


class PipelineSimulator:
    """One stream through a pipeline."""

    def __init__(self, pipeline: Pipeline, *, seed: int = 0) -> None:
        self._pipeline, self._random = pipeline, random.Random(seed)
        self._ranks = [_Rank() for _ in pipeline.split]
        counts = counts_of(pipeline.split)
        # The first rank begins and ends a micro-step, whether it holds blocks or not.
        self._way = [0, *(rank for rank, count in enumerate(counts) if count and rank > 0)]
        self._work_ms = [n * ms for n, ms in zip(counts, pipeline.block_ms, strict=True)]
        self._links_free_ms = [0.0] * len(pipeline.split)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._now_ms, self._serial = 0.0, 0
        self._inside = 0
        self._waiting: deque[int] = deque()
        self._came_ms: dict[int, float] = {}
        self._flow = Flow()

    def run(self, chunks: int, *, span_ms: float = 0.0) -> Flow:
        """Send so many chunks through, one each `span_ms`; 0: as fast as they go."""
        for chunk in range(chunks):
            self._at(chunk * span_ms, lambda chunk=chunk: self._come(chunk))  # type: ignore[misc]
        while self._events:
            self._now_ms, _, then = heapq.heappop(self._events)
            then()
        self._flow.busy_ms = [rank.busy_ms for rank in self._ranks]
        return self._flow

    def _come(self, chunk: int) -> None:
        self._came_ms[chunk] = self._now_ms
        self._waiting.append(chunk)
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._inside < self._pipeline.in_flight:
            chunk = self._waiting.popleft()
            self._inside += 1
            rank, ms = self._pipeline.encode
            self._do(rank, ENCODE, chunk, ms, partial(self._forward, chunk, step=0, place=0))

    def _forward(self, chunk: int, *, step: int, place: int) -> None:
        """Do a micro-step's part at a place of the way round."""
        rank = self._way[place]

        def sent() -> None:
            if place + 1 < len(self._way):
                self._send(rank, lambda: self._forward(chunk, step=step, place=place + 1))
            elif len(self._way) > 1:
                self._send(rank, lambda: self._round(chunk, step))
            else:
                self._round(chunk, step)

        self._do(rank, STEP, chunk, self._work_ms[rank], sent)

    def _round(self, chunk: int, step: int) -> None:
        if step + 1 < self._pipeline.steps:
            self._forward(chunk, step=step + 1, place=0)
            return
        rank, ms = self._pipeline.decode
        self._do(rank, DECODE, chunk, ms, lambda: self._out(chunk))

    def _out(self, chunk: int) -> None:
        self._inside -= 1
        self._flow.done_ms.append(self._now_ms)
        self._flow.took_ms.append(self._now_ms - self._came_ms[chunk])
        self._let_in()

    def _send(self, rank: int, then: Callable[[], None]) -> None:
        """A transfer takes its link from when that is free."""
        begins_ms = max(self._now_ms, self._links_free_ms[rank])
        self._links_free_ms[rank] = begins_ms + self._pipeline.hop_ms
        self._at(self._links_free_ms[rank], then)

    def _do(self, rank: int, kind: int, chunk: int, ms: float, then: Callable[[], None]) -> None:
        ms *= self._random.lognormvariate(0, self._pipeline.jitter) if self._pipeline.jitter else 1.0
        self._serial += 1
        # Micro-steps keep the order in which they come: the oldest chunk is ahead on the ring.
        lane = self._ranks[rank].lanes[0 if kind == STEP else 1]
        heapq.heappush(lane, _Job(kind, self._serial, ms, then))
        self._work(self._ranks[rank])

    def _work(self, rank: _Rank) -> None:
        if rank.is_busy or (lane := rank.next_lane()) is None:
            return
        job = lane[0]
        ms = min(SLICE_MS, job.left_ms)
        rank.is_busy = True
        rank.busy_ms += ms
        job.left_ms -= ms

        def done() -> None:
            rank.is_busy = False
            if job.left_ms <= 1e-9:
                # One that came meanwhile and goes before it stays before it.
                lane.remove(job)
                heapq.heapify(lane)
                job.then()
            self._work(rank)

        self._at(self._now_ms + ms, done)

    def _at(self, time_ms: float, then: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (time_ms, self._serial, then))
