"""From the options to an engine over several ranks, on this machine and on others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from limner.daemon.paths import RANKS_SOCKET
from limner.daemon.rank_keys import read_keys
from limner.daemon.rank_options import RankOptions, kind_of
from limner.engine.config import ModelConfig
from limner.engine.engine import fast_dtype, usable_device
from limner.engine.loading import Weights
from limner.models.plan_choice import Wishes
from limner.worker.crew.addresses import LOOPBACK, host_of
from limner.worker.crew.config import CrewConfig
from limner.worker.crew.crew import Crew
from limner.worker.crew.digest import digest_of
from limner.worker.crew.engine import CrewEngine
from limner.worker.crew.planning import COMING_S, Planning
from limner.worker.crew.rooms import Rooms
from limner.worker.engines import Progress
from limner.worker.model_plan import Planned, card_of, is_planned, planned
from limner.worker.model_source import ModelSource


@dataclass(frozen=True, kw_only=True)
class CrewPlan:
    """What a worker is told of its ranks."""

    options: RankOptions
    folder: Path
    """Of the socket; only the user can enter it."""
    visible_cards: str | None = None
    """CUDA_VISIBLE_DEVICES before the worker chose its own card."""


def begin_crew(plan: CrewPlan, source: ModelSource, *, device: str, threads: int) -> Crew:
    """Start the other ranks' processes, which get ready while this one does; the crew is to be closed.

    `threads`: CPU threads of all ranks of this machine. Raises CrewError or KeyFileError where ranks cannot
    join, OSError where the weights cannot be read.
    """
    ranks = plan.options
    return Crew(
        CrewConfig(
            endpoint=f"ipc://{plan.folder / RANKS_SOCKET}",
            engine=source.name,
            kind=kind_of(device),
            dtype=str(fast_dtype(usable_device(device))).removeprefix("torch."),
            digest=digest_of(source),
            is_planned=is_planned(source, device),
            devices=ranks.devices,
            threads=_threads_each(ranks, threads),
            visible_cards=plan.visible_cards,
            decode=ranks.decode,
            listen=ranks.listen,
            keys=read_keys(Path(ranks.key)) if ranks.key else None,
        )
    )


def planned_with(
    crew: Crew, source: ModelSource, *, device: str, wishes: Wishes, step_down: int, progress: Progress
) -> tuple[Planned, Rooms]:
    """Plan a model over the cards of all ranks, and let them know; as `planned` where nothing is planned.

    Raises NoRoomError where it does not fit; where ranks of other machines may join, it waits for them.
    """
    if crew.config.is_planned:
        processors = torch.cuda.get_device_properties(device).multi_processor_count
        own = card_of(device)
        planning = Planning(crew, source, own, processors, wishes=wishes, progress=progress)
        model, rooms = planning.plan(step_down)
        crew.settle(model.choice)
        return model, rooms
    model = planned(source, device, wishes, is_alone=False)
    return model, Rooms(int(model.source.table["dit"]["layers"]))


def crew_engine(
    crew: Crew,
    rooms: Rooms,
    config: ModelConfig,
    weights: Weights,
    *,
    device: str,
    progress: Progress,
    share: float,
    **options: Any,
) -> CrewEngine:
    """Load rank 0's part, gather the others, and give the engine over all of them; it has the crew then.

    `share`: of the way to ready, for `progress`. Raises as `Engine`.
    """
    listen, threads = crew.config.listen, crew.config.threads
    address = host_of(f"tcp://{listen}") if listen else LOOPBACK
    dtype = fast_dtype(usable_device(device))
    engine = CrewEngine(
        config,
        weights,
        crew=crew,
        rooms=rooms,
        decode=crew.config.decode,
        address=address,
        device=device,
        dtype=dtype,
        threads=threads,
        **options,
    )
    try:
        others = len(crew.config.devices)
        progress(share, f"Waiting for {others} other devices")
        engine.begin(others, COMING_S)
    except BaseException:
        engine.close()
        raise
    return engine


def _threads_each(ranks: RankOptions, threads: int) -> int:
    return max(1, threads // (len(ranks.devices) + 1))
