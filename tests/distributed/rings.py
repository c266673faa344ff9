"""Ranks of a pipeline as real processes: spawned here, ended here. gloo, one thread each."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing as mp
import os
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
from tests.engine.streaming import stream_of
from tests.engine.tiny import tiny_config
from torch import Tensor

from limner.engine.blocks import Split
from limner.engine.clock import NO_TIME
from limner.engine.config import ModelConfig
from limner.engine.dit.model import Flow
from limner.engine.engine import recorders_of
from limner.engine.pipeline.channel import ChannelClosedError
from limner.engine.pipeline.commands import Fault, encoded
from limner.engine.pipeline.decoders import Decoders
from limner.engine.pipeline.denoiser import PipelinedDenoiser
from limner.engine.pipeline.engine import PipelineEngine
from limner.engine.pipeline.group import Alone, Meeting, Transport, join, open_store
from limner.engine.pipeline.member import serve
from limner.engine.pipeline.part_dit import BlockFiles
from limner.engine.pipeline.part_vae import VaeFiles
from limner.engine.pipeline.stage import Stage
from limner.engine.pipeline.timing import REPORT_S
from limner.engine.stream import denoised
from limner.engine.types import Painted

HOST = "127.0.0.1"
READY = b"ready"
PATIENCE_S = 60.0


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
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(rank, pipe)) for rank, pipe in enumerate(pipes, 1)
        ]
        for thread in self._threads:
            thread.start()

    def tell(self, rank: int, message: bytes) -> None:
        with contextlib.suppress(OSError):
            self._pipes[rank - 1].send_bytes(message)

    def heard(self) -> list[tuple[int, bytes]]:
        return [self._heard.popleft() for _ in range(len(self._heard))]

    def lost(self) -> frozenset[int]:
        return frozenset(self._lost)

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for pipe in self._pipes:
            pipe.close()

    def _read(self, rank: int, pipe: Connection) -> None:
        with contextlib.suppress(EOFError, OSError):
            while not self._over.is_set():
                if pipe.poll(0.05):
                    self._heard.append((rank, pipe.recv_bytes()))
        self._lost.add(rank)


def dtype_on(device: torch.device) -> torch.dtype:
    """The same on all ranks."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def meeting(rank: int, size: int, port: int, device: str = "cpu") -> Meeting:
    """The only generation of a test's group."""
    transport: Transport = "gloo" if device == "cpu" else "nccl"
    return Meeting(
        host=HOST,
        port=port,
        generation=0,
        rank=rank,
        size=size,
        transport=transport,
        address=HOST,
        device=device,
    )


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
    device: str
    core: int | None
    """That it runs on, alone; None: whichever the system gives it."""
    dtype: torch.dtype


PACE_S = 0.004
"""Of a block of a `PacedStage`: far more than the tiny model's take, however busy the machine is."""


class PacedStage(Stage):
    """A stage on a device of a set speed, which sleeps as long as that device would compute."""

    slowness: Any = None

    def forward(self, stream: int, row: int, text: int, frames: int, flow: Flow) -> Tensor:
        end_s = time.perf_counter() + PACE_S * self.slowness.value * len(self.layers)
        x_RND = super().forward(stream, row, text, frames, flow)
        time.sleep(max(0.0, end_s - time.perf_counter()))
        return x_RND


def rank_main(pipe: Connection, job: RankJob) -> None:
    torch.set_num_threads(1)
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})
    channel = PipeMember(pipe)
    try:
        device = torch.device(job.device)
        files = BlockFiles(
            job.config,
            job.weights,
            device=device,
            dtype=job.dtype,
            lora_path=lambda name: job.weights.parent / name,
        )
        stage = job.stage(files.dit(is_first=False), recorders_of(device))
        if isinstance(stage, PacedStage):
            stage.slowness = job.slowness
        vae = VaeFiles(job.config, job.weights, device=device, dtype=job.dtype)
        decoders = Decoders(vae, recorders_of(device))
        pipe.send_bytes(READY)
        assert pipe.recv_bytes() == READY
        group = join(meeting(job.rank, job.size, job.port, job.device))
        serve(channel, group, files, stage, decoders)
    except ChannelClosedError:
        pass
    except BaseException as error:
        channel.report(encoded(Fault(reason=f"{type(error).__name__}: {error}")))
        raise


class Nobody:
    """The channel of a worker that paints alone."""

    def tell(self, rank: int, message: bytes) -> None:
        raise AssertionError("there is nobody")

    def heard(self) -> list[tuple[int, bytes]]:
        return []

    def lost(self) -> frozenset[int]:
        return frozenset()


@dataclass
class Ranks:
    """An engine over its ranks."""

    engine: PipelineEngine
    coordinator: PipeCoordinator
    processes: list[Any]
    slowness: list[Any]
    """Shared numbers, by rank: a test's stage computes so many times as long."""

    def alone(self) -> None:
        """End all other ranks; rank 0 goes on with all blocks."""
        self.engine.leave()
        layers = self.engine.config.dit.layers
        self.engine.join(self.coordinator, Alone(), ((0, layers),))

    def wait_for_split(self, split: Split) -> None:
        """Until the blocks are where they are to be."""
        deadline = time.monotonic() + PATIENCE_S
        while self.engine.watch.mover.is_moving or self.engine.watch.mover.split != split:
            assert time.monotonic() < deadline, f"still {self.engine.watch.mover.split}"
            time.sleep(0.01)

    def held(self) -> dict[int, list[int]]:
        """Blocks whose parameters have memory, by rank, as the ranks themselves count them."""
        found: dict[int, list[int]] = {}
        deadline = time.monotonic() + PATIENCE_S
        time.sleep(2 * REPORT_S)  # Else it might be an older report.
        while len(found) < len(self.processes) and time.monotonic() < deadline:
            found = {times.rank: list(times.held) for times in self.engine.watch.newest() if times.rank}
            time.sleep(0.05)
        return found


def tiny_of(layers: int, **changes: Any) -> ModelConfig:
    """The tiny model with more layers, and noise that is never the same."""
    config = tiny_config(kind="fresh")
    return dataclasses.replace(config, dit=dataclasses.replace(config.dit, layers=layers, **changes))


def pipelined(made: Ranks, chunks: Sequence[Tensor], **changes: Any) -> list[Painted]:
    """What all chunks become, with as many on their way at once as the ranks can take."""
    stream = stream_of(made.engine, **changes)
    denoiser = stream.denoiser
    assert isinstance(denoiser, PipelinedDenoiser)
    begun = [denoiser.begin(stream.encode(chunk)) for chunk in chunks]
    clean = [one.result(PATIENCE_S) for one in begun]
    out = [stream.decode(denoised(None, chunk, NO_TIME)) for chunk in clean]
    return [one for one in out if one is not None]


def weights_of(tensors: dict[str, Tensor], folder: Path) -> Path:
    """The weights as a file that all ranks read."""
    path = folder / "model.safetensors"
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


@contextlib.contextmanager
def ranks(
    config: ModelConfig,
    weights: Path,
    split: Split,
    *,
    stage: type[Stage] = Stage,
    balancing: bool = False,
    devices: Sequence[str] | None = None,
    cores: Sequence[int] | None = None,
    decodes: int = 0,
    dtype: torch.dtype | None = None,
) -> Iterator[Ranks]:
    """An engine on this process and as many others as the split has ranks after the first."""
    context = mp.get_context("spawn")
    store, on = open_store(HOST), list(devices or ["cpu"] * len(split))
    dtype = dtype or dtype_on(torch.device(on[0]))
    slowness = [context.Value("d", 1.0) for _ in split]
    pipes, processes = [], []
    for rank in range(1, len(split)):
        mine, theirs = context.Pipe()
        job = RankJob(
            rank=rank,
            size=len(split),
            port=store.port,
            config=config,
            weights=weights,
            stage=stage,
            slowness=slowness[rank],
            device=on[rank],
            core=None if cores is None else cores[rank],
            dtype=dtype,
        )
        process = context.Process(target=rank_main, args=(theirs, job), daemon=True)
        process.start()
        theirs.close()
        pipes.append(mine)
        processes.append(process)
    coordinator = None
    try:
        for pipe in pipes:  # All at once then: they join within seconds of one another.
            assert pipe.recv_bytes() == READY
        for pipe in pipes:
            pipe.send_bytes(READY)
        group = join(meeting(0, len(split), store.port, on[0]), store)
        coordinator = PipeCoordinator(pipes)
        engine = PipelineEngine(config, weights, device=on[0], dtype=dtype)
        engine.stage = stage(engine.stage.dit, recorders_of(engine.device))
        if isinstance(engine.stage, PacedStage):
            engine.stage.slowness = slowness[0]
        engine.join(coordinator, group, split, decodes=decodes)
        engine.watch.balancing = balancing
        try:
            yield Ranks(engine, coordinator, processes, slowness)
        finally:
            engine.leave()
            engine.close()
    finally:
        if coordinator is not None:
            coordinator.close()
        end_all(processes)


def end_all(processes: Sequence[Any]) -> None:
    """Wait for processes to end, and end those that do not."""
    deadline = time.monotonic() + PATIENCE_S
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
