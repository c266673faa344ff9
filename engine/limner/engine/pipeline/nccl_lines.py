"""NCCL with a communicator for each line between two ranks.

Of one communicator, NCCL does one transfer after the other, and a receive holds the queue until its peer
sends. Receives are posted ahead here: on a shared communicator two ranks would wait for each other for ever.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch._C._distributed_c10d import Store

from limner.engine.errors import GroupBrokenError

_LOOK_S = 0.002
BackendOf = Callable[[int], Any]
"""A communicator of its own for a tag; ranks that never use the tag need not make it."""


class NcclLines:
    """A backend whose transfers are in order by tag alone. Made where they are first used, by both ends."""

    def __init__(self, backend_of: BackendOf, store: Store, rank: int) -> None:
        """`store`: of this generation, where the ends of a line meet."""
        self._backend_of, self._store, self._rank = backend_of, store, rank
        self._lock = threading.Lock()
        self._lines: dict[int, Any] = {}
        self._is_over = False

    def send(self, tensors: list[Tensor], to: int, tag: int) -> Any:
        """As the backends of torch.distributed. The first of a line waits for the peer's first."""
        return self._line(to, tag).send(tensors, to, 0)

    def recv(self, tensors: list[Tensor], of: int, tag: int) -> Any:
        """As the backends of torch.distributed. The first of a line waits for the peer's first."""
        return self._line(of, tag).recv(tensors, of, 0)

    def abort(self) -> None:
        """End all lines, whoever waits."""
        with self._lock:
            self._is_over = True
            lines = list(self._lines.values())
        for line in lines:
            line.abort()

    def _line(self, peer: int, tag: int) -> Any:
        if tag not in self._lines:
            self._meet(peer, tag)
        with self._lock:
            if self._is_over:
                raise GroupBrokenError("the group is over")
            if tag not in self._lines:
                self._lines[tag] = self._backend_of(tag)
            return self._lines[tag]

    def _meet(self, peer: int, tag: int) -> None:
        """Wait until the peer is at this line as well.

        Who comes first to a communicator of NCCL waits in it, where no abort reaches it, and gives up after
        the store's patience: less than the first forward of a large model takes.
        """
        self._store.set(f"{tag}/{self._rank}", "there")
        while not self._store.check([f"{tag}/{peer}"]):
            if self._is_over:
                raise GroupBrokenError("the group is over")
            time.sleep(_LOOK_S)


def outlive_peers() -> None:
    """Have torch not end this process when NCCL reports the loss of a peer; we go on without it.

    Unless somebody has said otherwise. Before the first communicator is made.
    """
    # 2: end what waits for the peer, and nothing else. The default ends the process.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2")
    # It would end the process when its watchdog was held up for minutes, as by a suspended machine.
    os.environ.setdefault("TORCH_NCCL_ENABLE_MONITORING", "0")
