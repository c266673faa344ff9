"""Stages that overlap paint the same frames, in order, whatever happens to the stream meanwhile."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
import torch
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_engine
from torch import Tensor

from limner.engine import device_lanes
from limner.engine.device_lanes import DeviceLanes, tensors_in
from limner.engine.engine import Engine
from limner.engine.errors import FrameError
from limner.engine.frames import Uploader
from limner.engine.overlap import AnyLanes, Lanes, OverlappedStream, lane_threads
from limner.engine.queues import HostQueue, Mark
from limner.engine.types import NoisedChunk, Painted


@pytest.fixture(params=["threads", "queues"])
def lanes(request: pytest.FixtureRequest) -> Iterator[AnyLanes]:
    with Lanes(2) if request.param == "threads" else DeviceLanes(torch.device("cpu")) as lanes:
        yield lanes


@pytest.fixture
def threads() -> Iterator[Lanes]:
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
def test_the_frames_are_the_same(lanes: AnyLanes, engine: Engine, steps: int, stream_batch: bool) -> None:
    chunks = clip(8)
    wanted = painted(stream_of(engine, steps=steps, stream_batch=stream_batch), chunks)
    stream = OverlappedStream(stream_of(engine, steps=steps, stream_batch=stream_batch), lanes)
    got = through(stream, chunks)
    assert [part.chunk for part in got] == [part.chunk for part in wanted]
    assert torch.equal(frames_of(got), frames_of(wanted))
    assert stream.inside == 0


def test_settings_count_from_the_next_chunk_pushed(lanes: AnyLanes, engine: Engine) -> None:
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


def test_stages_of_neighbouring_chunks_run_at_the_same_time(threads: Lanes) -> None:
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

    inner.encode = encode  # type: ignore[method-assign,assignment]
    inner.denoise = denoise  # type: ignore[method-assign,assignment]
    got = through(OverlappedStream(inner, threads), clip(3))
    assert [part.chunk for part in got] == [0, 1, 2]


def test_push_waits_when_the_lanes_are_full(lanes: AnyLanes) -> None:
    inner = stream_of(tiny_engine())
    go, plain = threading.Event(), inner.denoise

    def denoise(chunk: NoisedChunk | None) -> object:
        assert go.wait(timeout=20)
        return plain(chunk)

    inner.denoise = denoise  # type: ignore[method-assign,assignment]
    stream = OverlappedStream(inner, lanes)
    chunks = clip(lanes.most_inside + 1)
    for chunk in chunks[:-1]:
        stream.push(chunk)
    last = threading.Thread(target=stream.push, args=(chunks[-1],))
    last.start()
    last.join(timeout=0.2)
    assert last.is_alive()
    go.set()
    last.join(timeout=20)
    assert [part.chunk for part in stream.drain()] == list(range(lanes.most_inside + 1))


def test_who_waits_is_told(lanes: AnyLanes) -> None:
    told = threading.Semaphore(0)
    stream = OverlappedStream(stream_of(tiny_engine()), lanes, on_painted=told.release)
    stream.push(clip(1)[0])
    assert told.acquire(timeout=20)
    assert [part.chunk for part in stream.collect()] == [0]


def test_a_fault_comes_out_of_collect_and_the_lanes_live_on(lanes: AnyLanes) -> None:
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


def test_wrong_frames_are_refused_at_once(lanes: AnyLanes) -> None:
    stream = OverlappedStream(stream_of(tiny_engine()), lanes)
    with pytest.raises(FrameError):
        stream.push(torch.zeros(4, 3, 7, 5, dtype=torch.uint8))
    assert [part.chunk for part in through(stream, clip(2))] == [0, 1]


def test_reset_begins_anew(lanes: AnyLanes, engine: Engine) -> None:
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


def test_queues_bring_rgba_to_the_host(engine: Engine) -> None:
    with DeviceLanes(torch.device("cpu")) as lanes:
        done = through(OverlappedStream(stream_of(engine), lanes), clip(3))
    for part in done:
        assert part.rgba_THW4 is not None and part.rgba_THW4.is_contiguous()
        assert torch.equal(part.rgba_THW4[..., :3], part.frames_TCHW.permute(0, 2, 3, 1))
        assert (part.rgba_THW4[..., 3] == 255).all()


def test_uploaded_frames_are_painted_alike(engine: Engine) -> None:
    """Cuts too: they are found in thumbnails that came with them."""
    chunks = [*clip(4), *[torch.zeros(4, 3, 32, 48, dtype=torch.uint8)] * 4, *clip(4, seed=6)]
    wanted = painted(stream_of(engine), chunks)
    uploader, stream = Uploader(torch.device("cpu")), stream_of(engine)
    got = []
    for chunk in chunks:
        slots_T = [torch.nn.functional.pad(frame, (0, 0, 0, 0, 0, 1)).permute(1, 2, 0) for frame in chunk]
        slots = [slot.contiguous() for slot in slots_T]
        uploaded = uploader.push(slots)
        for slot in slots:
            slot.fill_(7)  # Their memory is their owner's again.
        got.append(stream.push(uploaded))
    assert torch.equal(frames_of([part for part in got if part is not None]), frames_of(wanted))
    assert any(part.is_cut for part in wanted)


def test_a_stream_stays_until_the_device_is_done_with_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caches are written to by what was handed over, whoever has closed it meanwhile."""
    done = threading.Event()

    class Place:
        def wait(self) -> None:
            done.wait()

    class Busy(HostQueue):
        def mark(self) -> Mark:
            return Place()

    monkeypatch.setattr(device_lanes, "queues_of", lambda device: (HostQueue(), HostQueue(), Busy()))
    with DeviceLanes(torch.device("cpu")) as lanes:
        overlapped = OverlappedStream(stream_of(engine), lanes)
        stream = weakref.ref(overlapped.stream)
        overlapped.push(clip(1)[0])
        lanes.between(lambda: None)
        del overlapped
        was_there = stream() is not None
        done.set()
    assert was_there and stream() is None


def test_who_waits_for_the_last_chunk_has_the_memory_of_its_stream(engine: Engine) -> None:
    """Without the collector, and at once: another stream is opened in its place."""
    gc.disable()
    try:
        with DeviceLanes(torch.device("cpu")) as lanes:
            gone = []
            for _ in range(20):
                overlapped = OverlappedStream(stream_of(engine), lanes)
                stream = weakref.ref(overlapped.stream)
                overlapped.push(clip(1)[0])
                overlapped.reset()
                del overlapped
                gone.append(stream() is None)
    finally:
        gc.enable()
    assert all(gone)


def test_all_tensors_of_a_chunk_are_handed_on(engine: Engine) -> None:
    chunk = stream_of(engine).encode(clip(1)[0])
    found = {id(tensor) for tensor in tensors_in(chunk)}
    for tensor in (chunk.x_TCHW, chunk.strength, chunk.told_N, *chunk.text.keys, *chunk.text.values):
        assert id(tensor) in found
    without_text = {id(tensor) for tensor in tensors_in(chunk, but=chunk.text)}
    assert found - without_text >= {id(tensor) for tensor in chunk.text.keys}
    assert id(chunk.x_TCHW) in without_text
