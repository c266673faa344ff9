"""Generations of the data plane's group: joined, broken and joined again, with real processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from typing import Any

import pytest
import torch
from torch._C._distributed_c10d import TCPStore

from limner.engine.errors import EngineError, GroupBrokenError
from limner.engine.pipeline import group as groups
from limner.engine.pipeline.group import Group, Meeting, join, open_store

HOST = "127.0.0.1"
PATIENCE_S = 30.0
spawn = get_context("spawn")


def meeting(port: int, rank: int, generation: int = 1, size: int = 2) -> Meeting:
    return Meeting(
        host=HOST,
        port=port,
        generation=generation,
        rank=rank,
        size=size,
        transport="gloo",
        address=HOST,
    )


def peer(port: int, rank: int, generations: list[tuple[int, int]], size: int, told: Any) -> None:
    """Join one generation after another (number, own rank); double what comes until the group breaks."""
    told.put((rank, "is there"))
    for generation, as_rank in generations:
        group = join(meeting(port, as_rank, generation, size))
        size = 2
        told.put((rank, generation))
        try:
            while True:
                numbers = torch.zeros(4)
                group.irecv(numbers, 0).wait()
                group.isend(numbers * 2, 0).wait()
        except RuntimeError:
            group.abort()


@contextmanager
def peers(*jobs: tuple[list[tuple[int, int]], int]) -> Iterator[tuple[TCPStore, list[SpawnProcess], Any]]:
    store, told = open_store(HOST), spawn.Queue()
    processes = [
        spawn.Process(target=peer, args=(store.port, rank, generations, size, told))
        for rank, (generations, size) in enumerate(jobs, 1)
    ]
    for process in processes:
        process.start()
    try:
        assert len({told.get(timeout=PATIENCE_S) for _ in jobs}) == len(jobs)
        yield store, processes, told
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()
        told.close()
        told.join_thread()


def doubled(group: Group, of: int) -> list[float]:
    group.isend(torch.ones(4), of).wait()
    numbers = torch.zeros(4)
    group.irecv(numbers, of).wait()
    return numbers.tolist()


def signalled(process: SpawnProcess, number: int) -> None:
    assert process.pid
    os.kill(process.pid, number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_abort_frees_who_waits_and_the_rest_joins_the_next_generation(number: signal.Signals) -> None:
    with peers(([(1, 1), (2, 1)], 3), ([(1, 2)], 3)) as (store, processes, told):
        group = join(meeting(store.port, 0, 1, 3), store)
        assert {told.get(timeout=PATIENCE_S), told.get(timeout=PATIENCE_S)} == {(1, 1), (2, 1)}
        assert doubled(group, 1) == doubled(group, 2) == [2.0] * 4
        signalled(processes[1], number)
        # The second peer never answers; where it is only stopped, nothing but `abort` ends the waiting.
        work = group.irecv(torch.zeros(4), 2)
        ended = threading.Event()

        def waits() -> None:
            with pytest.raises(RuntimeError):
                work.wait()
            ended.set()

        thread = threading.Thread(target=waits)
        thread.start()
        group.abort()
        assert ended.wait(PATIENCE_S)
        thread.join()
        with pytest.raises(EngineError, match="generation 1"):
            group.irecv(torch.zeros(4), 1)
        # The first peer heard nothing of all this but its connection's end.
        second = join(meeting(store.port, 0, 2), store)
        assert told.get(timeout=PATIENCE_S) == (1, 2)
        assert doubled(second, 1) == [2.0] * 4
        second.abort()


def test_who_comes_alone_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "JOIN_S", 0.5)
    store = open_store(HOST)
    with pytest.raises(EngineError, match="rank 0 cannot join generation 1"):
        join(meeting(store.port, 0), store)


def test_who_waits_for_others_is_let_go_when_nobody_wants_them_any_more() -> None:
    store, over = open_store(HOST), threading.Event()
    timer = threading.Timer(0.2, over.set)
    timer.start()
    began_s = time.monotonic()
    with pytest.raises(GroupBrokenError, match="generation 1 is over before all ranks had joined"):
        join(meeting(store.port, 0), store, over.is_set)
    assert time.monotonic() - began_s < groups.JOIN_S / 2
    timer.join()


def test_the_store_listens_to_its_own_address_only() -> None:
    store = open_store("127.0.0.2")
    with pytest.raises(EngineError, match="cannot join"):
        join(Meeting(**{**vars(meeting(store.port, 1)), "host": "127.0.0.3"}))


@pytest.mark.parametrize(("device", "card"), [("cuda", 0), ("cuda:0", 0), ("cuda:3", 3)])
def test_a_rank_that_sees_one_card_only_has_that(device: str, card: int) -> None:
    assert groups._card(device) == card
