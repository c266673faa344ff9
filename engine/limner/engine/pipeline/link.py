"""Transfers between neighbours in the ring: posted ahead, into buffers that are used again and again.

Nobody waits in order to send, and a receiver has a buffer ready before the data comes, so that transfers run
beside the computing. Along the ring each rank sends to the next one, the last to the first; against it
(`BACK`) only blocks go that move to the rank before.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Protocol

import torch
from torch import Tensor

from limner.engine.queues import CudaQueue, HostQueue, Mark, Queue, cuda_stream

ALONG, BACK, LATENTS, FRAMES, DECODERS = range(5)
"""The ways of lines. Every line, from one rank to another on one way, is in an order of its own.

Between neighbours: along the ring, and back. Between rank 0 and the one that decodes: latents there, frames
back. From a rank to whichever decodes after it: what decoders remember."""
_WAYS = 5

_MOST_SENT = 4
"""Buffers of sent packets per line before the oldest is waited for; by then it has long been received."""
_MOST_IDLE = 16
"""Buffers kept for later, of all sizes."""


class Work(Protocol):
    """A transfer under way."""

    def wait(self) -> Any:
        """Wait on a host; on CUDA, let the current stream wait. GroupBrokenError when the group is broken.

        A source may stand still for hours: one that will never end fails when its group is aborted.
        """

    def is_completed(self) -> bool:
        """Whether it is done, well or not."""


class Transport(Protocol):
    """One generation of the group of all ranks.

    Each tag is a line of its own. Where a transfer holds up a queue until its peer comes, as NCCL's do, each
    needs a communicator of its own: receives are posted ahead of sends, which must not wait behind them.
    """

    @property
    def rank(self) -> int:
        """This one's."""

    @property
    def size(self) -> int:
        """How many ranks there are."""

    def isend(self, tensor: Tensor, to: int, tag: int) -> Any:
        """Begin to send, in the order of calls on this line; the `Work`."""

    def irecv(self, tensor: Tensor, of: int, tag: int) -> Any:
        """Begin to receive, in the order of calls on this line; the `Work`."""


def line_tag(sender: int, way: int) -> int:
    """The tag of the line that a rank sends on."""
    return _WAYS * sender + way


def receiving_queue(device: torch.device, what: str = "") -> Queue:
    """A queue that only waits for transfers: whatever else were on it would wait with it.

    `what`: for queues that shall not wait for one another.
    """
    return CudaQueue(cuda_stream(device, f"receiving {what}")) if device.type == "cuda" else HostQueue()


class Buffers:
    """Flat uint8 buffers on a device, for any thread."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._idle: deque[tuple[Tensor, Mark]] = deque()

    def take(self, size_bytes: int, queue: Queue) -> Tensor:
        """A buffer for what comes next on a queue."""
        with self._lock:
            fitting = next((i for i, (buffer, _) in enumerate(self._idle) if len(buffer) == size_bytes), None)
            if fitting is not None:
                buffer, mark = self._idle[fitting]
                del self._idle[fitting]
        if fitting is None:
            return torch.empty(size_bytes, dtype=torch.uint8, device=self._device)
        queue.after(mark)
        return buffer

    def give(self, buffer_B: Tensor, queue: Queue) -> None:
        """A buffer that nothing needs which comes next on the queue."""
        queue.use([buffer_B])  # Should it be too many, its memory is not given away before that.
        with self._lock:
            self._idle.append((buffer_B, queue.mark()))
            if len(self._idle) > _MOST_IDLE:
                self._idle.popleft()


class Outgoing:
    """One line to a neighbour. For one thread."""

    def __init__(self, transport: Transport, to: int, way: int, buffers: Buffers, queue: Queue) -> None:
        self._transport, self._to, self._tag = transport, to, line_tag(transport.rank, way)
        self._buffers, self._queue = buffers, queue
        self._sent: deque[tuple[Work, Tensor, bool]] = deque()

    def tidy(self) -> None:
        """Free what is sent and will not be used again: what moves with blocks may be gigabytes."""
        self._sent = deque(one for one in self._sent if one[2] or not one[0].is_completed())

    def send(self, buffer_B: Tensor, *, again: bool = True) -> None:
        """Begin to send a buffer. When it is sent it goes back to the others, or is freed: not `again`."""
        self._sent.append((self._transport.isend(buffer_B, self._to, self._tag), buffer_B, again))
        if len(self._sent) > _MOST_SENT:
            work, oldest_B, is_kept = self._sent.popleft()
            work.wait()
            if is_kept:
                self._buffers.give(oldest_B, self._queue)


class Arriving:
    """Something on its way here."""

    def __init__(self, work: Work, buffer_B: Tensor) -> None:
        self._work, self._buffer_B = work, buffer_B

    def wait(self) -> Tensor:
        """The buffer, when it is full; RuntimeError when that will never be."""
        self._work.wait()
        return self._buffer_B


class Incoming:
    """One line from a neighbour. For one thread."""

    def __init__(self, transport: Transport, of: int, way: int, buffers: Buffers, queue: Queue) -> None:
        """`queue`: of the thread that expects; not the one that computes, which must not wait for it."""
        self._transport, self._of, self._tag = transport, of, line_tag(of, way)
        self._buffers, self._queue = buffers, queue

    def expect(self, size_bytes: int) -> Arriving:
        """Get ready for the next packet on this line. Does not wait for it."""
        with self._queue:
            buffer_B = self._buffers.take(size_bytes, self._queue)
            return Arriving(self._transport.irecv(buffer_B, self._of, self._tag), buffer_B)
