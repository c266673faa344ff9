"""SLO control against random loads: the live intake, made-up times. `tests/benchmarks/slo.py` runs more."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.benchmarks.slo_lanes import OverlappedSimulator
from tests.benchmarks.slo_simulator import Load, Result, Simulator, Source, flushed_rows
from tests.benchmarks.slo_traces import FIGURES, KINDS, LOAD_FROM_S, Verdict, judge, make, recorded
from tests.engine.streaming import clip, stream_of
from tests.engine.tiny import tiny_engine
from torch import Tensor

from limner.daemon.worker_protocol import Give
from limner.engine.denoiser import Denoiser
from limner.engine.dit.together import Work
from limner.engine.slo import control
from limner.engine.slo_cost import Profile, Room
from limner.engine.slo_plan import Limits, Plan, ladder, level_of
from limner.engine.slo_state import Chunk, SloState
from limner.worker.intake import Intake

CAMERA = Source(limits=Limits(fps=30, steps=2, sizes=((320, 176), (256, 144))), truth=Profile())
TRACES = 40


class Fifo(Intake):
    """Broken: a queue that drops nothing (defect 7 of the reference)."""

    @property
    def _capacity(self) -> int:
        return 10**9

    def take(self, now_ns: int) -> tuple[list[Give], list[Give]]:
        self.slack = 10**9
        return super().take(now_ns)


def deaf(state: SloState, limits: Limits, chunk: Chunk, room: Room) -> SloState:
    """Broken: the best plan, whatever is measured."""
    return state


def timid(state: SloState, limits: Limits, chunk: Chunk, room: Room) -> SloState:
    """Broken: goes down and never comes back."""
    after = control(state, limits, chunk, room)
    rungs = ladder(limits)
    return after if level_of(after.plan, rungs) >= level_of(state.plan, rungs) else state


def verdicts(count: int, simulator: partial[Simulator] | type[Simulator] = Simulator) -> list[Verdict]:
    traces = [make(seed) for seed in range(count)]
    assert {trace.kind for trace in traces} == set(KINDS)
    return [
        one for trace in traces for one in judge(trace, simulator(trace.sources, trace.load, seed=trace.seed))
    ]


def test_no_random_load_breaks_a_promise() -> None:
    found = verdicts(TRACES)
    assert {f"{one.kind} {one.seed}": one.faults for one in found if one.faults} == {}
    # The check is about something: most frames count, and the control has work to do.
    assert sum(one.counted for one in found) > 0.4 * sum(one.frames for one in found)
    assert sum(one.changes for one in found) > TRACES
    assert any(one.recovered_s for one in found)


def test_no_random_load_breaks_a_promise_where_stages_overlap() -> None:
    found = []
    for seed in range(TRACES):
        trace = make(seed, overlaps=True)
        found += judge(trace, OverlappedSimulator(trace.sources, trace.load, seed=seed))
    faults = [fault for one in found for fault in one.faults]
    # With three streams on two lanes a forecast may be wrong at the edge: then a stream is slower to come
    # back (see docs/measurements/slo_overlapped.json), but no delay grows and no frame is missed for it.
    assert [fault for fault in faults if "recovered" not in fault] == []
    assert len(faults) <= 0.03 * len(found)
    assert sum(one.counted for one in found) > 0.4 * sum(one.frames for one in found)


BROKE_ONCE = [17, 137, 185, 246, 253, 467, 643, 684, 918, 944, 1096, 1146, 1313, 1450]
BROKE_ONCE += [1457, 1578, 2109, 2891, 3165]
"""Seeds of traces of which a stream once broke a promise: see `tests.benchmarks.slo_story`."""
BROKE_ONCE_OVERLAPPED = [54, 155]


def test_what_broke_a_promise_once_keeps_it() -> None:
    plain = [(make(seed), Simulator) for seed in BROKE_ONCE]
    overlapped = [(make(seed, overlaps=True), OverlappedSimulator) for seed in BROKE_ONCE_OVERLAPPED]
    found = [
        one
        for trace, simulator in (*plain, *overlapped)
        for one in judge(trace, simulator(trace.sources, trace.load, seed=trace.seed))
    ]
    assert {f"{one.kind} {one.seed}": one.faults for one in found if one.faults} == {}


def test_without_control_the_promises_are_broken() -> None:
    found = verdicts(30, partial(Simulator, decide=deaf))
    assert any("missed" in fault for one in found for fault in one.faults)


def test_a_control_that_never_comes_back_is_found_out() -> None:
    found = verdicts(30, partial(Simulator, decide=timid))
    assert any("recovered after inf" in fault for one in found for fault in one.faults)


def twice(load: float) -> Load:
    return lambda _: load


def paint(load: Load, seconds: float, **how: object) -> tuple[Result, Simulator]:
    simulator = Simulator([CAMERA], load, seed=1, **how)  # type: ignore[arg-type]
    return simulator.run(seconds)[0], simulator


def delays(result: Result, since_s: float) -> list[float]:
    return [delay_ms for pts_s, delay_ms in result.painted if pts_s >= since_s]


# ---- defect 7: an input that is faster than the engine


def grows(result: Result) -> bool:
    """Whether the delay at the end is more than it was after the first seconds, or frames pile up."""
    delays_ms = [delay_ms for _, delay_ms in result.painted]
    tenth = len(delays_ms) // 10
    return max(delays_ms[-tenth:]) > 1.5 * max(delays_ms[tenth : 2 * tenth]) or result.waiting > 30


@pytest.mark.parametrize("decide", [control, deaf], ids=["with control", "at fixed settings"])
def test_an_input_faster_than_the_engine_never_builds_up_delay(decide: object) -> None:
    result, _ = paint(twice(4.0), 100, decide=decide)
    assert result.came >= 3000
    assert not grows(result)
    assert max(delays(result, 5)) < 1000


@pytest.mark.parametrize("decide", [control, deaf], ids=["with control", "at fixed settings"])
def test_a_queue_that_drops_nothing_is_found_out(decide: object) -> None:
    # Control alone would save a plain queue where a plan fits; here, at 20 times the load, none does.
    result, _ = paint(twice(20.0), 100, decide=decide, make_intake=Fifo)
    assert grows(result)
    sane, _ = paint(twice(20.0), 100, decide=decide)
    assert not grows(sane)


# ---- overload, as a creator meets it


def test_half_the_speed_in_the_middle_keeps_the_delay_and_comes_back() -> None:
    result, _ = paint(lambda t: 2.0 if 10 <= t < 25 else 1.0, 40)
    limits = CAMERA.limits
    loaded = sorted(delay for pts, delay in result.painted if 10 <= pts < 25)
    assert loaded[int(0.95 * len(loaded))] <= limits.latency_ms
    assert result.waiting <= 16
    assert level_of(result.plan_at(24.9), ladder(limits)) > 0
    assert level_of(result.plan_at(35), ladder(limits)) == 0


def test_a_load_that_was_recorded_is_played_again() -> None:
    """Half the speed from 10 s to 25 s, as `tests.benchmarks.overload` would tell of it."""
    plan = {"steps": 2, "mode": "latency", "chunk": 1, "width": 320, "height": 176, "frame_step": 1}
    stages = {"encode": 8.8, "noise": 1.5, "denoise": 58.0, "decode": 16.0}
    report = {
        "settings": {"fps": 30.0, "latency_ms": 600, "steps": 2},
        "load_s": [10.0, 25.0],
        "timeline": [
            {
                "at_s": at_s / 2,
                "plan": plan,
                "stages_ms": {stage: ms * (2 if 20 <= at_s < 50 else 1) for stage, ms in stages.items()},
            }
            for at_s in range(80)
        ],
    }
    trace = recorded(report)
    assert [trace.load(t) for t in (0, LOAD_FROM_S + 1, LOAD_FROM_S + 14, LOAD_FROM_S + 16)] == [1, 2, 2, 1]
    (verdict,) = judge(trace, Simulator(trace.sources, trace.load, seed=0))
    assert verdict.faults == []
    assert verdict.changes >= 2


def test_streams_share_a_device_fairly() -> None:
    heavy = Source(limits=replace(CAMERA.limits, steps=4), truth=Profile())
    simulator = Simulator([heavy, heavy, heavy], twice(1.5), seed=3)
    shown = [len(result.painted) for result in simulator.run(30)]
    assert min(shown) > 0.8 * max(shown)


# ---- as it is live


@pytest.mark.parametrize("inside", [0, 1, 2, 3])
def test_to_finish_a_stream_batch_costs_what_the_engine_does(
    monkeypatch: pytest.MonkeyPatch, inside: int
) -> None:
    stream = stream_of(tiny_engine(), steps=4)
    for chunk in clip(inside):
        stream.push(chunk)
    rows: list[int] = []
    plain = Denoiser._forward

    def counted(self: Denoiser, of: list[int], *told: Any) -> Work[Tensor]:
        rows.append(len(of))
        return (yield from plain(self, of, *told))

    monkeypatch.setattr(Denoiser, "_forward", counted)
    stream.flush()
    plan = Plan(steps=4, stream_batch=True, chunk_latents=1, size=(64, 64))
    assert rows == flushed_rows(plan, inside)


def test_a_seed_stays_the_same_trace() -> None:
    """What is added to a profile draws no random number."""
    assert set(FIGURES) < set(vars(Profile()))
    first = make(0).sources[0]
    assert first.truth.saved == Profile().saved
    assert first.truth.together == Profile().together
