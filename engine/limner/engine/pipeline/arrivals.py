"""A thread of rank 0 that waits for what comes from another rank, so that nobody else has to."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from limner.engine.pipeline.link import Arriving
from limner.engine.queues import Queue

Then = Callable[[Tensor | None], object]
"""Gets a packet, or None: it will never come."""


class Arrivals:
    """Packets of one line, in their order. Any thread may say what is to come."""

    def __init__(self, name: str, waiting: Queue, on_fault: Callable[[BaseException], object]) -> None:
        """`waiting`: a queue of the device that does nothing else. `on_fault`: the group is broken."""
        self._waiting, self._on_fault = waiting, on_fault
        self._expected: queue.SimpleQueue[tuple[Arriving, Then] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, arriving: Arriving, then: Then) -> None:
        """Call `then` with this packet when it is there, or will never be, on this thread and its queue."""
        self._expected.put((arriving, then))

    def end(self) -> None:
        """End when all has come that was to come."""
        self._expected.put(None)

    def join(self) -> None:
        """Wait for that."""
        self._thread.join()

    def _run(self) -> None:
        with torch.inference_mode(), self._waiting:
            while (expected := self._expected.get()) is not None:
                arriving, then = expected
                try:
                    packet_B = arriving.wait()
                    self._waiting.mark().wait()
                except BaseException as fault:  # The group is broken.
                    self._on_fault(fault)
                    then(None)
                else:
                    then(packet_B)
