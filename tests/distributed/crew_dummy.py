"""What stands in for a model on ranks: numbers that go round the ring, and every way to fail."""

from __future__ import annotations

import time

import torch

from limner.engine.pipeline.group import Group
from limner.worker.crew.rank_channel import RankChannel

WORK, HANG, FAULT, SPIN = b"work", b"hang", b"fault", b"spin"
ENGINE = "tests.distributed.crew_dummy:serve"
_served = 0


def serve(channel: RankChannel, group: Group) -> None:
    """Carry out commands. Each piece of work adds 1 to a number that goes round."""
    global _served  # noqa: PLW0603  (what outlives a generation)
    _served += 1
    channel.report(f"served {_served}".encode())
    while True:
        channel.report(b"")
        match channel.next(0.2):
            case b"work":
                number = torch.zeros(1)
                group.irecv(number, group.rank - 1).wait()
                group.isend(number + 1, (group.rank + 1) % group.size).wait()
            case b"hang":
                time.sleep(1000)
            case b"spin":
                pass
            case b"fault":
                raise ValueError("told to fail")
            case None:
                pass
