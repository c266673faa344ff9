"""Blocks go to where there is time for them, while a stream paints on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.distributed.rings import PATIENCE_S, PacedStage, Ranks, ranks, tiny_of, weights_of
from tests.engine.streaming import clip, frames_of, painted, stream_of
from tests.engine.tiny import random_weights

from limner.engine.blocks import RankCost, Split, best_split, counts_of, period_ms
from limner.engine.engine import Engine
from limner.engine.overlap import OverlappedStream
from limner.engine.pipeline.lanes import PipelineLanes
from limner.engine.types import Painted

LAYERS = 8
EVEN: Split = ((0, 4), (4, 8))
SLOWED = 3.0
NEAR = 0.93


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_of(random_weights(tiny_of(LAYERS)), tmp_path_factory.mktemp("weights"))


@pytest.fixture
def paced(weights: Path) -> Iterator[Ranks]:
    with ranks(tiny_of(LAYERS), weights, EVEN, stage=PacedStage, balancing=True) as made:
        yield made


def test_a_slowed_rank_gives_blocks_away_and_gets_them_back(paced: Ranks, weights: Path) -> None:
    """And not a frame is another because of it, nor is one missing."""
    with PipelineLanes(paced.engine) as lanes:
        stream, got, chunks = OverlappedStream(stream_of(paced.engine), lanes), [], clip(4)
        pushed = 0

        def paint_until_near(costs: list[RankCost]) -> None:
            nonlocal pushed
            deadline = time.monotonic() + PATIENCE_S
            while share_of_best(paced.engine.watch.mover.split, costs) < NEAR:
                assert time.monotonic() < deadline, f"still {paced.engine.watch.mover.split}"
                stream.push(chunks[pushed % len(chunks)])
                pushed += 1
                got.extend(stream.collect())

        paced.slowness[1].value = SLOWED
        paint_until_near([RankCost(1.0), RankCost(SLOWED)])
        assert counts_of(paced.engine.watch.mover.split)[1] < 4
        paced.slowness[1].value = 1.0
        paint_until_near([RankCost(1.0), RankCost(1.0)])
        got.extend(stream.flush())
    same(got, weights, [chunks[number % len(chunks)] for number in range(pushed)])


def same(got: list[Painted], weights: Path, chunks: list[torch.Tensor]) -> None:
    alone = Engine(tiny_of(LAYERS), weights, dtype=torch.float32)
    expected = painted(stream_of(alone, stream_batch=False), chunks)
    assert torch.equal(frames_of(got), frames_of(expected))


def share_of_best(split: Split, costs: list[RankCost]) -> float:
    return period_ms(best_split(LAYERS, costs), costs) / period_ms(split, costs)
