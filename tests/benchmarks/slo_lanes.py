"""The simulator for an engine whose stages overlap: one lane encodes and decodes, the other denoises."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tests.benchmarks.slo_simulator import JITTER, Result, SimulatedStream, Simulator

from limner.daemon.worker_protocol import Give
from limner.engine.overlap import MOST_INSIDE
from limner.engine.slo_cost import Stage
from limner.engine.slo_state import Chunk

WAY = (("encode", "coding"), ("denoise", "denoising"), ("decode", "coding"))


@dataclass
class _Job:
    """A chunk on its way through the lanes."""

    stream: SimulatedStream
    gives: list[Give]
    work_ms: dict[Stage, float]
    """Noise and the way in and out are done by the encoding lane, with the encoding."""
    place: int = 0
    began_s: float = 0.0
    took_ms: dict[Stage, float] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        return WAY[self.place][0]  # type: ignore[return-value]


@dataclass
class _Lane:
    waiting: deque[_Job] = field(default_factory=deque)
    job: _Job | None = None
    ends_s: float = 1e18


class OverlappedSimulator(Simulator):
    """As `Simulator`; up to `MOST_INSIDE` chunks of a stream are on the lanes at once."""

    def run(self, seconds: float) -> list[Result]:
        """Paint for so long."""
        self._lanes = {"coding": _Lane(), "denoising": _Lane()}
        self._on_lanes = {stream.name: 0 for stream in self._streams}
        self._painted: deque[_Job] = deque()
        while self._now_s < seconds:
            self._arrivals()
            self._step_lanes()
            if not (self._collect() or self._push()):
                self._now_s = max(self._now_s + 1e-6, min(self._next_event_s(), self._next_end_s()))
        return self.results

    def _next_end_s(self) -> float:
        return min(lane.ends_s for lane in self._lanes.values())

    def _next_event_s(self) -> float:
        # What a stream that is full waits for is the lanes, not its own patience.
        free = [s for s in self._streams if self._on_lanes[s.name] < MOST_INSIDE]
        looks = [look / 1e9 for s in free if (look := s.intake.next_look_ns()) is not None]
        return min([s.next_s for s in self._streams] + looks)

    # ---- lanes

    def _step_lanes(self) -> None:
        """Finish what is done by now, and begin what waits."""
        for lane in self._lanes.values():
            if lane.job is not None and lane.ends_s <= self._now_s:
                job, lane.job, lane.ends_s = lane.job, None, 1e18
                self._finished(job)
        for lane in self._lanes.values():
            if lane.job is None and lane.waiting:
                lane.job = lane.waiting.popleft()
                lane.job.began_s = self._now_s
                lane.ends_s = self._done_s(lane.job.work_ms[lane.job.stage] / 1e3)

    def _finished(self, job: _Job) -> None:
        job.took_ms[job.stage] = (self._now_s - job.began_s) * 1e3
        job.place += 1
        if job.place == len(WAY):
            self._painted.append(job)
        else:
            self._lanes[WAY[job.place][1]].waiting.append(job)

    # ---- the loop

    def _push(self) -> bool:
        for stream in self._turns:
            if self._on_lanes[stream.name] >= MOST_INSIDE:
                continue
            gives, dropped = stream.intake.take(int(self._now_s * 1e9))
            if gives:
                self._turns.remove(stream)
                self._turns.append(stream)
                stream.lose(dropped)
                self._on_lanes[stream.name] += 1
                self._lanes["coding"].waiting.append(_Job(stream, gives, self._work_ms(stream)))
                return True
        return False

    def _work_ms(self, stream: SimulatedStream) -> dict[Stage, float]:
        noise = self._random.lognormvariate(0, JITTER)
        true = stream.source.truth.stages_ms(stream.state.plan)
        return {
            "encode": noise * (true["encode"] + true["noise"] + true["other"]),
            "denoise": noise * true["denoise"],
            "decode": noise * true["decode"],
        }

    def _collect(self) -> bool:
        if not self._painted:
            return False
        job = self._painted.popleft()
        delay_ms = self._hand_over(job)
        self.longest_ms = max(self.longest_ms, sum(job.took_ms.values()))
        if delay_ms is None:
            return True
        chunk = Chunk(now_s=self._now_s, stages_ms=self._stages(job), delay_ms=delay_ms)
        self._control(job.stream, chunk)
        return True

    def _hand_over(self, job: _Job) -> float | None:
        self._on_lanes[job.stream.name] -= 1
        return job.stream.hand_over(job.gives, self._now_s)

    def _stages(self, job: _Job) -> dict[Stage, float]:
        true = job.stream.source.truth.stages_ms(job.stream.state.plan)
        first: tuple[Stage, ...] = ("encode", "noise", "other")
        together = sum(true[stage] for stage in first)
        coded = {stage: job.took_ms["encode"] * true[stage] / together for stage in first}
        return {**coded, "denoise": job.took_ms["denoise"], "decode": job.took_ms["decode"]}

    def _let_out(self, stream: SimulatedStream) -> None:
        """Wait for the stream's chunks on the lanes, then finish those between their steps."""
        while self._on_lanes[stream.name]:
            done = [job for job in self._painted if job.stream is stream]
            for job in done:
                self._painted.remove(job)
                self._hand_over(job)
            if not done:
                self._now_s = max(self._now_s + 1e-6, self._next_end_s())
                self._arrivals()
                self._step_lanes()
        super()._let_out(stream)
