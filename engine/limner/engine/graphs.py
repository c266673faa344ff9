"""Graphs: what a callable does to the device, recorded once and replayed as one launch (CUDA graphs).

A replay touches the very memory that it was recorded with, and runs no Python. So what goes in is copied to
buffers of its own, what comes out is copied away, and everything between (weights, caches, a ring's slots)
must stay where it is, or be part of the key. Recording does not compute: the first call of each key runs as
usual, so that libraries have prepared themselves, the second one is recorded and replayed. What a callable
changes is changed exactly once a call, always.

Graphs of one recorder share their memory, so they must not run at the same time. There is one for each stage,
for all streams: a stage of all streams is on one queue (see device_lanes.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

log = logging.getLogger("limner.engine")

MOST_GRAPHS = 32
"""Kept at once by a `Replayer`; a ring has as many phases as it has slots, at most 20 or so."""


class Graph(Protocol):
    """Something recorded."""

    def replay(self) -> None:
        """Do it all again, on the current stream; nobody waits."""
        ...


class Recorder(Protocol):
    """Makes graphs that share their memory."""

    def record(self, function: Callable[[], Tensor]) -> tuple[Graph, Tensor]:
        """Record without computing. The tensor holds what the function returns, once it is replayed.

        Raises RuntimeError when something in the function cannot be recorded.
        """
        ...

    def free(self) -> None:
        """Give back memory that lies idle and that nothing could have while it records."""
        ...


@dataclass(frozen=True)
class _Recorded:
    graph: Graph
    result: Tensor
    inputs: tuple[Tensor, ...]
    alive: object
    """What the graph reads or writes and nobody else might keep."""


class Held:
    """Inputs that change rarely, such as the keys and values of a text: copied when they are others."""

    def __init__(self, like: Sequence[Tensor]) -> None:
        self.buffers = tuple(torch.empty_like(tensor) for tensor in like)
        self._held: object = None

    def hold(self, owner: object, tensors: Sequence[Tensor]) -> None:
        """Copy the tensors of `owner`, unless that has been done."""
        if self._held is owner:
            return
        for buffer, tensor in zip(self.buffers, tensors, strict=True):
            buffer.copy_(tensor)
        self._held = owner  # Kept, not its number: another object could get that.


class Replayer:
    """Runs callables of tensors, from the second call of a key on as replays. For one thread at a time.

    Without a recorder it calls, and that is all. A callable that cannot be recorded is called from then on,
    and the log says so, once.
    """

    def __init__(self, recorder: Recorder | None, name: str) -> None:
        """`name`: of the stage, for the log."""
        self._recorder, self._name = recorder, name
        self._recorded: dict[Hashable, _Recorded | None] = {}
        """None: called once, to be recorded the next time."""
        self._kept: Graph | None = None
        """One of those forgotten: the next ones find the memory that they shared."""

    @property
    def is_on(self) -> bool:
        """Whether it ever replays."""
        return self._recorder is not None

    @property
    def count(self) -> int:
        """Graphs that there are."""
        return sum(recorded is not None for recorded in self._recorded.values())

    def run(
        self,
        key: Hashable | None,
        function: Callable[..., Tensor],
        inputs: Sequence[Tensor],
        *,
        alive: object = None,
    ) -> Tensor:
        """`function(*inputs)`. Calls of the same key differ in nothing but what is in the tensors.

        Without a key (None) it is only called. `alive` is kept as long as the graph.
        """
        if self._recorder is None or key is None:
            return function(*inputs)
        if key not in self._recorded:
            self._recorded[key] = None
            return function(*inputs)
        recorded = self._recorded[key] or self._record(self._recorder, key, function, inputs, alive)
        if recorded is None:
            return function(*inputs)
        for buffer, tensor in zip(recorded.inputs, inputs, strict=True):
            buffer.copy_(tensor, non_blocking=True)
        recorded.graph.replay()
        return recorded.result.clone()

    def clear(self) -> None:
        """Forget all graphs: memory that they use is about to go, or to move."""
        graphs = [recorded.graph for recorded in self._recorded.values() if recorded is not None]
        self._kept = graphs[0] if graphs else self._kept
        self._recorded.clear()

    def _record(
        self,
        recorder: Recorder,
        key: Hashable,
        function: Callable[..., Tensor],
        inputs: Sequence[Tensor],
        alive: object,
    ) -> _Recorded | None:
        buffers = tuple(torch.empty_like(tensor) for tensor in inputs)
        try:
            graph, result = _with_memory(recorder, lambda: function(*buffers))
        except torch.OutOfMemoryError:
            raise  # Less of everything will help, not another way to launch it.
        except RuntimeError as error:
            log.warning(
                "%s runs without CUDA graphs, and slower: %s", self._name, str(error).strip().split("\n")[0]
            )
            self._recorder = self._kept = None
            self._recorded.clear()
            return None
        if self.count >= MOST_GRAPHS:
            self.clear()
        recorded = _Recorded(graph, result, buffers, alive)
        self._recorded[key], self._kept = recorded, None
        return recorded


def _with_memory(recorder: Recorder, function: Callable[[], Tensor]) -> tuple[Graph, Tensor]:
    """Record; where memory does not suffice, once more with what lies idle given back.

    That makes the device wait, but the way out otherwise is a smaller picture.
    """
    try:
        return recorder.record(function)
    except torch.OutOfMemoryError:
        pass  # Outside of the handler: an error holds on to what was alive where it was raised.
    recorder.free()
    return recorder.record(function)
