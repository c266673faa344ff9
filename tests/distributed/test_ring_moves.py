"""Blocks that move in the middle of a stream leave no trace in its frames."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from tests.distributed.rings import Ranks, pipelined, ranks, tiny_of
from tests.engine.streaming import clip, frames_of, painted, stream_of
from torch import Tensor

from limner.engine.blocks import Split, split_of
from limner.engine.clock import NO_TIME
from limner.engine.engine import Engine
from limner.engine.pipeline import first
from limner.engine.pipeline.denoiser import PipelinedDenoiser
from limner.engine.pipeline.moving import moved, shifts
from limner.engine.stream import denoised

LAYERS = 5
START: Split = ((0, 2), (2, 4), (4, 5))
TOUR: Sequence[Split] = (
    ((0, 1), (1, 2), (2, 5)),
    ((0, 4), (4, 4), (4, 5)),
    ((0, 0), (0, 5), (5, 5)),
    ((0, 5), (5, 5), (5, 5)),
    ((0, 0), (0, 0), (0, 5)),
    START,
)


@pytest.fixture(scope="module")
def three(weights: Path) -> Iterator[Ranks]:
    with ranks(tiny_of(LAYERS), weights, START) as made:
        yield made


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_frames_are_the_same_whatever_moves_meanwhile(alone: Engine, three: Ranks, steps: int) -> None:
    chunks = clip(4 * len(TOUR))
    expected = painted(stream_of(alone, steps=steps, stream_batch=False), chunks)
    assert torch.equal(moving_frames(three, chunks, steps), frames_of(expected))
    assert three.engine.watch.mover.split == START
    held = three.held()
    assert (held[1], held[2]) == ([2, 3], [4]), "what moved away is not in memory any more"


def test_a_moved_block_without_its_past_shows(
    alone: Engine, three: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 4 of the reference, and that the test above would see it."""
    chunks = clip(4 * len(TOUR))
    expected = frames_of(painted(stream_of(alone, steps=2, stream_batch=False), chunks))
    monkeypatch.setattr(first, "copied", lambda *_: None)
    assert not torch.equal(moving_frames(three, chunks, 2), expected)


def test_a_new_text_after_a_move_is_known_to_the_moved_blocks(alone: Engine, three: Ranks) -> None:
    chunks = clip(6)
    three.engine.rebalance(((0, 4), (4, 4), (4, 5)))
    got = pipelined(three, chunks, prompt="neon", steps=2)
    three.engine.rebalance(START)
    expected = painted(stream_of(alone, prompt="neon", steps=2, stream_batch=False), chunks)
    assert torch.equal(frames_of(got), frames_of(expected))


def test_borders_never_pass_one_another() -> None:
    chance = random.Random(3)
    for _ in range(2000):
        size, layers = chance.randint(2, 6), chance.randint(1, 12)
        now, then = (random_split(chance, size, layers) for _ in range(2))
        at = now
        for move in shifts(now, then):
            assert abs(move.source - move.target) == 1
            assert at[move.source][0] <= move.blocks[0] < move.blocks[1] <= at[move.source][1]
            at = moved(at, move)
            assert all(begin <= end for begin, end in at)
            assert all(one[1] == other[0] for one, other in itertools.pairwise(at))
        assert at == then


def random_split(chance: random.Random, size: int, layers: int) -> Split:
    borders = sorted(chance.randint(0, layers) for _ in range(size - 1))
    return split_of([b - a for a, b in itertools.pairwise([0, *borders, layers])])


def moving_frames(made: Ranks, chunks: Sequence[Tensor], steps: int) -> Tensor:
    """Frames of chunks that are on their way while the ranks tour through all splits."""
    stream, out, tour = stream_of(made.engine, steps=steps), [], list(TOUR)
    assert isinstance(stream.denoiser, PipelinedDenoiser)
    for group in grouped(chunks, 4):
        begun = [stream.denoiser.begin(stream.encode(chunk)) for chunk in group]
        made.engine.rebalance(tour.pop(0))
        for one in begun:
            out.append(stream.decode(denoised(None, one.result(60), NO_TIME)))
    made.wait_for_split(START)
    return frames_of([one for one in out if one is not None])


def grouped(chunks: Sequence[Tensor], size: int) -> Iterator[Sequence[Tensor]]:
    for start in range(0, len(chunks), size):
        yield chunks[start : start + size]
