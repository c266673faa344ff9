"""What a chunk took, as the SLO control wants to know it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from limner.engine.slo import Chunk
from limner.engine.slo_cost import STAGES, Stage
from limner.worker.engines import Painted

NS_PER_MS = 1_000_000
# A presentation time further off than this is not on our clock: no delay can be told from it.
MOST_DELAY_NS = 60_000 * NS_PER_MS


class Stopwatch:
    """Starts when it is made."""

    def __init__(self) -> None:
        self._began_ns = time.monotonic_ns()

    def chunk(self, painted: Painted | None, pts_ns: Sequence[int]) -> Chunk | None:
        """Return the measured chunk; `pts_ns`: of the frames that were handed over.

        None where there is nothing to compare: a push that only filled the stream batch, or finished several.
        """
        now_ns = time.monotonic_ns()
        if painted is None or painted.chunks != 1:
            return None
        took_ms = (now_ns - self._began_ns) / NS_PER_MS
        stages: dict[Stage, float] = {stage: painted.stages_ms.get(stage, 0.0) for stage in STAGES}
        stages["other"] = max(0.0, took_ms - sum(stages.values()))
        delays = [now_ns - pts for pts in pts_ns if 0 <= now_ns - pts < MOST_DELAY_NS]
        return Chunk(now_s=now_ns / 1e9, stages_ms=stages, delay_ms=max(delays, default=0) / NS_PER_MS)
