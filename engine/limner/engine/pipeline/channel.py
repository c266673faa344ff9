"""The control plane as the pipeline sees it: messages between rank 0 and each other rank, in order.

Rank 0 coordinates and tells; the other ranks are members, hear and report. It runs apart from the data plane
(torch.distributed), so that it outlives it. What the messages mean is in commands.py; a channel does not look
inside. Each message arrives once and in the order in which it was sent to that rank, or the rank is lost.
"""

from __future__ import annotations

from typing import Protocol


class Coordinator(Protocol):
    """Rank 0's end. No call waits for a rank."""

    def tell(self, rank: int, message: bytes) -> None:
        """Send to a rank, 1 and up. What is told to a rank that is lost goes nowhere."""
        ...

    def heard(self) -> list[tuple[int, bytes]]:
        """What came since the last call, oldest first: (rank, message). Of lost ranks, too."""
        ...

    def lost(self) -> frozenset[int]:
        """Ranks that are gone or have been silent for too long."""
        ...


class Member(Protocol):
    """The end of another rank."""

    def next(self, timeout_s: float) -> bytes | None:
        """The next message; None when none came in so many seconds.

        Raises ChannelClosedError when none will come any more.
        """
        ...

    def report(self, message: bytes) -> None:
        """Send to rank 0. Does not wait."""
        ...


class ChannelClosedError(Exception):
    """Rank 0 is gone, or has closed the channel: there is nobody left to work for."""
