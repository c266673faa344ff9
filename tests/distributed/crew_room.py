"""A crew for tests, with rank 0's end of the group; nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from tests.distributed import crew_dummy as dummy
from tests.support.daemon import limner_processes
from torch._C._distributed_c10d import TCPStore

from limner.daemon.rank_keys import Keys
from limner.engine.pipeline.group import Group, Meeting, join, open_store
from limner.worker.crew.config import CrewConfig
from limner.worker.crew.crew import Crew
from limner.worker.crew.formation import Formation

PATIENCE_S = 60.0


@dataclass
class Room:
    """A crew, and its generation of now."""

    crew: Crew
    store: TCPStore
    address: str = "127.0.0.1"
    formation: Formation = field(init=False)
    group: Group = field(init=False)
    changed: threading.Event = field(default_factory=threading.Event)

    def gather(self) -> Formation:
        """The next generation of all who are fit."""
        self.formation = self.crew.form(self.address, self.store.port)
        meeting = Meeting(
            host=self.address,
            port=self.store.port,
            generation=self.formation.number,
            rank=0,
            size=self.formation.size,
            transport="gloo",
            address=self.address,
        )
        self.group = join(meeting, self.store)
        self.formation.attach(self.group.abort)
        return self.formation

    def tell_all(self, command: bytes) -> None:
        """Give a command to every rank."""
        for rank in range(1, self.formation.size):
            self.formation.tell(rank, command)

    def goes_round(self) -> float:
        """Send a number round the ring; each rank adds 1 to it."""
        self.tell_all(dummy.WORK)
        self.group.isend(torch.zeros(1), 1).wait()
        number = torch.zeros(1)
        self.group.irecv(number, self.formation.size - 1).wait()
        return number.item()

    def pid(self, rank: int) -> int:
        """The process of a rank."""
        return self.formation.ranks[rank - 1].hello.pid

    def until(self, holds: Callable[[], object], what: str) -> float:
        """Wait until it holds; return how long that took, s."""
        began_s = time.monotonic()
        while not holds():
            assert time.monotonic() - began_s < PATIENCE_S, f"{what} did not come"
            time.sleep(0.005)
        return time.monotonic() - began_s


@contextlib.contextmanager
def room(
    ranks: int, *, listen: str = "", keys: Keys | None = None, address: str = "127.0.0.1"
) -> Iterator[Room]:
    """A crew with this many ranks beside rank 0; they are fit when it is given."""
    folder = Path(tempfile.mkdtemp(prefix="limner-t-", dir="/tmp"))
    config = CrewConfig(
        endpoint=f"ipc://{folder}/ranks.sock",
        engine=dummy.ENGINE,
        devices=["cpu"] * ranks,
        threads=1,
        listen=listen,
        keys=keys,
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("LIMNER_TEST_ENGINES", "1")
    patch.setenv("PYTHONPATH", str(Path.cwd()), prepend=os.pathsep)
    crew = Crew(config)
    try:
        assert crew.wait_for(ranks, PATIENCE_S) == ranks
        yield Room(crew, open_store(address), address)
    finally:
        crew.close()
        patch.undo()
        left = limner_processes(folder)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)
        assert not left, f"ranks were left behind: {left}"
