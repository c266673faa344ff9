"""What is recorded is replayed over the same memory, does what the callable does, and once a call."""

from __future__ import annotations

import logging

import pytest
import torch
from tests.support.tape import TapeRecorder
from torch import Tensor

from limner.engine.graphs import MOST_GRAPHS, Held, Replayer


class Adder:
    """Remembers: sum += x; y = 2 * sum."""

    def __init__(self) -> None:
        self.sum = torch.zeros(3)
        self.calls = 0

    def push(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.sum.add_(x)
        return self.sum * 2


def test_replays_give_what_calls_give() -> None:
    plain, replayed = Adder(), Adder()
    replayer = Replayer(TapeRecorder(), "adding")
    for i in range(6):
        x = torch.tensor([i, 2.0 * i, -1.0])
        assert torch.equal(replayer.run("add", replayed.push, [x]), plain.push(x))
    assert replayed.calls == 2  # Once as it is, once to be recorded.
    assert replayer.count == 1


def test_results_are_their_owners() -> None:
    adder, replayer = Adder(), Replayer(TapeRecorder(), "adding")
    results = [replayer.run("add", adder.push, [torch.ones(3)]) for _ in range(4)]
    assert [float(result[0]) for result in results] == [2, 4, 6, 8]


def test_without_a_recorder_or_a_key_it_is_called() -> None:
    adder = Adder()
    for replayer, key in ((Replayer(None, "adding"), "add"), (Replayer(TapeRecorder(), "adding"), None)):
        for _ in range(3):
            replayer.run(key, adder.push, [torch.ones(3)])
    assert adder.calls == 6


def test_each_key_has_its_own_graph_and_few_are_kept() -> None:
    adder, recorder = Adder(), TapeRecorder()
    replayer = Replayer(recorder, "adding")
    for key in range(MOST_GRAPHS + 5):
        for _ in range(3):
            replayer.run(key, adder.push, [torch.ones(3)])
    assert recorder.recordings == MOST_GRAPHS + 5
    assert replayer.count <= MOST_GRAPHS
    assert float(adder.sum[0]) == 3 * (MOST_GRAPHS + 5)


def test_who_cannot_be_recorded_is_called_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    def waits(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return x * float(x.sum())

    replayer = Replayer(TapeRecorder(), "the waiting stage")
    with caplog.at_level(logging.WARNING, "limner.engine"):
        results = [replayer.run("wait", waits, [torch.ones(2)]) for _ in range(4)]
    assert all(torch.equal(result, torch.full((2,), 2.0)) for result in results)
    assert calls == 5  # One was the attempt to record.
    assert not replayer.is_on
    assert ["the waiting stage runs without CUDA graphs" in line for line in caplog.messages] == [True]


def test_want_of_memory_is_no_reason_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = TapeRecorder()

    def full(function: object) -> tuple[object, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(recorder, "record", full)
    replayer = Replayer(recorder, "adding")
    replayer.run("add", Adder().push, [torch.ones(3)])
    with pytest.raises(torch.OutOfMemoryError):
        replayer.run("add", Adder().push, [torch.ones(3)])


def test_held_inputs_are_copied_when_their_owner_changes() -> None:
    first, second = (torch.ones(2),), (torch.full((2,), 2.0),)
    held = Held(first)
    held.hold("one", first)
    assert torch.equal(held.buffers[0], first[0])
    held.hold("one", second)
    assert torch.equal(held.buffers[0], first[0])
    held.hold("two", second)
    assert torch.equal(held.buffers[0], second[0])


def test_recording_changes_nothing() -> None:
    adder = Adder()
    graph, result = TapeRecorder().record(lambda: adder.push(torch.ones(3)))
    assert torch.equal(adder.sum, torch.zeros(3))
    assert result.isnan().all()
    graph.replay()
    assert torch.equal(adder.sum, torch.ones(3))
