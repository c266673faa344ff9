"""SLO control without a machine: stage times and loads in, deadline misses and delay out.

One device paints the streams' chunks one after another, as the worker's loop does, behind the worker's own
intake and the engine's own control. Only the times are made up: what a chunk truly costs, times the load at
that moment. It lives here, not in the engine, because the intake is the worker's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from limner.daemon.protocol import SegmentRef, Settings
from limner.daemon.worker_protocol import Give, Open
from limner.engine.slo import control, may_wait
from limner.engine.slo_cost import WHOLE_DEVICE, Profile, Room
from limner.engine.slo_plan import Limits, Plan
from limner.engine.slo_room import rooms
from limner.engine.slo_state import Chunk, SloState, begin
from limner.worker.intake import Intake

SLOTS = 24
GRAIN_S = 0.01
JITTER = 0.05
Load = Callable[[float], float]
"""How many times as long everything takes at a moment, s."""
Control = Callable[[SloState, Limits, Chunk, Room], SloState]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A stream to simulate."""

    limits: Limits
    truth: Profile
    """What its chunks cost, ms at load 1. The control is not told, unless by `told`."""
    told: Profile | None = None
    """What the control is told instead of that they are as on the machine that the profile was made on."""
    on_air: bool = True
    first_s: float = 0.0
    last_s: float = 1e9


@dataclass
class Result:
    """What became of a stream's frames. Times in s, delays in ms."""

    came: int = 0
    passed_over: list[float] = field(default_factory=list)
    """By the plan: presentation times."""
    lost: list[float] = field(default_factory=list)
    """By latest-wins: presentation times."""
    painted: list[tuple[float, float]] = field(default_factory=list)
    """Presentation time and delay."""
    plans: list[tuple[float, Plan]] = field(default_factory=list)
    """Each change of plan and when."""
    waiting: int = 0
    """Most frames that ever waited."""

    def plan_at(self, time_s: float) -> Plan:
        """Return the plan that was in force."""
        return [plan for at_s, plan in self.plans if at_s <= time_s][-1]


class SimulatedStream:
    """A stream, its intake and what became of its frames."""

    def __init__(self, number: int, source: Source, make_intake: Callable[[Open, int], Intake]) -> None:
        self.source, self.name = source, f"s{number}"
        self.state = begin(source.limits, source.told or Profile(overlaps=source.truth.overlaps))
        slots = SegmentRef(name="none", size_bytes=4096, slots=SLOTS)
        opening = Open(
            session=self.name,
            generation=1,
            width=320,
            height=176,
            fps=source.limits.fps,
            input=slots,
            output=slots,
            rev=1,
            settings=Settings(),
        )
        self.intake = make_intake(opening, self.state.plan.frames)
        self.inside: list[list[Give]] = []
        self.result = Result(plans=[(0.0, self.state.plan)])
        self._sent = 0

    @property
    def next_s(self) -> float:
        """When the next frame comes."""
        time_s = self.source.first_s + self._sent / self.source.limits.fps
        return time_s if time_s < self.source.last_s else 1e18

    def arrive(self) -> None:
        """Take the next frame in."""
        time_s = self.next_s
        give = Give(session=self.name, generation=1, slot=0, sequence=self._sent, pts_ns=int(time_s * 1e9))
        self._sent += 1
        self.result.came += 1
        for back in self.intake.add(give, give.pts_ns):
            self._gone(back, by_plan=back is give and self.intake.frame_step > 1)
        self.result.waiting = max(self.result.waiting, len(self.intake.waiting))

    def pace(self, spare: int) -> None:
        """Gather for the plan of now."""
        plan = self.state.plan
        for back in self.intake.pace(plan.frames, plan.frame_step, spare):
            self._gone(back, by_plan=True)

    def lose(self, gives: list[Give]) -> None:
        """Note what latest-wins passed over."""
        for give in gives:
            self._gone(give, by_plan=False)

    def _gone(self, give: Give, *, by_plan: bool) -> None:
        (self.result.passed_over if by_plan else self.result.lost).append(give.pts_ns / 1e9)

    def hand_over(self, gives: list[Give], now_s: float) -> float | None:
        """Push a chunk; what comes out is handed over. Return the first frame's delay, ms; None: nothing."""
        self.inside.append(gives)
        return self.let_out(now_s)

    def let_out(self, now_s: float, *, all_of_them: bool = False) -> float | None:
        """Hand over the chunks that the plan does not keep inside; return the first frame's delay, ms."""
        delay_ms: float | None = None
        while len(self.inside) > (0 if all_of_them else self.state.plan.lag_chunks):
            for give in self.inside.pop(0):
                late_ms = now_s * 1e3 - give.pts_ns / 1e6
                self.result.painted.append((give.pts_ns / 1e9, late_ms))
                delay_ms = max(delay_ms or 0.0, late_ms)
        return delay_ms


class Simulator:
    """One device, some streams. Deterministic for a seed."""

    def __init__(
        self,
        sources: list[Source],
        load: Load,
        *,
        seed: int,
        decide: Control = control,
        make_intake: Callable[[Open, int], Intake] = Intake,
    ) -> None:
        self._streams = [SimulatedStream(n, source, make_intake) for n, source in enumerate(sources)]
        self._turns = list(self._streams)
        self._load, self._decide, self._random = load, decide, random.Random(seed)
        self._now_s = 0.0
        self.longest_ms = 0.0
        """The longest that a chunk took."""

    @property
    def results(self) -> list[Result]:
        """What became of each stream's frames until now."""
        return [stream.result for stream in self._streams]

    def run(self, seconds: float) -> list[Result]:
        """Paint for so long."""
        while self._now_s < seconds:
            if not self._paint_one():
                self._now_s = max(self._now_s + 1e-6, self._next_event_s())
            self._arrivals()
        return self.results

    def _next_event_s(self) -> float:
        looks = [stream.intake.next_look_ns() for stream in self._streams]
        return min([s.next_s for s in self._streams] + [look / 1e9 for look in looks if look is not None])

    def _arrivals(self) -> None:
        for stream in self._streams:
            while stream.next_s <= self._now_s:
                stream.arrive()

    def _paint_one(self) -> bool:
        for stream in self._turns:
            gives, dropped = stream.intake.take(int(self._now_s * 1e9))
            if gives:
                self._turns.remove(stream)
                self._turns.append(stream)
                stream.lose(dropped)
                self._paint(stream, gives)
                return True
        return False

    def _paint(self, stream: SimulatedStream, gives: list[Give]) -> None:
        began_s, plan = self._now_s, stream.state.plan
        noise = self._random.lognormvariate(0, JITTER)
        stages_ms = {stage: ms * noise for stage, ms in stream.source.truth.stages_ms(plan).items()}
        work_ms = sum(stages_ms.values())
        self._work(work_ms / 1e3)
        took_ms = (self._now_s - began_s) * 1e3
        self.longest_ms = max(self.longest_ms, took_ms)
        self._arrivals()
        delay_ms = stream.hand_over(gives, self._now_s)
        if delay_ms is None:
            # As live: what brought nothing is not measured.
            return
        scaled = {stage: ms * took_ms / work_ms for stage, ms in stages_ms.items()}
        self._control(stream, Chunk(now_s=self._now_s, stages_ms=scaled, delay_ms=delay_ms))

    def _work(self, work_s: float) -> None:
        self._now_s = self._done_s(work_s)

    def _done_s(self, left_s: float) -> float:
        """Return when work that is begun now will be done."""
        time_s = self._now_s
        while left_s > 0:
            speed = 1 / self._load(time_s)
            step_s = min(GRAIN_S, left_s / speed)
            time_s += step_s
            left_s -= step_s * speed
        return time_s

    def _control(self, stream: SimulatedStream, chunk: Chunk) -> None:
        active = [s for s in self._streams if s.source.first_s <= self._now_s <= s.source.last_s]
        room = WHOLE_DEVICE
        if stream in active:
            given = rooms([(s.state, s.source.limits) for s in active], [s.source.on_air for s in active])
            room = given[active.index(stream)]
        state = self._decide(stream.state, stream.source.limits, chunk, room)
        plan, old = state.plan, stream.state.plan
        if plan != old:
            if replace(plan, frame_step=old.frame_step) != old:
                self._let_out(stream)
            stream.result.plans.append((self._now_s, plan))
        stream.state = state
        spare = may_wait(state, stream.source.limits, room)
        stream.pace(spare)

    def _let_out(self, stream: SimulatedStream) -> None:
        """Finish what is inside, as the loop does before it changes the plan."""
        truth, plan, inside = stream.source.truth, stream.state.plan, len(stream.inside)
        forwards = [truth.forward_ms(replace(plan, steps=rows)) for rows in flushed_rows(plan, inside)]
        self._work((sum(forwards) + inside * truth.stages_ms(plan)["decode"]) / 1e3)
        self._arrivals()
        stream.let_out(self._now_s, all_of_them=True)


def flushed_rows(plan: Plan, inside: int) -> list[int]:
    """Return how many chunks are in each forward that finishes a stream batch, as in `Denoiser.flush`.

    Nothing follows, so the rows above the newest chunk are empty, one more each time.
    """
    return [min(inside, rows) for rows in range(plan.lag_chunks, 0, -1)] if inside else []
