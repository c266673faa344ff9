"""Blocks that move while streams paint: loaded ahead where they go, handed over between two forwards.

The rank that gets a block loads its weights beside its work. Only then does the block change hands, at one
place in the order of all commands, and with it all that streams remember in it: the forwards after it find in
the new rank just what they would have found in the old one. So frames are the same as without the move.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from limner.engine.blocks import Move, Split
from limner.engine.dit.model import Block
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.beside import blocks_beside
from limner.engine.pipeline.first import FirstRank


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


class Mover:
    """Brings the ranks from split to split, one move at a time. For the thread that drives."""

    def __init__(self, first: FirstRank, split: Split, block_of: Callable[[int], Block]) -> None:
        """`block_of`: loads a block of rank 0's."""
        self.split = split
        """What the ranks hold now."""
        self._first, self._block_of = first, block_of
        self._planned: deque[Move] = deque()
        self._preparing: Move | None = None
        self._loading: Future[dict[int, Block]] | None = None

    @property
    def is_moving(self) -> bool:
        """Blocks are on their way, or are being loaded."""
        return self._preparing is not None or bool(self._planned)

    def want(self, split: Split) -> None:
        """Bring the ranks to this split; what is being loaded goes there first all the same."""
        after = self.split if self._preparing is None else moved(self.split, self._preparing)
        self._planned = deque(shifts(after, split))

    def prepared(self, rank: int, report: c.Prepared) -> None:
        """A rank has loaded what it is to get."""
        move = self._preparing
        if move is not None and (rank, (report.first, report.end)) == (move.target, move.blocks):
            self._hand_over(move, {})

    def give_up(self) -> None:
        """What was to be moved stays where it is."""
        self._planned.clear()
        self._preparing = self._loading = None

    def look(self) -> bool:
        """Go on, if there is anything to go on with; False: rank 0 could not load what it was to get."""
        if self._loading is not None and self._loading.done() and self._preparing is not None:
            loading, self._loading = self._loading, None
            if loading.exception() is not None:
                return False
            self._hand_over(self._preparing, loading.result())
        if self._preparing is None and self._planned:
            self._prepare(self._planned.popleft())
        return True

    def _prepare(self, move: Move) -> None:
        self._preparing = move
        layers = range(*move.blocks)
        if move.target:
            self._first.tell_one(move.target, c.Prepare(first=layers.start, end=layers.stop))
        else:
            self._loading = blocks_beside(self._block_of, layers)

    def _hand_over(self, move: Move, blocks: dict[int, Block]) -> None:
        self._first.move(range(*move.blocks), move.source, move.target, blocks)
        self.split, self._preparing = moved(self.split, move), None
