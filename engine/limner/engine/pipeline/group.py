"""The data plane's group of processes, in generations: a broken one is dropped, the next one joined.

A group is a backend of torch.distributed of its own, not the process-wide default group, which cannot be left
while a peer hangs. Generations share a store and differ by prefix. Whoever waits for a transfer of a group
that is aborted gets an error at once, even where the peer is stopped and its connection as sound as ever.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor
from torch._C._distributed_c10d import (
    PrefixStore,
    ProcessGroupGloo,
    Store,
    TCPStore,
    Work,
)

from limner.engine.errors import EngineError, GroupBrokenError
from limner.engine.pipeline.nccl_lines import NcclLines, outlive_peers

Transport = Literal["gloo", "nccl"]
JOIN_S = 6.0
"""All have to come within this time of each other."""
_LOOK_S = 0.005
AGES = timedelta(days=365)
"""Transfers are posted ahead, and a source may stand still for hours: they have no limit of their own."""


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """Where, and as what, a process joins a generation."""

    host: str
    """Address of rank 0's store."""
    port: int
    generation: int
    rank: int
    size: int
    transport: Transport
    address: str
    """Own address, which the others reach this process at."""
    device: str = "cpu"
    """Of the tensors that are sent."""


class Backend(Protocol):
    """What is used of a backend of torch.distributed; its own stubs do not tell."""

    def send(self, tensors: list[Tensor], to: int, tag: int) -> Work:
        """Begin."""
        ...

    def recv(self, tensors: list[Tensor], of: int, tag: int) -> Work:
        """Begin."""
        ...

    def abort(self) -> None:
        """End its communication, whoever waits."""
        ...


class Transfer:
    """A transfer under way."""

    def __init__(self, work: Work, waits: list[Transfer], *, is_host_only: bool) -> None:
        """`waits`: notes those that are waited for."""
        self._work, self._waits, self._is_host_only = work, waits, is_host_only

    def wait(self) -> None:
        """Wait until it is done; on CUDA, let the current stream wait. GroupBrokenError: it never will."""
        self._waits.append(self)
        try:
            with _told_apart(self._is_host_only):
                if self._is_host_only:
                    self._work.wait(AGES)  # Else it is given the time of the joining.
                else:
                    self._work.wait()  # With any limit of time, this thread would wait for the device.
        finally:
            self._waits.remove(self)

    def is_completed(self) -> bool:
        """Whether it is done, well or not. Does not wait."""
        return self._work.is_completed()


class Group:
    """One generation, as one of its processes holds it."""

    def __init__(self, meeting: Meeting, backend: Backend, sockets: dict[int, int]) -> None:
        """Not to be called: see `join`. `sockets`: inodes of its connections, by descriptor."""
        self.rank, self.size, self.generation = meeting.rank, meeting.size, meeting.generation
        self.is_host_only = meeting.transport == "gloo"
        """Tensors must lie on the host."""
        self._backend: Backend | None = backend
        self._sockets = sockets
        self._waits: list[Transfer] = []

    def isend(self, tensor: Tensor, to: int, tag: int = 0) -> Transfer:
        """Begin to send; the tensor must stay as it is until then. GroupBrokenError after `abort`."""
        return self._begun(lambda backend: backend.send([tensor], to, tag))

    def irecv(self, tensor: Tensor, of: int, tag: int = 0) -> Transfer:
        """Begin to receive into a tensor of exactly what is sent. GroupBrokenError after `abort`."""
        return self._begun(lambda backend: backend.recv([tensor], of, tag))

    @property
    def is_waited_for(self) -> bool:
        """A thread of this process waits for a transfer now: not its own work holds it up."""
        return bool(self._waits)

    def abort(self) -> None:
        """Break all connections: pending transfers here and at the peers fail now. For any thread."""
        backend, self._backend = self._backend, None
        if backend is None:
            return
        if not self.is_host_only:
            backend.abort()
        # gloo's own abort does not reach a thread that waits for a transfer.
        open_now = _sockets()
        for descriptor, inode in self._sockets.items():
            if open_now.get(descriptor) == inode:
                _hang_up(descriptor)

    def _begun(self, begin: Callable[[Backend], Work]) -> Transfer:
        backend = self._alive
        with _told_apart(self.is_host_only):
            return Transfer(begin(backend), self._waits, is_host_only=self.is_host_only)

    @property
    def _alive(self) -> Backend:
        if self._backend is None:
            raise GroupBrokenError(f"generation {self.generation} of the pipeline's group is over")
        return self._backend


@contextlib.contextmanager
def _told_apart(is_host_only: bool) -> Iterator[None]:
    """What is the group's fault becomes a GroupBrokenError. A card may have faults of its own."""
    try:
        yield
    except GroupBrokenError:
        raise
    except RuntimeError as error:
        if not is_host_only and not isinstance(error, torch.distributed.DistError):
            raise
        raise GroupBrokenError(str(error).partition("\n")[0]) from error


class Alone:
    """A generation of one process, which sends nothing."""

    rank, size = 0, 1

    def isend(self, tensor: Tensor, to: int, tag: int = 0) -> Transfer:
        """Never called: there is nobody."""
        raise EngineError("a rank that is alone has nobody to send to")

    def irecv(self, tensor: Tensor, of: int, tag: int = 0) -> Transfer:
        """Never called: there is nobody."""
        raise EngineError("a rank that is alone has nobody to receive from")

    def abort(self) -> None:
        """Nothing is under way."""


def open_store(address: str) -> TCPStore:
    """Rank 0's store, for all generations, on a free port of this address only."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        # Bound by us, since the store would listen to the whole network.
        return TCPStore(
            address,
            port,
            None,
            is_master=True,
            timeout=timedelta(seconds=JOIN_S),
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )


def join(meeting: Meeting, store: Store | None = None, is_over: Callable[[], bool] = bool) -> Group:
    """Join a generation: returns when all its processes have.

    `store`: rank 0's; the others connect to it. `is_over`: nobody wants this generation any more. Raises
    EngineError when somebody does not come in time, GroupBrokenError when it is over before all have.
    """
    try:
        if store is None:
            store = _client(meeting)
        named = PrefixStore(f"generation-{meeting.generation}", store)
        _meet(named, meeting, is_over)
        before = _sockets()
        backend = _gloo(named, meeting) if meeting.transport == "gloo" else _nccl(named, meeting)
    except GroupBrokenError:
        raise
    except RuntimeError as error:
        raise EngineError(
            f"rank {meeting.rank} cannot join generation {meeting.generation}: {str(error).splitlines()[0]}"
        ) from error
    is_host_only = meeting.transport == "gloo"
    return Group(meeting, backend, dict(_sockets().items() - before.items()) if is_host_only else {})


def _meet(store: Store, meeting: Meeting, is_over: Callable[[], bool]) -> None:
    """Wait until all are there: what comes then is short, but nothing can break it off."""
    store.set(f"there/{meeting.rank}", "there")
    end_s = time.monotonic() + JOIN_S
    while missing := [rank for rank in range(meeting.size) if not store.check([f"there/{rank}"])]:
        if is_over():
            raise GroupBrokenError(f"generation {meeting.generation} is over before all ranks had joined")
        if time.monotonic() > end_s:
            raise RuntimeError(f"of {meeting.size} ranks, {missing} did not come within {JOIN_S:.0f} s")
        time.sleep(_LOOK_S)


def _client(meeting: Meeting) -> Store:
    patience = timedelta(seconds=JOIN_S)
    return TCPStore(meeting.host, meeting.port, None, is_master=False, timeout=patience)


def _gloo(store: Store, meeting: Meeting) -> Backend:
    gloo: Any = ProcessGroupGloo
    options = gloo._Options()
    options._devices = [gloo.create_device(hostname=meeting.address)]
    # Of the joining: transfers are waited for with a limit of their own.
    options._timeout = timedelta(seconds=JOIN_S)
    return cast(Backend, gloo(store, meeting.rank, meeting.size, options))


def _nccl(store: Store, meeting: Meeting) -> Backend:
    from torch._C._distributed_c10d import ProcessGroupNCCL  # noqa: PLC0415  (not in a torch for CPUs)

    outlive_peers()
    options = ProcessGroupNCCL.Options()
    options._timeout = AGES
    torch.cuda.set_device(_card(meeting.device))

    def line(tag: int) -> Any:
        return ProcessGroupNCCL(PrefixStore(f"line-{tag}", store), meeting.rank, meeting.size, options)

    return cast(Backend, NcclLines(line, store, meeting.rank))


def _card(device: str) -> int:
    """The number of a card, as set_device wants one; "cuda" is the first of those that are seen."""
    return torch.device(device).index or 0


def _sockets() -> dict[int, int]:
    """Return the inode of each socket that this process has open, by descriptor."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            about = path.stat()
            if stat.S_ISSOCK(about.st_mode):
                found[int(path.name)] = about.st_ino
    return found


def _hang_up(descriptor: int) -> None:
    """Shut a connection down, whoever reads it; a listening socket, which gloo cannot bear, is left alone."""
    with contextlib.suppress(OSError), _borrowed(descriptor) as line:
        line.getpeername()
        line.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    line = socket.socket(fileno=os.dup(descriptor))
    try:
        yield line
    finally:
        line.close()
