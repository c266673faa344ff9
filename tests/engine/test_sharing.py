"""Chunks that wait before the denoiser at the same time share its forwards; nobody pays for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import torch
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_engine
from torch import Tensor

from limner.engine.dit.model import CausalDiT
from limner.engine.engine import Engine
from limner.engine.overlap import Lanes, OverlappedStream
from limner.engine.sharing import Line, Waiting
from limner.engine.stream import Stream
from limner.engine.types import NoisedChunk, Painted


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    with Lanes(2) as lanes:
        assert lanes.share(4)
        yield lanes


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each forward."""
    counted: list[int] = []
    denoise = CausalDiT.denoise

    def counting(self: CausalDiT, x_RTCHW: Tensor, *others: Any) -> Tensor:
        counted.append(len(x_RTCHW))
        return denoise(self, x_RTCHW, *others)

    monkeypatch.setattr(CausalDiT, "denoise", counting)
    return counted


def held(lanes: Lanes) -> threading.Event:
    """Hold the denoiser up until the event: what is pushed meanwhile waits."""
    go = threading.Event()
    lanes.denoising.submit(go.wait, 20)
    return go


def pushed_while_held(
    lanes: Lanes, streams: list[OverlappedStream], chunks: list[Tensor]
) -> list[list[Painted]]:
    """Push a chunk to each while the denoiser is held, all encoded before it is free; what came out."""
    go = held(lanes)
    for stream, chunk in zip(streams, chunks, strict=True):
        stream.push(chunk)
    lanes.coding.submit(lambda: None).result(timeout=20)
    go.set()
    return [stream.drain() for stream in streams]


def on_lanes(lanes: Lanes, engine: Engine, *changes: dict[str, Any]) -> list[OverlappedStream]:
    return [OverlappedStream(stream_of(engine, **change), lanes) for change in changes]


def test_chunks_that_wait_share_a_forward_and_are_what_they_were(
    lanes: Lanes, engine: Engine, rows: list[int]
) -> None:
    room: list[dict[str, Any]] = [{}, {"prompt": "neon"}, {"seed": 4}]
    clips = [clip(6, seed=number) for number in range(3)]
    wanted = [painted(stream_of(engine, **one), chunks) for one, chunks in zip(room, clips, strict=True)]
    rows.clear()
    streams = on_lanes(lanes, engine, *room)
    got: list[list[Painted]] = [[], [], []]
    for number in range(6):
        for mine, parts in zip(
            got, pushed_while_held(lanes, streams, [c[number] for c in clips]), strict=True
        ):
            mine.extend(parts)
    assert rows == [3] * 6
    for mine, theirs in zip(got, wanted, strict=True):
        assert [part.together for part in mine] == [3] * 6
        assert [part.chunk for part in mine] == list(range(6))
        # Rows of a matrix product may differ in the last bit by how many there are.
        assert (frames_of(mine).float() - frames_of(theirs).float()).abs().max() <= 1


def test_one_alone_goes_alone_and_is_the_same_to_the_bit(
    lanes: Lanes, engine: Engine, rows: list[int]
) -> None:
    chunks = clip(5)
    wanted = painted(stream_of(engine), chunks)
    (stream,) = on_lanes(lanes, engine, {})
    got = [part for chunk in chunks for part in pushed_while_held(lanes, [stream], [chunk])[0]]
    assert torch.equal(frames_of(got), frames_of(wanted))
    assert set(rows) == {1}
    assert {part.together for part in got} == {1}


def test_no_more_share_than_may(lanes: Lanes, engine: Engine, rows: list[int]) -> None:
    streams = on_lanes(lanes, engine, {}, {}, {})
    lanes.share(2)
    pushed_while_held(lanes, streams, clip(3))
    assert rows == [2, 1]
    rows.clear()
    lanes.share(1)
    pushed_while_held(lanes, streams, clip(3))
    assert rows == [1, 1, 1]


def test_only_alike_chunks_share(lanes: Lanes, engine: Engine, rows: list[int]) -> None:
    streams = on_lanes(lanes, engine, {}, {"steps": 2, "stream_batch": False}, {"strength": 0.0}, {})
    parts = pushed_while_held(lanes, streams, clip(4))
    assert [one[0].together for one in parts] == [2, 1, 1, 2]
    assert rows == [2, 1, 1]


def test_chunks_of_one_stream_never_share_and_stay_in_order(lanes: Lanes, engine: Engine) -> None:
    first, second = on_lanes(lanes, engine, {}, {})
    go = held(lanes)
    chunks = clip(2)
    for chunk in chunks:
        first.push(chunk)
    second.push(chunks[0])
    lanes.coding.submit(lambda: None).result(timeout=20)
    go.set()
    mine, theirs = first.drain(), second.drain()
    assert [(part.chunk, part.together) for part in mine] == [(0, 2), (1, 1)]
    assert [(part.chunk, part.together) for part in theirs] == [(0, 2)]


def test_a_stream_that_fails_takes_nobody_with_it(lanes: Lanes, engine: Engine) -> None:
    streams = on_lanes(lanes, engine, {}, {}, {})
    pushed_while_held(lanes, streams, clip(3))
    bad = streams[1].stream
    plain = bad.denoising

    def denoising(chunk: NoisedChunk) -> Any:
        work = plain(chunk)
        rows = next(work)
        work.throw(MemoryError("no room for this one"))
        yield rows

    bad.denoising = denoising  # type: ignore[method-assign]
    go = held(lanes)
    for stream, chunk in zip(streams, clip(3, seed=2), strict=True):
        stream.push(chunk)
    lanes.coding.submit(lambda: None).result(timeout=20)
    go.set()
    assert [part.chunk for part in streams[0].drain()] == [1]
    with pytest.raises(MemoryError, match="this one"):
        streams[1].drain()
    assert [part.chunk for part in streams[2].drain()] == [1]
    bad.denoising = plain  # type: ignore[method-assign]
    after = pushed_while_held(lanes, streams, clip(3, seed=3))
    assert [part.chunk for one in after for part in one] == [2, 2, 2]


def test_a_forward_too_large_for_several_is_done_for_each(
    lanes: Lanes, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clips = [clip(3, seed=number) for number in range(2)]
    wanted = [painted(stream_of(engine), chunks) for chunks in clips]
    denoise = CausalDiT.denoise

    def narrow(self: CausalDiT, x_RTCHW: Tensor, *others: Any) -> Tensor:
        done = denoise(self, x_RTCHW, *others)
        if len(x_RTCHW) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return done

    monkeypatch.setattr(CausalDiT, "denoise", narrow)
    streams = on_lanes(lanes, engine, {}, {})
    got: list[list[Painted]] = [[], []]
    for number in range(3):
        for mine, parts in zip(
            got, pushed_while_held(lanes, streams, [c[number] for c in clips]), strict=True
        ):
            mine.extend(parts)
    for mine, theirs in zip(got, wanted, strict=True):
        assert torch.equal(frames_of(mine), frames_of(theirs))
    # Once is enough to know.
    assert caplog.text.count("do not go through one forward") == 1
    assert not lanes.share(4)


def test_a_chunk_that_cannot_be_encoded_leaves_the_line(engine: Engine) -> None:
    line = Line()
    line.share(4)
    bad, good = waiting(stream_of(engine)), waiting(stream_of(engine))
    bad.encoded.set_exception(ValueError("no frames"))
    good.encoded.set_result(good.stream.encode(clip(1)[0]))
    line.put(bad)
    line.put(good)
    assert line.take() == [bad]
    assert line.take() == [good]
    assert line.take() == []


def test_nobody_waits_for_what_is_not_encoded(engine: Engine) -> None:
    line = Line()
    line.share(4)
    first, late = waiting(stream_of(engine)), waiting(stream_of(engine))
    first.encoded.set_result(first.stream.encode(clip(1)[0]))
    line.put(first)
    line.put(late)
    assert line.take() == [first]


def waiting(stream: Stream) -> Waiting:
    return Waiting(stream, Future(), Future())


def test_settings_change_while_chunks_share(lanes: Lanes) -> None:
    engine = tiny_engine()
    streams, chunks = on_lanes(lanes, engine, {}, {}), clip(8)
    got: list[list[Painted]] = [[], []]
    for number, chunk in enumerate(chunks):
        streams[0].update(settings_of(steps=1 + number // 3, revision=number))
        for mine, parts in zip(got, pushed_while_held(lanes, streams, [chunk, chunk]), strict=True):
            mine.extend(parts)
    got[0] += streams[0].flush()
    alone = stream_of(engine)
    wanted = []
    for number, chunk in enumerate(chunks):
        alone.update(settings_of(steps=1 + number // 3, revision=number))
        wanted.append(alone.push(chunk))
    wanted.append(alone.flush())
    theirs = frames_of([part for part in wanted if part is not None])
    assert (frames_of(got[0]).float() - theirs.float()).abs().max() <= 1
