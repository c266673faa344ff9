"""What a chunk took, as the SLO control wants to know it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from limner.engine.slo_cost import STAGES, Stage
from limner.engine.slo_state import Chunk
from limner.worker.engines import Painted

NS_PER_MS = 1_000_000
# A presentation time further off than this is not on our clock: no delay can be told from it.
MOST_DELAY_NS = 60_000 * NS_PER_MS


def measured(painted: Painted, pts_ns: Sequence[int], *, took_ms: float, is_collected: bool) -> Chunk | None:
    """Return the measured chunk. `pts_ns`: of its frames; `took_ms`: of the loop.

    `is_collected`: it was painted elsewhere, so all that the loop did was to write it out.

    None where there is nothing to compare: when several were finished at once.
    """
    if painted.chunks != 1:
        return None
    now_ns = time.monotonic_ns()
    stages: dict[Stage, float] = {stage: painted.stages_ms.get(stage, 0.0) for stage in STAGES}
    if is_collected:
        stages["other"] += took_ms
    else:
        stages["other"] = max(0.0, stages["other"] + took_ms - sum(stages.values()))
    delays = [now_ns - pts for pts in pts_ns if 0 <= now_ns - pts < MOST_DELAY_NS]
    return Chunk(now_s=now_ns / 1e9, stages_ms=stages, delay_ms=max(delays, default=0) / NS_PER_MS)
