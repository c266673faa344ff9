"""Queues of a device: what it works off in order, beside other queues. CUDA streams, or the host itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import TracebackType
from typing import Protocol

import torch
from torch import Tensor


class Mark(Protocol):
    """A place in a queue."""

    def wait(self) -> None:
        """Wait until the queue has come there."""


class Queue(Protocol):
    """One queue. In a `with`, what this thread hands to the device goes there."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def mark(self) -> Mark:
        """The place that it ends at now."""

    def mark_of_caller(self) -> Mark:
        """The same of the queue that this thread uses outside any `with`."""

    def after(self, mark: Mark) -> None:
        """What comes next here waits for another queue to come there; no thread waits."""

    def use(self, tensors: Iterable[Tensor]) -> None:
        """Tensors of other queues are read here: their memory is not given away before that."""

    def joined(self) -> AbstractContextManager[object]:
        """In a `with`, what this thread hands to the device goes here, after all that it handed over before.

        What it hands over afterwards comes after that. For any thread. Memory that is allocated inside is
        this queue's: the next one to have it, works after whoever has it now.
        """


def queues_of(device: torch.device) -> tuple[Queue, Queue, Queue]:
    """To encode, denoise and decode. What is nearly done goes first: it is what somebody waits for."""
    if device.type == "cuda":
        encoding, denoising = cuda_stream(device, "encoding"), cuda_stream(device, "denoising")
        decoding = cuda_stream(device, "decoding", priority=-1)
        return CudaQueue(encoding), CudaQueue(denoising), CudaQueue(decoding)
    return HostQueue(), HostQueue(), HostQueue()


@cache
def cuda_stream(device: torch.device, purpose: str, priority: int = 0) -> torch.cuda.Stream:
    """The CUDA stream for a purpose, always the same one.

    torch has 32, and then gives them out a second time: who takes a new one for every picture's stream soon
    shares it with something else, waits for that, and takes it into the graph that is recorded there.
    """
    return torch.cuda.Stream(device, priority)  # type: ignore[no-untyped-call]  # torch has no types here


class _CudaMark:
    def __init__(self, stream: torch.cuda.Stream) -> None:
        # Blocking: whoever waits sleeps, instead of turning on a core that OBS wants.
        self.event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch has no types here
        self.event.record(stream)

    def wait(self) -> None:
        self.event.synchronize()


class CudaQueue:
    """A CUDA stream. For one thread at a time."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._entered: list[torch.cuda.StreamContext] = []

    def __enter__(self) -> object:
        context = torch.cuda.stream(self._stream)
        context.__enter__()  # type: ignore[no-untyped-call]
        self._entered.append(context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.pop().__exit__(kind, fault, trace)

    def mark(self) -> Mark:
        """As `Queue` says."""
        return _CudaMark(self._stream)

    def mark_of_caller(self) -> Mark:
        """As `Queue` says."""
        return _CudaMark(torch.cuda.current_stream(self._stream.device))

    def after(self, mark: Mark) -> None:
        """As `Queue` says."""
        assert isinstance(mark, _CudaMark)
        self._stream.wait_event(mark.event)

    def use(self, tensors: Iterable[Tensor]) -> None:
        """As `Queue` says."""
        for tensor in tensors:
            if tensor.is_cuda:
                tensor.record_stream(self._stream)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """As `Queue` says."""
        caller = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            yield
        caller.wait_stream(self._stream)


class _Now:
    def wait(self) -> None:
        """All is done."""


class HostQueue:
    """The host: what it is given is done when it returns."""

    def __enter__(self) -> object:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def mark(self) -> Mark:
        """As `Queue` says."""
        return _Now()

    def mark_of_caller(self) -> Mark:
        """As `Queue` says."""
        return _Now()

    def after(self, mark: Mark) -> None:
        """Nothing is ever behind."""

    def use(self, tensors: Iterable[Tensor]) -> None:
        """Nothing is ever behind."""

    def joined(self) -> AbstractContextManager[object]:
        """As `Queue` says."""
        return nullcontext()
