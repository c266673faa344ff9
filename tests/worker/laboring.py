"""An engine whose work is sleep: as long as the profile says for its plan, times the load in the prompt."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from tests.worker.fakes import FakeEngine

from limner.daemon.protocol import Settings
from limner.daemon.worker_protocol import Open
from limner.engine.slo_cost import Profile
from limner.engine.slo_plan import Plan
from limner.worker.engines import Abilities, AtOnce, Painted, PaintEngine, PaintStream, Pixels


class LaboringStream(AtOnce):
    """Lags as its plan does."""

    def __init__(self, opening: Open, plan: Plan) -> None:
        super().__init__()
        self._settings, self._rev, self._plan = opening.settings, opening.rev, plan
        self._chunk = -1
        self._inside: deque[int] = deque()

    @property
    def frames_per_chunk(self) -> int:
        return self._plan.frames

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        taken()
        self._chunk += 1
        self._inside.append(self._chunk)
        load = float(self._settings.prompt.removeprefix("load ") or 1)
        stages = {str(stage): load * ms for stage, ms in Profile().stages_ms(self._plan).items()}
        time.sleep(sum(stages.values()) / 1e3)
        return self._out(self._plan.lag_chunks, stages)

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        assert plan is not None
        self._settings, self._rev, self._plan = settings, rev, plan

    def flush(self) -> list[Painted]:
        out = self._out(0, {})
        return [out] if out else []

    def reset(self) -> None:
        self._chunk = -1
        self._inside.clear()

    def _out(self, kept: int, stages: dict[str, float]) -> Painted | None:
        count = len(self._inside) - kept
        if count <= 0:
            return None
        first = self._inside[0]
        for _ in range(count):
            self._inside.popleft()
        return Painted(first, self._rev, lambda _, slot_HW4: slot_HW4.fill(0), chunks=count, stages_ms=stages)


class LaboringEngine(FakeEngine):
    model = "laboring"
    abilities = Abilities(sizes=((320, 176), (256, 144)), most_chunk=3)

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        assert plan is not None
        return LaboringStream(opening, plan)


def laboring() -> PaintEngine:
    return LaboringEngine()
