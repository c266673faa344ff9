"""Random loads for the simulator, and what could have been painted under them."""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tests.benchmarks.slo_simulator import Load, Result, Simulator, Source

from limner.engine.slo import RECOVERY_S
from limner.engine.slo_cost import STAGES, Profile, Room, pressure, use
from limner.engine.slo_plan import Limits, Plan, ladder, level_of
from limner.engine.slo_room import HOLD_UP

SECONDS = 40.0
LOAD_FROM_S, LOAD_TO_S = 8.0, 24.0
REACTION_S = 2.0
REACTION_CHUNKS = 4
"""After a load has risen, the control has so long to find the plan for it, or so many slow chunks."""
TRUE_FITS = 0.90
"""A plan counts as feasible when it takes no more than this of its share: the rest is jitter."""
TRUE_HEADROOM = 0.60
"""A plan that would still fit at 1 / TRUE_HEADROOM times the load must be there again after it."""
MOST_MISSED = 0.01
FEW = 3
"""Frames, less than a chunk: what is missed of a stream that has hardly a frame to count."""
GRID_S = 0.05
FIGURES = ("encode", "noise", "forward", "latent", "decode", "other")
SIZES = ((320, 176), (256, 144), (192, 112))


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What happens to a device."""

    kind: str
    seed: int
    sources: list[Source]
    load: Load


def make(seed: int, *, overlaps: bool = False) -> Trace:
    """Return a random trace: 1–3 streams, and a load of some kind from 8 s to 24 s of 40.

    `overlaps`: the stages of successive chunks do.
    """
    rng = random.Random(seed)
    kind = rng.choice(list(KINDS))
    streams = rng.choice([1, 1, 2, 3])
    speed = rng.uniform(0.15, 0.9)
    sources = [_source(rng, speed / streams) for _ in range(streams)]
    if overlaps:
        sources = [replace(one, truth=replace(one.truth, overlaps=True)) for one in sources]
    return Trace(kind=kind, seed=seed, sources=sources, load=KINDS[kind](rng))


def _source(rng: random.Random, share: float) -> Source:
    steps = rng.randint(1, 4)
    limits = Limits(
        fps=rng.choice([15.0, 24.0, 30.0, 60.0]),
        latency_ms=rng.choice([300.0, 450.0, 600.0, 1000.0]),
        steps=steps,
        least_steps=rng.randint(1, steps),
        mode=rng.choice(["auto", "auto", "throughput", "latency"]),
        most_chunk=rng.choice([1, 2, 4]),
        sizes=SIZES[: rng.randint(1, 3)],
    )
    made = Profile()
    # A machine unlike the profile: each stage is off by its own factor, and all by one.
    off = {name: value * math.exp(rng.gauss(0, 0.3)) for name, value in _figures(made).items()}
    best = ladder(limits)[0][-1]
    scale = share / use(best, limits, Profile(**off).chunk_ms(best))
    return Source(limits=limits, truth=Profile(**{name: value * scale for name, value in off.items()}))


# ---- kinds of load


def _steps(rng: random.Random) -> Load:
    edges = sorted(rng.uniform(LOAD_FROM_S, LOAD_TO_S) for _ in range(rng.randint(1, 4)))
    levels = [rng.uniform(1, 5) for _ in edges]
    return _inside(lambda t: next((lv for e, lv in zip(edges[::-1], levels, strict=True) if t >= e), 1.0))


def _spikes(rng: random.Random) -> Load:
    spikes = [
        (rng.uniform(LOAD_FROM_S, LOAD_TO_S), rng.uniform(0.03, 0.4), rng.uniform(2, 12)) for _ in range(8)
    ]
    return _inside(lambda t: max([1.0, *(lv for at, long, lv in spikes if at <= t < at + long)]))


def _ramp(rng: random.Random) -> Load:
    top, peak_s = rng.uniform(1.5, 6), rng.uniform(LOAD_FROM_S + 2, LOAD_TO_S)
    return _inside(lambda t: 1 + (top - 1) * max(0.0, 1 - abs(t - peak_s) / (peak_s - LOAD_FROM_S)))


def _periodic(rng: random.Random) -> Load:
    period_s, top, part = rng.uniform(0.3, 8), rng.uniform(1.5, 4), rng.uniform(0.2, 0.8)
    return _inside(lambda t: top if (t % period_s) < part * period_s else 1.0)


def _visitor(rng: random.Random) -> Load:
    stays = sorted(rng.uniform(LOAD_FROM_S, LOAD_TO_S) for _ in range(4))
    level = rng.uniform(1.5, 3)
    return _inside(lambda t: level if stays[0] <= t < stays[1] or stays[2] <= t < stays[3] else 1.0)


def _wander(rng: random.Random) -> Load:
    levels = [1.0]
    for _ in range(200):
        levels.append(min(5.0, max(1.0, levels[-1] * math.exp(rng.gauss(0, 0.15)))))
    return _inside(lambda t: levels[int((t - LOAD_FROM_S) * 10) % 200])


def _inside(load: Load) -> Load:
    return lambda t: load(t) if LOAD_FROM_S <= t < LOAD_TO_S else 1.0


KINDS = {
    "steps": _steps,
    "spikes": _spikes,
    "ramp": _ramp,
    "periodic": _periodic,
    "visitor": _visitor,
    "wander": _wander,
}

# ---- a load that was


def recorded(report: Mapping[str, Any]) -> Trace:
    """Return the load that a report of `tests.benchmarks.overload` tells of, over the seconds around it.

    The load at a moment: the stages' measured times over what the profile says of the plan of then.
    """
    settings, looks = report["settings"], [look for look in report["timeline"] if look["stages_ms"]]
    plans = [_plan(look["plan"]) for look in looks]
    loads = [_load(look["stages_ms"], plan) for look, plan in zip(looks, plans, strict=True)]
    # Quiet first: the profile is scaled so that what it was at the start is a load of 1.
    quiet = sorted(loads[:10])[len(loads[:10]) // 2]
    times = [look["at_s"] + LOAD_FROM_S - report["load_s"][0] for look in looks]
    sizes = tuple(sorted({plan.size for plan in plans}, key=lambda size: -size[0] * size[1]))
    limits = Limits(
        fps=settings["fps"], latency_ms=settings["latency_ms"], steps=settings["steps"], sizes=sizes
    )
    truth = Profile(**{name: quiet * ms for name, ms in _figures(Profile()).items()})

    def load(time_s: float) -> float:
        return loads[max(0, bisect(times, time_s) - 1)] / quiet

    return Trace(kind="recorded", seed=0, sources=[Source(limits=limits, truth=truth)], load=load)


def _plan(told: Mapping[str, Any]) -> Plan:
    return Plan(
        steps=told["steps"],
        stream_batch=told["mode"] == "throughput",
        chunk_latents=told["chunk"],
        size=(told["width"], told["height"]),
        frame_step=told["frame_step"],
    )


def _load(stages_ms: Mapping[str, float], plan: Plan) -> float:
    predicted = Profile().stages_ms(plan)
    return sum(stages_ms.values()) / sum(predicted[stage] for stage in STAGES if stage in stages_ms)


def _figures(profile: Profile) -> dict[str, Any]:
    """Return the times of a profile by name; not what else it holds: a seed stays the same trace."""
    return {name: getattr(profile, name) for name in FIGURES}


# ---- what could have been


def feasible(trace: Trace, number: int, load: float, others_ms: float) -> int:
    """Return the place in the ladder of the best plan that truly fits an equal share; -1: none does."""
    source, limits = trace.sources[number], trace.sources[number].limits
    longest_ms = min(
        (HOLD_UP * s.limits.latency_ms for i, s in enumerate(trace.sources) if i != number), default=math.inf
    )
    room = Room(share=1 / len(trace.sources), others_ms=others_ms, longest_ms=longest_ms)
    for place, plan in enumerate(_flat(limits)):
        ms = load * source.truth.chunk_ms(plan)
        if pressure(plan, limits, ms, room, source.truth.busy_share(plan)) <= TRUE_FITS:
            return place
    return -1


def _flat(limits: Limits) -> list[Plan]:
    return [plan for ways in ladder(limits) for plan in ways]


def counted(trace: Trace, number: int) -> list[bool]:
    """Return for each `GRID_S` of the trace whether a frame of that moment must be painted in time.

    It must where some allowed plan has fitted, and the best of those has not got worse, for a reaction's time
    before and until the frame's deadline: no control can know a rise of the load beforehand.
    """
    source, places = trace.sources[number], best_places(trace, number)
    until_deadline = math.ceil(source.limits.latency_ms / 1e3 / GRID_S)
    must = [True] * len(places)
    # The start is a rise, too.
    for i, (last, now) in enumerate(pairwise([-1, *places])):
        if last < 0 or now < 0 or now > last:
            plan = _flat(source.limits)[last]
            slow_s = REACTION_CHUNKS * trace.load(i * GRID_S) * source.truth.chunk_ms(plan) / 1e3
            after = int(max(REACTION_S, slow_s) / GRID_S)
            first = max(0, i - until_deadline)
            must[first : i + after] = [False] * len(must[first : i + after])
    return must


def best_places(trace: Trace, number: int) -> list[int]:
    """Return for each `GRID_S` the place in the ladder of the best plan that truly fits; -1: none does."""
    known: dict[float, int] = {}
    places = []
    for i in range(int(SECONDS / GRID_S)):
        load = trace.load(i * GRID_S)
        if load not in known:
            known[load] = feasible(trace, number, load, _others_ms(trace, number, load))
        places.append(known[load])
    return places


def _others_ms(trace: Trace, number: int, load: float) -> float:
    """Return the chunks of the others, each by the best plan that fits its own share."""
    total = 0.0
    for other, source in enumerate(trace.sources):
        if other != number:
            place = feasible(trace, other, load, 0.0)
            total += load * source.truth.chunk_ms(_flat(source.limits)[place])
    return total


# ---- the verdict


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One stream of one trace."""

    kind: str
    seed: int
    frames: int
    counted: int
    """Frames that had to be painted in time."""
    missed: int
    """Of those: handed over after the deadline, or lost though the plan wanted them."""
    missed_in_all: int
    painted: int
    passed_over: int
    worst_ms: float
    bound_ms: float
    """The delay may never be more than this: see `_bound_ms`."""
    changes: int
    recovered_s: float | None
    """From the load's end to the best plan, for good (inf: never); None: it never fitted."""

    @property
    def faults(self) -> list[str]:
        """What is not as it must be, in words."""
        found = []
        if self.missed > max(FEW, MOST_MISSED * self.counted):
            found.append(f"{self.missed} of {self.counted} frames missed")
        if self.worst_ms > self.bound_ms:
            found.append(f"a delay of {self.worst_ms:.0f} ms, bound {self.bound_ms:.0f} ms")
        if self.recovered_s is not None and self.recovered_s > RECOVERY_S:
            found.append(f"recovered after {self.recovered_s:.1f} s")
        return found


def judge(trace: Trace, simulator: Simulator) -> list[Verdict]:
    """Run a trace and say how it went, stream by stream."""
    results = simulator.run(SECONDS)
    return [
        _verdict(trace, number, result, simulator.longest_ms / 1e3) for number, result in enumerate(results)
    ]


def _verdict(trace: Trace, number: int, result: Result, longest_s: float) -> Verdict:
    limits = trace.sources[number].limits
    must = counted(trace, number)
    late = [pts for pts, delay in result.painted if delay > limits.latency_ms]
    missed = [pts for pts in (*late, *result.lost) if _must(must, pts)]
    wanted = [pts for pts, _ in result.painted if _must(must, pts)]
    wanted += [pts for pts in result.lost if _must(must, pts)]
    return Verdict(
        kind=trace.kind,
        seed=trace.seed,
        frames=result.came,
        counted=len(wanted),
        missed=len(missed),
        missed_in_all=len(late) + len(result.lost),
        painted=len(result.painted),
        passed_over=len(result.passed_over),
        worst_ms=max((delay for _, delay in result.painted), default=0.0),
        bound_ms=_bound_ms(result, limits, len(trace.sources) * longest_s),
        changes=len(result.plans) - 1,
        recovered_s=_recovered_s(trace, number, result),
    )


def _must(must: list[bool], pts_s: float) -> bool:
    place = int(pts_s / GRID_S)
    return place < len(must) and must[place]


def _bound_ms(result: Result, limits: Limits, turn_s: float) -> float:
    """A chunk gathers (with two more that wait), and waits for a turn of all streams; then comes its own.

    Stream batch keeps it for some more.
    """

    def bound_s(plan: Plan) -> float:
        gathering_s = 3 * plan.frames * plan.frame_step / limits.fps
        return gathering_s + 2 * turn_s + plan.lag_chunks * max(gathering_s, turn_s)

    return 1e3 * max(bound_s(plan) for _, plan in result.plans)


def _recovered_s(trace: Trace, number: int, result: Result) -> float | None:
    source = trace.sources[number]
    place = feasible(trace, number, 1 / TRUE_HEADROOM, _others_ms(trace, number, 1.0))
    if place < 0:
        return None
    rungs = ladder(source.limits)
    wanted = level_of(_flat(source.limits)[place], rungs)
    back_s = LOAD_TO_S
    for (_, plan), until_s in zip(
        result.plans, [*(at_s for at_s, _ in result.plans[1:]), SECONDS], strict=True
    ):
        if until_s > LOAD_TO_S and level_of(plan, rungs) > wanted:
            back_s = until_s
    return math.inf if back_s >= SECONDS else back_s - LOAD_TO_S
