"""NCCL with a communicator for each line between two ranks.

Of one communicator, NCCL does one transfer after the other, and a receive holds the queue until its peer
sends. Receives are posted ahead here: on a shared communicator two ranks would wait for each other for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import Tensor

BackendOf = Callable[[int], Any]
"""A communicator of its own for a tag; ranks that never use the tag need not make it."""


class NcclLines:
    """A backend whose transfers are in order by tag alone. Made where they are first used."""

    def __init__(self, backend_of: BackendOf) -> None:
        self._backend_of = backend_of
        self._lock = threading.Lock()
        self._lines: dict[int, Any] = {}
        self._is_over = False

    def send(self, tensors: list[Tensor], to: int, tag: int) -> Any:
        """As the backends of torch.distributed. The first of a line waits for the peer's first."""
        return self._line(tag).send(tensors, to, 0)

    def recv(self, tensors: list[Tensor], of: int, tag: int) -> Any:
        """As the backends of torch.distributed. The first of a line waits for the peer's first."""
        return self._line(tag).recv(tensors, of, 0)

    def abort(self) -> None:
        """End all lines, whoever waits."""
        with self._lock:
            self._is_over = True
            lines = list(self._lines.values())
        for line in lines:
            line.abort()

    def _line(self, tag: int) -> Any:
        with self._lock:
            if self._is_over:
                raise RuntimeError("the group is over")
            if tag not in self._lines:
                self._lines[tag] = self._backend_of(tag)
            return self._lines[tag]
