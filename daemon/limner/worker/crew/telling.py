"""What is told of the ranks: who they are, for `limner status`, and what they did, for `limner trace`."""

from __future__ import annotations

import os

import torch
from msgspec import structs

from limner.daemon.protocol import RankInfo
from limner.engine.pipeline.commands import Times
from limner.worker.crew.crew import Crew
from limner.worker.crew.formation import Formation, RankProcess
from limner.worker.link import memory_bytes


def rank_infos(crew: Crew, formation: Formation, device: torch.device, decodes: int | None) -> list[RankInfo]:
    """Who the ranks of a generation are, from rank 0 on. `device`: its own; `decodes`: who does, if known."""
    own = RankInfo(
        rank=0, encodes=True, pid=os.getpid(), device=_own_name(device), memory_bytes=memory_bytes()
    )
    others = [_info(crew, rank, one) for rank, one in enumerate(formation.ranks, 1)]
    return [structs.replace(one, decodes=one.rank == decodes) for one in (own, *others)]


def write_down(crew: Crew, formation: Formation, times: Times) -> None:
    """Note what a rank did, by our own clock."""
    peer = formation.ranks[times.rank - 1].peer if times.rank else None
    offset_ns = 0 if peer is None else crew.offset_ns(peer)
    for start_us, length_us in times.spans_us:
        crew.book.add(times.rank, "blocks", "forward", start_us * 1000 - offset_ns, length_us * 1000)
    for coded in times.coded:
        for start_us, length_us in coded.spans_us:
            start_ns = start_us * 1000 - offset_ns
            crew.book.add(times.rank, coded.what, coded.what, start_ns, length_us * 1000)


def _info(crew: Crew, rank: int, process: RankProcess) -> RankInfo:
    hello, beat = process.hello, crew.beat_of(process.peer)
    return RankInfo(
        rank=rank,
        pid=hello.pid,
        machine=hello.machine if hello.seat < 0 else "",
        device=hello.device_name,
        memory_bytes=beat.memory_bytes if beat else 0,
    )


def _own_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
