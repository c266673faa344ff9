"""Ranks of a pipeline as real processes: spawned here, ended here. gloo, one thread each."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from limner.engine.blocks import Split
from limner.engine.config import ModelConfig
from limner.engine.pipeline.channel import ChannelClosedError
from limner.engine.pipeline.commands import Fault, encoded
from limner.engine.pipeline.engine import PipelineEngine
from limner.engine.pipeline.group import Meeting, join, open_store
from limner.engine.pipeline.member import serve
from limner.engine.pipeline.part_dit import BlockFiles
from limner.engine.pipeline.stage import Stage

HOST = "127.0.0.1"
READY = b"ready"
PATIENCE_S = 60.0
CPU = torch.device("cpu")


class PipeMember:
    """A rank's end of a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def next(self, timeout_s: float) -> bytes | None:
        try:
            return self._pipe.recv_bytes() if self._pipe.poll(timeout_s) else None
        except (EOFError, OSError) as error:
            raise ChannelClosedError("rank 0 is gone") from error

    def report(self, message: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._pipe.send_bytes(message)


class PipeCoordinator:
    """Rank 0's ends of all pipes; one thread a rank reads, so that no report is ever in the way."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes
        self._heard: deque[tuple[int, bytes]] = deque()
        self._lost: set[int] = set()
        for rank, pipe in enumerate(pipes, 1):
            threading.Thread(target=self._read, args=(rank, pipe), daemon=True).start()

    def tell(self, rank: int, message: bytes) -> None:
        with contextlib.suppress(OSError):
            self._pipes[rank - 1].send_bytes(message)

    def heard(self) -> list[tuple[int, bytes]]:
        return [self._heard.popleft() for _ in range(len(self._heard))]

    def lost(self) -> frozenset[int]:
        return frozenset(self._lost)

    def _read(self, rank: int, pipe: Connection) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._heard.append((rank, pipe.recv_bytes()))
        self._lost.add(rank)


def meeting(rank: int, size: int, port: int) -> Meeting:
    """The only generation of a test's group."""
    return Meeting(host=HOST, port=port, generation=0, rank=rank, size=size, transport="gloo", address=HOST)


@dataclass(frozen=True)
class RankJob:
    """What a spawned rank is to be."""

    rank: int
    size: int
    port: int
    config: ModelConfig
    weights: Path
    stage: type[Stage]
    slowness: Any
    """Shared number: a slowed stage computes so many times as long."""


def rank_main(pipe: Connection, job: RankJob) -> None:
    torch.set_num_threads(1)
    channel = PipeMember(pipe)
    try:
        files = BlockFiles(job.config, job.weights, device=CPU, dtype=torch.float32)
        stage = job.stage(files.dit(is_first=False))
        stage.slowness = job.slowness  # type: ignore[attr-defined]  # a test's own stage reads it
        pipe.send_bytes(READY)
        assert pipe.recv_bytes() == READY
        group = join(meeting(job.rank, job.size, job.port))
        serve(channel, group, files, stage)
    except ChannelClosedError:
        pass
    except BaseException as error:
        channel.report(encoded(Fault(reason=f"{type(error).__name__}: {error}")))
        raise


@dataclass
class Ranks:
    """An engine over its ranks."""

    engine: PipelineEngine
    coordinator: PipeCoordinator
    processes: list[Any]
    slowness: list[Any]


def weights_of(config: ModelConfig, tensors: dict[str, Tensor], folder: Path) -> Path:
    """The weights as a file that all ranks read."""
    path = folder / "model.safetensors"
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


@contextlib.contextmanager
def ranks(config: ModelConfig, weights: Path, split: Split, *, stage: type[Stage] = Stage) -> Iterator[Ranks]:
    """An engine on this process and as many others as the split has ranks after the first."""
    context = mp.get_context("spawn")
    store = open_store(HOST)
    slowness = [context.Value("d", 1.0) for _ in split]
    pipes, processes = [], []
    for rank in range(1, len(split)):
        mine, theirs = context.Pipe()
        job = RankJob(rank, len(split), store.port, config, weights, stage, slowness[rank])
        process = context.Process(target=rank_main, args=(theirs, job), daemon=True)
        process.start()
        theirs.close()
        pipes.append(mine)
        processes.append(process)
    try:
        for pipe in pipes:  # All at once then: they join within seconds of one another.
            assert pipe.recv_bytes() == READY
        for pipe in pipes:
            pipe.send_bytes(READY)
        group = join(meeting(0, len(split), store.port), store)
        coordinator = PipeCoordinator(pipes)
        engine = PipelineEngine(config, weights, dtype=torch.float32)
        engine.join(coordinator, group, split)
        try:
            yield Ranks(engine, coordinator, processes, slowness)
        finally:
            engine.leave()
            engine.close()
    finally:
        for pipe in pipes:
            pipe.close()
        deadline = time.monotonic() + PATIENCE_S
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
