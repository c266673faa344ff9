"""Stages that overlap paint the same frames, in order, whatever happens to the stream meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_engine
from torch import Tensor

from limner.engine.engine import Engine
from limner.engine.errors import FrameError
from limner.engine.overlap import MOST_INSIDE, Lanes, OverlappedStream, lane_threads
from limner.engine.types import NoisedChunk, Painted


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    with Lanes(2) as lanes:
        yield lanes


def through(stream: OverlappedStream, chunks: list[Tensor]) -> list[Painted]:
    done: list[Painted] = []
    for chunk in chunks:
        stream.push(chunk)
        done += stream.collect()
    return [*done, *stream.flush()]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("stream_batch", [True, False])
def test_the_frames_are_the_same(lanes: Lanes, engine: Engine, steps: int, stream_batch: bool) -> None:
    chunks = clip(8)
    wanted = painted(stream_of(engine, steps=steps, stream_batch=stream_batch), chunks)
    stream = OverlappedStream(stream_of(engine, steps=steps, stream_batch=stream_batch), lanes)
    got = through(stream, chunks)
    assert [part.chunk for part in got] == [part.chunk for part in wanted]
    assert torch.equal(frames_of(got), frames_of(wanted))
    assert stream.inside == 0


def test_settings_count_from_the_next_chunk_pushed(lanes: Lanes, engine: Engine) -> None:
    chunks = clip(8)
    changed = settings_of(prompt="neon", steps=2, revision=7)

    plain = stream_of(engine)
    wanted = [plain.push(chunk) for chunk in chunks[:3]]
    plain.update(changed)
    wanted += [*(plain.push(chunk) for chunk in chunks[3:]), plain.flush()]

    stream = OverlappedStream(stream_of(engine), lanes)
    for chunk in chunks[:3]:
        stream.push(chunk)
    stream.update(changed)
    got = through(stream, chunks[3:])
    assert torch.equal(frames_of(got), frames_of([part for part in wanted if part is not None]))
    assert got[-1].revision == 7


def test_stages_of_neighbouring_chunks_run_at_the_same_time(lanes: Lanes) -> None:
    """The second chunk is encoded while the first is held in the denoiser."""
    inner = stream_of(tiny_engine())
    encoded_twice, plain_encode, plain_denoise = threading.Event(), inner.encode, inner.denoise
    count = 0

    def encode(frames_TCHW: Tensor) -> NoisedChunk:
        nonlocal count
        count += 1
        if count == 2:
            encoded_twice.set()
        return plain_encode(frames_TCHW)

    def denoise(chunk: NoisedChunk | None) -> object:
        assert encoded_twice.wait(timeout=20), "the lanes take turns"
        return plain_denoise(chunk)

    inner.encode = encode  # type: ignore[method-assign]
    inner.denoise = denoise  # type: ignore[method-assign,assignment]
    got = through(OverlappedStream(inner, lanes), clip(3))
    assert [part.chunk for part in got] == [0, 1, 2]


def test_push_waits_when_the_lanes_are_full(lanes: Lanes) -> None:
    inner = stream_of(tiny_engine())
    go, plain = threading.Event(), inner.denoise

    def denoise(chunk: NoisedChunk | None) -> object:
        assert go.wait(timeout=20)
        return plain(chunk)

    inner.denoise = denoise  # type: ignore[method-assign,assignment]
    stream = OverlappedStream(inner, lanes)
    chunks = clip(MOST_INSIDE + 1)
    for chunk in chunks[:-1]:
        stream.push(chunk)
    last = threading.Thread(target=stream.push, args=(chunks[-1],))
    last.start()
    last.join(timeout=0.2)
    assert last.is_alive()
    go.set()
    last.join(timeout=20)
    assert [part.chunk for part in stream.drain()] == list(range(MOST_INSIDE + 1))


def test_who_waits_is_told(lanes: Lanes) -> None:
    told = threading.Semaphore(0)
    stream = OverlappedStream(stream_of(tiny_engine()), lanes, on_painted=told.release)
    stream.push(clip(1)[0])
    assert told.acquire(timeout=20)
    assert [part.chunk for part in stream.collect()] == [0]


def test_a_fault_comes_out_of_collect_and_the_lanes_live_on(lanes: Lanes) -> None:
    inner = stream_of(tiny_engine())
    plain = inner.denoise

    def denoise(chunk: NoisedChunk | None) -> object:
        raise MemoryError("no room")

    inner.denoise = denoise  # type: ignore[method-assign,assignment]
    stream = OverlappedStream(inner, lanes)
    chunks = clip(3)
    stream.push(chunks[0])
    with pytest.raises(MemoryError, match="no room"):
        stream.drain()
    inner.denoise = plain  # type: ignore[method-assign]
    assert [part.chunk for part in through(stream, chunks[1:])] == [1, 2]


def test_wrong_frames_are_refused_at_once(lanes: Lanes) -> None:
    stream = OverlappedStream(stream_of(tiny_engine()), lanes)
    with pytest.raises(FrameError):
        stream.push(torch.zeros(4, 3, 7, 5, dtype=torch.uint8))
    assert [part.chunk for part in through(stream, clip(2))] == [0, 1]


def test_reset_begins_anew(lanes: Lanes, engine: Engine) -> None:
    stream = OverlappedStream(stream_of(engine, steps=2), lanes)
    for chunk in clip(3):
        stream.push(chunk)
    stream.reset()
    chunks = clip(4)
    wanted = painted(stream_of(engine, steps=2), chunks)
    assert torch.equal(frames_of(through(stream, chunks)), frames_of(wanted))


@pytest.mark.parametrize(("threads", "lanes"), [(1, (1, 1)), (2, (1, 1)), (3, (1, 2)), (8, (4, 4))])
def test_threads_are_shared_out(threads: int, lanes: tuple[int, int]) -> None:
    assert lane_threads(threads) == lanes
    with pytest.raises(ValueError, match="at least 1"):
        Lanes(0)
