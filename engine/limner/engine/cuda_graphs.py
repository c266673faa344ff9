"""Recording on CUDA: what torch demands where graphs come and go in a live process.

- A stream that records takes in whatever any thread does on it. torch has 32 streams and then gives them out
  a second time, so that nobody may take a new one for each thing that is recorded (see `cuda_stream`).
- A pool of memory whose graphs are all gone is dead: nothing can be recorded into it again.
- Products need a workspace. It belongs to the stream that they are recorded on, and goes with any graph that
  was recorded there; in the pool where the others live too that does no harm. So stream and pool are a pair.
- A recording that CUDA breaks off is not over for the allocator, which from then on would free nothing that
  crossed streams.
- Memory that lies idle elsewhere cannot be had while something is recorded.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from weakref import WeakSet

import torch
from torch import Tensor

from limner.engine.graphs import Graph
from limner.engine.queues import cuda_stream


class CudaRecorder:
    """CUDA graphs in a pool of memory of their own: they must not run at the same time. For any thread."""

    def __init__(self, device: torch.device, name: str) -> None:
        """`name`: no other recorder of the device, in all the process, has the same."""
        self._stream = cuda_stream(device, f"recording {name}")
        self._lock = threading.Lock()
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: WeakSet[torch.cuda.CUDAGraph] = WeakSet()
        """In the pool; who has them, keeps it alive."""
        self._fault = ""

    def record(self, function: Callable[[], Tensor]) -> tuple[Graph, Tensor]:
        """Record, while other threads go on using the device; nobody waits for it.

        Not by `torch.cuda.graph`: that waits for the device and gives all its cached memory back first, which
        a live stream would feel. What failed once is not tried again, for no stream of this engine: it takes
        long.
        """
        with self._lock:
            if self._fault:
                raise RuntimeError(self._fault)
            alive = next(iter(self._graphs), None)  # It stays so until the pool has one more.
            if alive is None:
                self._pool = torch.cuda.graph_pool_handle()
            try:
                graph, result = self._recorded(function)
            except RuntimeError as error:
                if _is_of_memory(error):
                    raise torch.OutOfMemoryError(str(error)) from error
                self._fault = str(error) or "it cannot be recorded"
                raise
            self._graphs.add(graph)
            return graph, result

    def try_again(self) -> None:
        """Whatever failed before: another model is loaded."""
        with self._lock:
            self._fault = ""

    def free(self) -> None:
        """Give back what torch keeps and nobody uses; the device ends first what it is at."""
        torch.cuda.empty_cache()

    def _recorded(self, function: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self._stream), _no_collection():
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                result = function()
            except BaseException:
                with suppress(RuntimeError):  # That it cannot be recorded has been said.
                    self._end(graph)
                raise
            self._end(graph)
        return graph, result

    def _end(self, graph: torch.cuda.CUDAGraph) -> None:
        try:
            graph.capture_end()
        except RuntimeError:
            index = self._stream.device_index
            with suppress(RuntimeError):  # Where it came further than that, it has done so itself.
                torch._C._cuda_endAllocateToPool(index, self._pool)
                torch._C._cuda_releasePool(index, self._pool)
            raise


@cache
def cuda_recorder(device: torch.device, stage: str) -> CudaRecorder:
    """The recorder of a stage, for all streams of all engines of this process."""
    return CudaRecorder(device, stage)


def cuda_recorders(device: torch.device) -> Callable[[str], CudaRecorder]:
    """The recorders of an engine's stages."""
    used: set[str] = set()

    def recorder_of(stage: str) -> CudaRecorder:
        recorder = cuda_recorder(device, stage)
        if stage not in used:
            recorder.try_again()
        used.add(stage)
        return recorder

    return recorder_of


@contextmanager
def _no_collection() -> Iterator[None]:
    """Graphs that are garbage must not be destroyed meanwhile: CUDA would break off what is recorded."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _is_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
