"""Whether one more stream fits on a device, and what would. Pure, no torch.

Every stream must be able to keep up by its least plan: what its limits allow at worst, and no less than every
second frame. Who can do better does; `slo_room` shares out what is left. The first stream is never refused:
it is painted as well as can be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from limner.engine.slo import FITS
from limner.engine.slo_cost import Profile, Room, pressure, use
from limner.engine.slo_kinds import together_of
from limner.engine.slo_plan import Limits, Plan, Size, ladder
from limner.engine.slo_room import HOLD_UP

CLIMBS = 0.75
"""Share of its part of the device that a stream may need for its least plan: with less room, the control
(which wants `HEADROOM` to climb) never brings one back to it that was pushed below."""
MOST_STEP = 2
"""A stream that could be painted only every third frame or less is not worth to begin."""
RATES = (60, 50, 48, 30, 25, 24, 20, 15, 12, 10, 8, 6, 5)
NUMBERS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A stream that is painted, or asks to be."""

    limits: Limits
    profile: Profile
    load: float = 1.0
    """How many times slower than the profile the device is now. Above 0."""

    def chunk_ms(self, plan: Plan) -> float:
        """What a chunk takes by a plan."""
        return self.load * self.profile.chunk_ms(plan)

    def held_at(self, plan: Plan) -> Asking:
        """Return the same, as a stream that does not give way from a plan."""
        kept = {"steps": plan.steps, "least_steps": plan.steps, "sizes": (plan.size,), "adapt": False}
        return _changed(self, kept)

    def use(self, plan: Plan) -> float:
        """What a plan takes of the device's time."""
        return use(plan, self.limits, self.chunk_ms(plan), self.profile.busy_share(plan))


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What would fit: any one of these, the rest as asked. None: by that alone nothing does."""

    steps: int | None = None
    """The most, where fewer are asked for than the limits allow."""
    size: Size | None = None
    """The largest smaller working size."""
    fps: int | None = None
    """The highest lower rate."""
    latency_ms: int | None = None
    """The least higher limit of delay."""

    def __bool__(self) -> bool:
        return self != Offer()

    def __str__(self) -> str:
        words = [] if self.steps is None else [f"{self.steps} step{'s' if self.steps > 1 else ''}"]
        words += [] if self.size is None else [f"{self.size[0]}×{self.size[1]}"]
        words += [] if self.fps is None else [f"{self.fps} fps"]
        words += [] if self.latency_ms is None else [f"a delay of {self.latency_ms} ms"]
        return " or ".join(words)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why there is no place for a stream, and what would have one."""

    streams: int
    """With the one that is refused."""
    need: float
    """Of the device's time, by all at their least; at most 1 where delay is what does not fit."""
    offer: Offer = Offer()
    """To the one that is refused."""
    for_all: Offer = Offer()
    """Where there is none: to all of them."""

    @property
    def sentence(self) -> str:
        """For people."""
        which = f"A {NUMBERS[self.streams - 1]} stream" if self.streams <= len(NUMBERS) else "One more stream"
        if self.need > 1:
            why = f"all {self.streams} would take {math.ceil(100 * self.need)} % of this machine"
        else:
            why = "the streams would hold each other up for too long"
        return f"{which} does not fit: {why}; {self._advice}"

    @property
    def _advice(self) -> str:
        if self.offer:
            return f"it would with {self.offer}, or when another one ends"
        if self.for_all:
            return f"it would if all had {self.for_all}, or when another one ends"
        return "end another one first"


def admit(
    running: Sequence[Asking], newcomer: Asking, *, sizes: Sequence[Size] = (), most_together: int = 1
) -> Refused | None:
    """Return None if a newcomer fits beside the streams that run, else what would.

    `sizes`: working sizes that could be offered. `most_together`: streams that can share a forward; it counts
    for what their profiles say that it saves.
    """
    if not running or _fit([*running, newcomer], most_together):
        return None

    def alone_fits(**changed: object) -> bool:
        return _fit([*running, _changed(newcomer, changed)], most_together)

    def all_fit(**changed: object) -> bool:
        return _fit([_changed(one, changed) for one in (*running, newcomer)], most_together)

    offer = _offer(newcomer.limits, sizes, alone_fits)
    return Refused(
        streams=len(running) + 1,
        need=_need([*running, newcomer], most_together),
        offer=offer,
        for_all=Offer() if offer else _offer(newcomer.limits, sizes, all_fit),
    )


def _changed(asking: Asking, changed: Mapping[str, object]) -> Asking:
    return replace(asking, limits=replace(asking.limits, **changed))  # type: ignore[arg-type]


def _offer(asked: Limits, sizes: Sequence[Size], fits: Callable[..., bool]) -> Offer:
    return Offer(
        steps=next((n for n in range(asked.least_steps - 1, 0, -1) if fits(steps=n, least_steps=n)), None),
        size=next((size for size in _smaller(asked, sizes) if fits(sizes=(size,))), None),
        fps=next((rate for rate in RATES if rate < asked.fps and fits(fps=float(rate))), None),
        latency_ms=next((ms for ms in _slower(asked.latency_ms) if fits(latency_ms=float(ms))), None),
    )


def claim(asking: Asking, plan: Plan) -> float:
    """Return what a stream takes of the device with the room that it needs to stay at a plan."""
    return asking.use(plan) / (CLIMBS if asking.limits.adapt else FITS)


def least_plan(asking: Asking, longest_ms: float = math.inf) -> Plan:
    """Return the plan of least use that a stream would go down to, of chunks not longer than `longest_ms`."""
    allowed = [plan for plan in _at_worst(asking.limits) if asking.chunk_ms(plan) <= longest_ms]
    if not allowed:
        return min(_at_worst(asking.limits), key=asking.chunk_ms)
    return min(allowed, key=asking.use)


def _at_worst(limits: Limits) -> list[Plan]:
    flat = [plan for ways in ladder(limits) for plan in ways]
    return [plan for plan in flat if plan.frame_step <= MOST_STEP]


def _fit(streams: Sequence[Asking], most_together: int) -> bool:
    bounds_ms = [HOLD_UP * one.limits.latency_ms for one in streams]
    plans = []
    for number, one in enumerate(streams):
        others_ms = min((ms for i, ms in enumerate(bounds_ms) if i != number), default=math.inf)
        plans.append(least_plan(one, others_ms))
    return any(
        sum(map(claim, shared, plans)) <= 1
        and all(excess <= 1 for excess in _pressures(shared, plans, bounds_ms))
        for shared in _ways_to_share(streams, plans, most_together)
    )


def _need(streams: Sequence[Asking], most_together: int) -> float:
    plans = [least_plan(one) for one in streams]
    return min(sum(map(claim, shared, plans)) for shared in _ways_to_share(streams, plans, most_together))


def _ways_to_share(
    streams: Sequence[Asking], plans: Sequence[Plan], most_together: int
) -> Iterator[list[Asking]]:
    """The streams as what they cost each alone, then two to a forward, and so on: as few as will do."""
    saves = any(one.profile.saved > 0 for one in streams)
    asked = [(one.limits, plan) for one, plan in zip(streams, plans, strict=True)]
    for together in range(1, most_together + 1 if saves else 2):
        means = together_of(asked, together)
        yield [
            replace(one, profile=replace(one.profile, together=mean))
            for one, mean in zip(streams, means, strict=True)
        ]


def _pressures(
    streams: Sequence[Asking], plans: Sequence[Plan], bounds_ms: Sequence[float]
) -> Iterator[float]:
    chunks_ms = [one.chunk_ms(plan) for one, plan in zip(streams, plans, strict=True)]
    for number, (one, plan) in enumerate(zip(streams, plans, strict=True)):
        room = Room(
            others_ms=sum(chunks_ms) - chunks_ms[number] + one.profile.begun_ms(chunks_ms[number]),
            longest_ms=min((ms for i, ms in enumerate(bounds_ms) if i != number), default=math.inf),
        )
        yield pressure(plan, one.limits, chunks_ms[number], room, one.profile.busy_share(plan))


def _smaller(limits: Limits, sizes: Sequence[Size]) -> list[Size]:
    least = limits.sizes[-1] if limits.adapt else limits.sizes[0]
    area = least[0] * least[1]
    return sorted((s for s in sizes if s[0] * s[1] < area), key=lambda s: -s[0] * s[1])


def _slower(latency_ms: float) -> list[int]:
    return [ms for ms in (400, 600, 800, 1000, 1500, 2000, 3000) if ms > latency_ms]
