"""From the options to an engine over several ranks, on this machine and on others."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.daemon.paths import RANKS_SOCKET
from limner.daemon.rank_keys import read_keys
from limner.daemon.rank_options import RankOptions, kind_of
from limner.engine.config import ModelConfig
from limner.engine.engine import fast_dtype, usable_device
from limner.engine.loading import Weights
from limner.worker.crew.addresses import LOOPBACK, host_of
from limner.worker.crew.config import CrewConfig
from limner.worker.crew.crew import Crew
from limner.worker.crew.engine import CrewEngine
from limner.worker.engines import Progress

log = logging.getLogger("limner.worker")
COMING_S = 60.0
"""For the ranks of this machine to start; painting begins without those that do not."""


@dataclass(frozen=True, kw_only=True)
class CrewPlan:
    """What a worker is told of its ranks."""

    options: RankOptions
    folder: Path
    """Of the socket; only the user can enter it."""
    visible_cards: str | None = None
    """CUDA_VISIBLE_DEVICES before the worker chose its own card."""


def crew_engine(
    plan: CrewPlan,
    name: str,
    config: ModelConfig,
    weights: Weights,
    *,
    device: str,
    threads: int,
    progress: Progress,
    share: float,
    **options: Any,
) -> CrewEngine:
    """Load rank 0's part, gather the others, and give the engine over all of them.

    `share`: of the way to ready, for `progress`. Raises CrewError or KeyFileError where ranks cannot join,
    else as `Engine`.
    """
    ranks = plan.options
    each = max(1, threads // (len(ranks.devices) + 1))
    dtype = fast_dtype(usable_device(device))
    crew = Crew(
        CrewConfig(
            endpoint=f"ipc://{plan.folder / RANKS_SOCKET}",
            engine=name,
            kind=kind_of(device),
            dtype=str(dtype).removeprefix("torch."),
            weight_kind=options.get("weight_kind", "bf16"),
            devices=ranks.devices,
            threads=each,
            visible_cards=plan.visible_cards,
            listen=ranks.listen,
            keys=read_keys(Path(ranks.key)) if ranks.key else None,
        )
    )
    try:
        address = host_of(f"tcp://{ranks.listen}") if ranks.listen else LOOPBACK
        engine = CrewEngine(
            config,
            weights,
            crew=crew,
            address=address,
            decode=ranks.decode,
            device=device,
            dtype=dtype,
            threads=each,
            **options,
        )
    except BaseException:
        crew.close()
        raise
    try:
        progress(share, f"Waiting for {len(ranks.devices)} other devices")
        engine.begin(len(ranks.devices), COMING_S)
    except BaseException:
        engine.close()
        raise
    return engine
