"""Blocks that a rank will get: loaded beside its work, one after the other, before they change hands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from limner.engine.dit.model import Block
from limner.engine.errors import EngineError
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.beside import blocks_beside


@dataclass
class _Coming:
    command: c.Prepare
    blocks: Future[dict[int, Block]]
    is_told: bool = False
    """That it is there, or why not."""


class Preparing:
    """For one thread, which does not wait here."""

    def __init__(self, block_of: Callable[[int], Block]) -> None:
        """`block_of`: loads a block, on any thread."""
        self._block_of = block_of
        self._coming: deque[_Coming] = deque()

    @property
    def is_loading(self) -> bool:
        """Something is not there yet."""
        return any(not one.blocks.done() for one in self._coming)

    def begin(self, command: c.Prepare) -> None:
        """Load these, after those before."""
        before = self._coming[-1].blocks if self._coming else None
        layers = range(command.first, command.end)
        self._coming.append(_Coming(command, blocks_beside(self._block_of, layers, before)))

    def news(self) -> list[c.Prepared]:
        """What there is to report since the last time."""
        found = [one for one in self._coming if one.blocks.done() and not one.is_told]
        for one in found:
            one.is_told = True
        return [c.Prepared(number=one.command.number, fault=_words(one.blocks)) for one in found]

    def take(self, command: c.Move) -> dict[int, Block]:
        """The blocks that change hands now; EngineError where they were not prepared."""
        one = self._coming.popleft() if self._coming else None
        if one is None or (one.command.first, one.command.end) != (command.first, command.end):
            raise EngineError(f"blocks {command.first} to {command.end - 1} were moved here unprepared")
        return one.blocks.result()

    def clear(self) -> None:
        """What was prepared is not needed: its memory is free when it is loaded."""
        self._coming.clear()


def _words(blocks: Future[dict[int, Block]]) -> str:
    fault = blocks.exception()
    return "" if fault is None else f"{type(fault).__name__}: {fault}"[:500]
