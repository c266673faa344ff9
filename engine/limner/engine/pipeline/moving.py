"""Blocks that move while streams paint: loaded ahead where they go, handed over between two forwards.

The rank that gets a block loads its weights beside its work. Only then does the block change hands, at one
place in the order of all commands, and with it all that streams remember in it: the forwards after it find in
the new rank just what they would have found in the old one. So frames are the same as without the move.

What streams remember travels while forwards wait for it: gigabytes, for all blocks of a large model. So large
blocks go one at a time, and forwards go on in between for as long as they had to wait.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from limner.engine.blocks import Move, Split
from limner.engine.dit.model import Block
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.beside import blocks_beside
from limner.engine.pipeline.first import FirstRank

STEP_BYTES = 32 * 2**20
"""Blocks that are as small as this together, with all that streams remember in them, move at once."""
_AHEAD = 2
"""Moves whose blocks are loaded already, or being loaded: more would only take memory."""
_BYTES_PER_MS = 1e6
"""How fast a past is taken to travel before one has (a slow PCIe slot, 10 Gbit Ethernet)."""


def shifts(now: Split, then: Split) -> list[Move]:
    """Moves between neighbours that lead from one split to another, each from a split to a split.

    Each moves one border between two ranks. Those that go down do so from the first on, those that go up from
    the last on: so none ever passes another.
    """
    borders, wanted = [first for first, _ in now], [first for first, _ in then]
    ranks = range(1, len(now))
    down = [rank for rank in ranks if wanted[rank] < borders[rank]]
    up = [rank for rank in reversed(ranks) if wanted[rank] > borders[rank]]
    return [
        *(Move((wanted[rank], borders[rank]), rank - 1, rank) for rank in down),
        *(Move((borders[rank], wanted[rank]), rank, rank - 1) for rank in up),
    ]


def moved(split: Split, move: Move) -> Split:
    """The split after a move between neighbours."""
    borders = [*(first for first, _ in split), split[-1][1]]
    if move.target > move.source:
        borders[move.target] = move.blocks[0]
    else:
        borders[move.source] = move.blocks[1]
    return tuple(itertools.pairwise(borders))


def steps(move: Move, most: int) -> list[Move]:
    """The same blocks in smaller moves of so many at the most, each from a split to a split."""
    first, end = move.blocks
    if move.target > move.source:  # The border goes down: the last block is the first to go.
        pieces = [(max(first, at - most), at) for at in range(end, first, -most)]
    else:
        pieces = [(at, min(end, at + most)) for at in range(first, end, most)]
    return [Move(piece, move.source, move.target) for piece in pieces]


class Mover:
    """Brings the ranks from split to split, a few blocks at a time. For the thread that drives."""

    def __init__(self, first: FirstRank, split: Split, block_of: Callable[[int], Block]) -> None:
        """`block_of`: loads a block of rank 0's."""
        self.split = split
        """What the ranks hold now."""
        self._first, self._block_of = first, block_of
        self._planned: deque[Move] = deque()
        self._loading: deque[_Load] = deque()
        """Told to be loaded, in the order in which they will be handed over."""
        self._handed: Move | None = None
        """Where its past is not known to have come."""
        self._rest_until_s = 0.0
        self._numbers = itertools.count()
        self._taken_ms = 0.0
        """That a block's past took when one was handed over last."""

    @property
    def is_moving(self) -> bool:
        """Blocks are on their way, or are being loaded."""
        return bool(self._planned or self._loading) or self._handed is not None

    @property
    def block_ms(self) -> float:
        """How long the ring stands still for each block that moves, as far as that is known."""
        return max(self._taken_ms, self._first.past_bytes / _BYTES_PER_MS)

    def want(self, split: Split) -> None:
        """Bring the ranks to this split; what is being loaded goes there first all the same."""
        after = self.split
        for load in self._loading:
            after = moved(after, load.move)
        weight = self._first.block_bytes + self._first.past_bytes
        most, was_moving = max(1, STEP_BYTES // weight), self.is_moving
        self._planned = deque(step for move in shifts(after, split) for step in steps(move, most))
        if was_moving and not self.is_moving:
            self._first.settle()

    def prepared(self, rank: int, report: c.Prepared) -> None:
        """A rank has loaded what it is to get."""
        for load in self._loading:
            if (rank, report.number) == (load.move.target, load.number):
                load.is_done = True

    def arrived(self, rank: int, report: c.Moved) -> None:
        """A rank has what streams remember in the blocks that it got."""
        move = self._handed
        if move is not None and (rank, (report.first, report.end)) == (move.target, move.blocks):
            self._handed = None
            self._rest(report.took_ms, move)

    def give_up(self) -> None:
        """What was to be moved stays where it is."""
        if self.is_moving:
            self._planned.clear()
            self._loading.clear()
            self._first.settle()

    def look(self) -> bool:
        """Go on, if there is anything to go on with; False: rank 0 could not load what it was to get."""
        while self._planned and len(self._loading) < _AHEAD:
            self._load(self._planned.popleft())
        if not self._loading or self._handed is not None or time.perf_counter() < self._rest_until_s:
            return True
        load = self._loading[0]
        if load.blocks is not None and load.blocks.done() and load.blocks.exception() is not None:
            return False
        if load.is_done or (load.blocks is not None and load.blocks.done()):
            self._loading.popleft()
            self._hand_over(load.move, {} if load.blocks is None else load.blocks.result())
        return True

    def _load(self, move: Move) -> None:
        layers, number = range(*move.blocks), next(self._numbers)
        if move.target:
            self._first.tell_one(move.target, c.Prepare(number=number, first=layers.start, end=layers.stop))
            self._loading.append(_Load(move, number))
            return
        before = next((load.blocks for load in reversed(self._loading) if load.blocks is not None), None)
        self._loading.append(_Load(move, number, blocks_beside(self._block_of, layers, before)))

    def _hand_over(self, move: Move, blocks: dict[int, Block]) -> None:
        began_s = time.perf_counter()
        self._first.move(range(*move.blocks), move.source, move.target, blocks)
        self.split = moved(self.split, move)
        if move.target:
            self._handed = move
        else:
            self._rest((time.perf_counter() - began_s) * 1000, move)

    def _rest(self, took_ms: float, move: Move) -> None:
        """Let forwards through for as long as they were held up; then the next blocks may go."""
        first, end = move.blocks
        self._taken_ms = took_ms / (end - first)
        self._rest_until_s = time.perf_counter() + took_ms / 1000
        if not self.is_moving:
            self._first.settle()


@dataclass
class _Load:
    """Blocks that are being loaded where they go."""

    move: Move
    number: int
    blocks: Future[dict[int, Block]] | None = None
    """Of rank 0; another rank says when it has them."""
    is_done: bool = False
