"""What torch's allocator demands of those who record CUDA graphs, for machines without CUDA.

As in torch's CUDAGraph.cpp and CUDACachingAllocator.cpp: a pool lives while a graph is in it, and none may be
recorded into a dead one; a recording that CUDA broke off is not ended for the allocator. Nothing is computed.
"""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any

import pytest
import torch

from limner.engine import cuda_graphs
from limner.engine.cuda_graphs import CudaRecorder

Pool = tuple[int, int]


class FakeStream:
    """Of torch.cuda."""

    device_index = 0


class FakeAllocator:
    """Its pools, and who records into them."""

    def __init__(self) -> None:
        self.uses: Counter[Pool] = Counter()
        self.known: set[Pool] = set()
        self.recording: list[Pool] = []
        self.is_broken = False
        """CUDA breaks off what is recorded."""
        self.emptied = 0
        self.collected_meanwhile = False
        self._numbers = count(1)

    def handle(self) -> Pool:
        """A number: there is no pool until something is recorded into it."""
        return (0, next(self._numbers))

    def end(self, _device: int, pool: Pool) -> None:
        """torch._C._cuda_endAllocateToPool."""
        if pool not in self.recording:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.recording.remove(pool)

    def release(self, _device: int, pool: Pool) -> None:
        """torch._C._cuda_releasePool."""
        self.uses[pool] -= 1

    def empty(self) -> None:
        """torch.cuda.empty_cache."""
        self.emptied += 1
        self.known = {pool for pool in self.known if self.uses[pool]}

    def recorder(self, monkeypatch: pytest.MonkeyPatch) -> CudaRecorder:
        """One over this allocator."""

        def new_graph() -> FakeGraph:
            return FakeGraph(self)

        def on_stream(_: object) -> AbstractContextManager[None]:
            return nullcontext()

        def stream_for(*_: Any) -> FakeStream:
            return FakeStream()

        monkeypatch.setattr(torch.cuda, "CUDAGraph", new_graph)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", self.handle)
        monkeypatch.setattr(torch.cuda, "empty_cache", self.empty)
        monkeypatch.setattr(torch.cuda, "stream", on_stream)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self.end, raising=False)
        monkeypatch.setattr(torch._C, "_cuda_releasePool", self.release, raising=False)
        monkeypatch.setattr(cuda_graphs, "cuda_stream", stream_for)
        return CudaRecorder(torch.device("cpu"), "a stage")


class FakeGraph:
    """torch.cuda.CUDAGraph."""

    def __init__(self, allocator: FakeAllocator) -> None:
        self._allocator = allocator
        self._pool: Pool | None = None
        self._is_over = False

    def capture_begin(self, pool: Pool, capture_error_mode: str) -> None:
        """Of the calling thread alone: others go on."""
        assert capture_error_mode == "thread_local"
        allocator = self._allocator
        if pool in allocator.known and not allocator.uses[pool]:
            raise RuntimeError("it->second->use_count > 0 INTERNAL ASSERT FAILED")
        assert pool not in allocator.recording
        allocator.known.add(pool)
        allocator.uses[pool] += 1
        allocator.recording.append(pool)
        self._pool = pool
        allocator.collected_meanwhile = gc.isenabled()

    def capture_end(self) -> None:
        """As it should be, or broken off."""
        assert self._pool is not None
        if self._allocator.is_broken:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        self._allocator.end(0, self._pool)
        self._is_over = True

    def replay(self) -> None:
        """Nothing is computed."""

    def __del__(self) -> None:
        if self._is_over and self._pool is not None:
            self._allocator.release(0, self._pool)
