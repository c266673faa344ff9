"""A machine of set speed that paints by what SLO control decides."""

from __future__ import annotations

from limner.engine.slo import control
from limner.engine.slo_cost import Profile, Room, delay_ms
from limner.engine.slo_plan import Limits, Plan, ladder, level_of
from limner.engine.slo_state import Chunk, Sample, begin

SIZES = ((320, 176), (256, 144))
CAMERA = Limits(fps=30, steps=2, least_steps=1, sizes=SIZES)
PROFILE = Profile()
RATES = [5.0, 15.0, 30.0, 60.0]


class Machine:
    """Paints by the plan, at a load; its clock goes on by a chunk's span."""

    def __init__(self, limits: Limits = CAMERA, truth: Profile = PROFILE) -> None:
        self.limits, self.truth = limits, truth
        self.state = begin(limits)
        self.now_s = 0.0
        self.plans: list[Plan] = [self.state.plan]

    def paint(self, seconds: float, load: float, *, room: Room | None = None) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            plan = self.state.plan
            stages = {stage: load * ms for stage, ms in self.truth.stages_ms(plan).items()}
            took_ms = sum(stages.values())
            self.now_s += max(plan.span_ms(self.limits.fps), took_ms) / 1e3
            delay = delay_ms(plan, self.limits, took_ms, room or Room())
            chunk = Chunk(now_s=self.now_s, stages_ms=stages, delay_ms=delay)
            self.state = control(self.state, self.limits, chunk, room or Room())
            if self.state.plan != self.plans[-1]:
                self.plans.append(self.state.plan)


def levels(machine: Machine) -> list[int]:
    """The levels of quality that it went through."""
    return [level_of(plan, ladder(machine.limits)) for plan in machine.plans]


def sample(load: float, took_ms: float) -> Sample:
    """What is known of a chunk."""
    return Sample(now_s=1.0, load=load, took_ms=took_ms, is_late=False)
