"""A rank whose memory has no room for blocks that it was to get keeps those that it has."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from limner.engine.blocks import Split
from limner.engine.dit.model import Block
from limner.engine.pipeline import commands as c
from limner.engine.pipeline import watch as watching
from limner.engine.pipeline.timing import StageTimes
from limner.engine.pipeline.watch import Watch

SPLIT: Split = ((0, 4), (4, 8))
TO_ONE: Split = ((0, 2), (2, 8))
TO_NONE: Split = ((0, 6), (6, 8))
PATIENCE_S = 10.0


class Rank0:
    """What a watch needs of it. Nothing moves."""

    size = 2
    block_bytes = past_bytes = 1

    def __init__(self, told: list[tuple[int, c.Command]]) -> None:
        self.times, self.told = StageTimes(0), told
        self.stage = cast(Any, type("Nothing", (), {"dit": type("Dit", (), {"held": [0, 1, 2, 3]})}))

    def tell_one(self, rank: int, command: c.Command) -> None:
        self.told.append((rank, command))

    def settle(self) -> None:
        self.told.append((1, c.Settled()))

    def move(self, *_: object) -> None:
        raise AssertionError("nothing was loaded")


class Still:
    """Decoding, which goes nowhere."""

    rank = 0

    def look(self) -> None:
        pass


class Reports:
    """The channel."""

    def __init__(self) -> None:
        self.next: list[tuple[int, bytes]] = []

    def tell(self, rank: int, message: bytes) -> None:
        raise AssertionError("rank 0 tells")

    def heard(self) -> list[tuple[int, bytes]]:
        heard, self.next = self.next, []
        return heard

    def lost(self) -> frozenset[int]:
        return frozenset()


def no_room(layer: int) -> Block:
    raise MemoryError(f"no room for {layer}")


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def told() -> list[tuple[int, c.Command]]:
    return []


@pytest.fixture
def watch(reports: Reports, told: list[tuple[int, c.Command]], monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(watching, "POLL_S", 0.0)
    return Watch(cast(Any, Rank0(told)), reports, SPLIT, no_room, cast(Any, Still()))


def test_another_rank_says_that_it_has_no_room(
    watch: Watch, reports: Reports, told: list[tuple[int, c.Command]]
) -> None:
    watch.mover.want(TO_ONE)
    watch.look()
    assert told == [(1, c.Prepare(number=0, first=2, end=4))]
    reports.next.append((1, c.encoded(c.Prepared(number=0, fault="OutOfMemoryError: 2 GiB"))))
    watch.look()
    assert not watch.mover.is_moving
    assert watch.mover.split == SPLIT
    assert [cost.most_blocks for cost in watch.costs] == [1_000, 4]


def test_rank_0_has_no_room(watch: Watch) -> None:
    watch.mover.want(TO_NONE)
    watch.look()
    deadline = time.monotonic() + PATIENCE_S
    while watch.mover.is_moving and time.monotonic() < deadline:
        watch.look()
    assert watch.mover.split == SPLIT
    assert [cost.most_blocks for cost in watch.costs] == [4, 1_000]
