"""Buffers of a line: used again, but not those that are large and come once."""

from __future__ import annotations

import torch
from torch import Tensor

from limner.engine.pipeline.link import ALONG, Buffers, Outgoing
from limner.engine.queues import HostQueue


class Sent:
    def wait(self) -> None:
        """It is."""


class Wire:
    """A transport on which everything is sent at once."""

    rank, size = 0, 2

    def isend(self, tensor: Tensor, to: int, tag: int) -> Sent:
        return Sent()

    def irecv(self, tensor: Tensor, of: int, tag: int) -> Sent:
        return Sent()


def test_what_blocks_took_with_them_is_freed_and_packets_are_used_again() -> None:
    buffers, queue = Buffers(torch.device("cpu")), HostQueue()
    line = Outgoing(Wire(), 1, ALONG, buffers, queue)
    line.send(buffers.take(1 << 20, queue), again=False)
    for _ in range(40):
        line.send(buffers.take(64, queue))
    idle = [len(buffer_B) for buffer_B, _ in buffers._idle]
    held = [len(buffer_B) for _, buffer_B, _ in line._sent]
    assert set(idle + held) == {64}
    assert len(idle + held) < 10
