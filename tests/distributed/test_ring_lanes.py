"""A stream on the lanes of a pipeline: what the worker uses, painting what one device paints."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.distributed.rings import Ranks, ranks, tiny_of
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from torch import Tensor

from limner.engine.engine import Engine
from limner.engine.overlap import OverlappedStream
from limner.engine.pipeline.lanes import PipelineLanes
from limner.engine.pipeline.ring import PipelineError
from limner.engine.types import Painted

LAYERS = 4


@pytest.fixture(scope="module")
def two(weights: Path) -> Iterator[Ranks]:
    with ranks(tiny_of(LAYERS), weights, ((0, 2), (2, 4))) as made:
        yield made


@pytest.fixture
def lanes(two: Ranks) -> Iterator[PipelineLanes]:
    with PipelineLanes(two.engine) as lanes:
        yield lanes


@pytest.mark.parametrize("steps", [1, 3])
def test_the_frames_are_the_same(two: Ranks, lanes: PipelineLanes, alone: Engine, steps: int) -> None:
    chunks = clip(9)
    expected = painted(stream_of(alone, steps=steps, stream_batch=False), chunks)
    got = through(OverlappedStream(stream_of(two.engine, steps=steps), lanes), chunks)
    assert [one.chunk for one in got] == [one.chunk for one in expected]
    assert torch.equal(frames_of(got), frames_of(expected))


def test_settings_count_from_the_next_chunk_pushed(two: Ranks, lanes: PipelineLanes, alone: Engine) -> None:
    chunks = clip(8)
    changed = settings_of(prompt="neon", steps=2, revision=7, stream_batch=False)
    plain = stream_of(alone)
    expected = [plain.push(chunk) for chunk in chunks[:3]]
    plain.update(changed)
    expected += [plain.push(chunk) for chunk in chunks[3:]]
    stream = OverlappedStream(stream_of(two.engine), lanes)
    for chunk in chunks[:3]:
        stream.push(chunk)
    stream.update(changed)
    got = through(stream, chunks[3:])
    assert torch.equal(frames_of(got), frames_of([one for one in expected if one is not None]))
    assert got[-1].revision == 7


def test_every_rank_gets_a_chunk_before_the_first_comes_out(two: Ranks, lanes: PipelineLanes) -> None:
    """Nothing is held back to fill the pipeline, and nothing waits for the chunk before to come out."""
    stream, held = OverlappedStream(stream_of(two.engine), lanes), threading.Event()
    two.engine.ring.do(held.wait)
    for chunk in clip(lanes.most_inside):
        stream.push(chunk)
    assert stream.is_full and not stream.collect()
    held.set()
    assert len(stream.drain()) == lanes.most_inside


def test_a_reset_begins_anew(two: Ranks, lanes: PipelineLanes) -> None:
    chunks, stream = clip(5), OverlappedStream(stream_of(two.engine, steps=2), lanes)
    first = frames_of(through(stream, chunks))
    stream.push(chunks[0])
    stream.reset()
    assert torch.equal(frames_of(through(stream, chunks)), first)


def test_work_between_chunks_waits_for_those_before(two: Ranks, lanes: PipelineLanes) -> None:
    stream = OverlappedStream(stream_of(two.engine, steps=2), lanes)
    stream.push(clip(1)[0])
    assert lanes.between(lambda: len(stream.stream.denoiser.flush())) == 0
    assert len(stream.drain()) == 1


def test_a_broken_ring_says_so_and_another_takes_over(weights: Path, alone: Engine) -> None:
    chunks = clip(6)
    with ranks(tiny_of(LAYERS), weights, ((0, 2), (2, 4))) as made, PipelineLanes(made.engine) as lanes:
        stream = OverlappedStream(stream_of(made.engine), lanes)
        stream.push(chunks[0])
        assert len(stream.drain()) == 1
        made.engine.ring.break_off(RuntimeError("the card fell out"))
        stream.push(chunks[1])
        with pytest.raises(PipelineError, match="the card fell out"):
            stream.drain()
        made.alone()
        stream.reset()
        got = through(stream, chunks)
        assert torch.equal(frames_of(got), frames_of(painted(stream_of(alone), chunks)))


def through(stream: OverlappedStream, chunks: list[Tensor]) -> list[Painted]:
    done: list[Painted] = []
    for chunk in chunks:
        stream.push(chunk)
        done += stream.collect()
    return [*done, *stream.flush()]
