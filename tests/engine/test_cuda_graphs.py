"""Recording on CUDA keeps to what torch's allocator demands, in a process that lives long."""

from __future__ import annotations

import gc
import logging

import pytest
import torch
from tests.support.fake_cuda import FakeAllocator
from torch import Tensor

from limner.engine import cuda_graphs, queues
from limner.engine.cuda_graphs import cuda_recorders
from limner.engine.frames import Uploader
from limner.engine.graphs import Replayer
from limner.engine.queues import cuda_stream, queues_of

X = torch.ones(2)


def doubled(x: Tensor) -> Tensor:
    return x * 2


def record_in(replayer: Replayer, keys: range) -> None:
    for key in keys:
        for _ in range(3):
            replayer.run(key, doubled, [X])


def test_graphs_are_recorded_again_when_all_were_forgotten(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another number of steps, another size: all are forgotten, and their pool with the last of them."""
    allocator = FakeAllocator()
    replayer = Replayer(allocator.recorder(monkeypatch), "a stage")
    with caplog.at_level(logging.WARNING, "limner.engine"):
        for _ in range(3):
            record_in(replayer, range(2))
            replayer.clear()
    assert not caplog.messages
    assert replayer.is_on
    assert len(allocator.known) == 1, "the memory of the first ones serves the next"


def test_a_pool_lives_as_long_as_anybody_has_graphs_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator = FakeAllocator()
    recorder = allocator.recorder(monkeypatch)
    first, second = (Replayer(recorder, name) for name in ("first", "second"))
    record_in(first, range(2))
    record_in(second, range(1))
    del first
    assert sum(allocator.uses.values()) == 1
    third = Replayer(recorder, "third")
    record_in(third, range(1))
    assert len(allocator.known) == 1, "a stream that records has one pool as long as graphs are in it"
    del second, third
    recorder.free()
    assert not allocator.known
    fourth = Replayer(recorder, "fourth")
    record_in(fourth, range(1))
    assert fourth.count == 1


def test_what_breaks_off_is_over_for_the_allocator_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else nothing that crossed streams would ever be freed again."""
    allocator = FakeAllocator()
    recorder = allocator.recorder(monkeypatch)
    well, broken, late = (Replayer(recorder, name) for name in ("well", "broken", "late"))
    record_in(well, range(1))
    allocator.is_broken = True
    with caplog.at_level(logging.WARNING, "limner.engine"):
        record_in(broken, range(1))
        assert not allocator.recording
        assert sum(allocator.uses.values()) == 1
        allocator.is_broken = False
        record_in(late, range(1))
    assert ["without CUDA graphs" in line for line in caplog.messages] == [True, True]
    assert (well.count, broken.is_on, late.is_on) == (1, False, False)
    monkeypatch.setattr(cuda_graphs, "cuda_recorder", lambda device, stage: recorder)
    of_another_model = cuda_recorders(torch.device("cpu"))
    for _ in range(2):
        again = Replayer(of_another_model("a stage"), "again")
        record_in(again, range(1))
        assert again.count == 1


def test_what_fails_while_it_is_recorded_is_told_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator = FakeAllocator()

    def waits() -> Tensor:
        raise RuntimeError("operation not permitted when stream is capturing")

    recorder = allocator.recorder(monkeypatch)
    for is_broken in (True, False):
        allocator.is_broken = is_broken
        with pytest.raises(RuntimeError, match="not permitted"):
            recorder.record(waits)
        gc.collect()
        assert not allocator.recording
        assert not sum(allocator.uses.values())


def test_where_memory_lacks_it_is_tried_with_what_lies_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """While something is recorded, torch does not take from one pool what another needs."""
    allocator = FakeAllocator()
    replayer = Replayer(allocator.recorder(monkeypatch), "a stage")

    def large(x: Tensor) -> Tensor:
        if allocator.recording and not allocator.emptied:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x * 2

    for _ in range(3):
        replayer.run("large", large, [X])
    assert replayer.count == 1
    assert allocator.emptied == 1


@pytest.mark.parametrize("words", ["Triton Error [CUDA]: out of memory", "CUDA error: out of memory"])
def test_want_of_memory_is_told_as_such(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    recorder = FakeAllocator().recorder(monkeypatch)

    def large() -> Tensor:
        raise RuntimeError(words)

    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
            recorder.record(large)


def test_no_garbage_is_collected_while_something_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator = FakeAllocator()
    allocator.recorder(monkeypatch).record(lambda: doubled(X))
    assert not allocator.collected_meanwhile
    assert gc.isenabled()


def test_a_purpose_has_one_cuda_stream_however_many_streams_are_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch has 32, and a graph takes in what another thread does on the stream that it is recorded on."""
    taken = []

    def new_stream(device: torch.device, priority: int = 0) -> object:
        taken.append(device)
        return object()

    monkeypatch.setattr(torch.cuda, "Stream", new_stream)
    device = torch.device("cuda", 7)
    for _ in range(40):
        Uploader(device)
        queues_of(device)
    assert len(taken) == 4
    assert cuda_stream(device, "encoding") is not cuda_stream(device, "denoising")
    queues.cuda_stream.cache_clear()
