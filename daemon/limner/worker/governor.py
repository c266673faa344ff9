"""Chooses each session's plan, so that its delay never grows: the thin shell around `limner.engine.slo`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from limner.daemon import protocol
from limner.daemon.protocol import Settings
from limner.daemon.worker_protocol import Open
from limner.engine.slo import control, may_wait
from limner.engine.slo_admit import Asking, Refused, admit
from limner.engine.slo_cost import WHOLE_DEVICE, Room
from limner.engine.slo_plan import FRAMES_PER_LATENT, Limits, Plan, reductions, sizes_from
from limner.engine.slo_room import rooms
from limner.engine.slo_state import RECENT, Chunk, SloState, begin
from limner.worker.engines import Abilities, PaintEngine, SharesForwards, never
from limner.worker.forwards import Forwards, Seen
from limner.worker.intake import SPARE_SLOTS
from limner.worker.memory import MemoryCaps, capped, lowered
from limner.worker.memory import words as memory_words

# A session that painted nothing for so long, or for so many of its chunks, takes no share of the device.
ACTIVE_S = 2.0
ACTIVE_CHUNKS = 4
# Who comes again within this time (a source that changed its size) is not asked whether there is room.
KEEPS_PLACE_S = 60.0
# A client may claim any rate; nobody paints for a rate like these.
LEAST_FPS, MOST_FPS = 1.0, 240.0


@dataclass
class _Session:
    opening: Open
    wished: Limits
    """Whatever memory says."""
    limits: Limits
    state: SloState
    caps: MemoryCaps
    on_air: bool
    painted_s: float = -math.inf
    seen: Seen = field(default_factory=Seen)

    def is_active(self, now_s: float) -> bool:
        """Whether it paints: under heavy load a chunk may take seconds, and that is no pause."""
        plan = self.state.plan
        chunk_ms = max(plan.span_ms(self.limits.fps), self.state.load * self.state.profile.chunk_ms(plan))
        return now_s - self.painted_s < max(ACTIVE_S, ACTIVE_CHUNKS * chunk_ms / 1e3)


class Governor:
    """The plans of all sessions of an engine. For one thread."""

    def __init__(self, abilities: Abilities, share: Callable[[int], bool] = never) -> None:
        """`share`: as of `SharesForwards`."""
        self._abilities = abilities
        self._forwards = Forwards(abilities.most_together, share)
        self._sessions: dict[str, _Session] = {}
        self._left: dict[str, float] = {}

    def refusal(self, opening: Open) -> Refused | None:
        """Return why one more session has no place beside those that are painted now; None: it has one.

        Only what was measured counts: who has just begun, or sends nothing, takes nothing away.
        """
        is_on_air = opening.settings.on_air
        running = [one for name, one in self._sessions.items() if name != opening.session]
        now_s = max((one.painted_s for one in running), default=-math.inf)
        running = [one for one in running if one.is_active(now_s)]
        # Those off air give way to one that is on air.
        running = [one for one in running if len(one.state.samples) >= RECENT and one.on_air >= is_on_air]
        if not running or now_s - self._left.get(opening.session, -math.inf) < KEEPS_PLACE_S:
            return None
        # The device is as fast for the newcomer as for the one that runs best.
        best = min(running, key=lambda one: one.state.load).state
        limits = capped(limits_of(opening, opening.settings, self._abilities), self._abilities.caps)
        newcomer = Asking(limits=limits, profile=best.profile, load=best.load)
        asking = [_asking(one, gives_way=one.on_air == is_on_air) for one in running]
        answer = admit(asking, newcomer, sizes=self._abilities.sizes, most_together=self._forwards.most)
        if answer:
            self._forwards.refused(now_s)
        return answer

    def open(self, opening: Open) -> Plan:
        """Begin a session; return its first plan."""
        limits = limits_of(opening, opening.settings, self._abilities)
        caps = self._abilities.caps
        within = capped(limits, caps)
        state = begin(within, self._abilities.profile)
        self._sessions[opening.session] = _Session(
            opening, limits, within, state, caps, opening.settings.on_air
        )
        return self.plan(opening.session)

    def close(self, session: str) -> None:
        """Forget a session; if it comes again soon, it still has its place."""
        one = self._sessions.pop(session, None)
        if one is not None and one.painted_s > -math.inf:
            self._left = {n: at for n, at in self._left.items() if one.painted_s - at < KEEPS_PLACE_S}
            self._left[session] = one.painted_s

    def plan(self, session: str) -> Plan:
        """Return the plan in force."""
        return self._sessions[session].state.plan

    def wish(self, session: str, settings: Settings) -> Plan:
        """Take new settings; what they do not limit otherwise goes on as it was. Return the plan."""
        one = self._sessions[session]
        one.on_air = settings.on_air
        wished = limits_of(one.opening, settings, self._abilities)
        if wished.steps != one.wished.steps:
            # Who asks for another number of steps may have made room, and means to try.
            one.caps = self._abilities.caps
        one.wished = wished
        return self._keep_within(session)

    def out_of_memory(self, session: str) -> Plan | None:
        """Note that the plan in force was too much; return one that takes less, None when there is none."""
        one = self._sessions[session]
        caps = lowered(one.caps, one.state.plan, one.limits)
        if caps is None:
            return None
        one.caps = caps
        return self._keep_within(session)

    def memory_words(self, session: str) -> str:
        """Return what a session goes without for want of memory; empty: nothing."""
        one = self._sessions[session]
        return memory_words(one.caps, one.wished, self._abilities.caps)

    def _keep_within(self, session: str) -> Plan:
        one = self._sessions[session]
        limits = capped(one.wished, one.caps)
        if limits != one.limits:
            one.limits = limits
            one.state = control(one.state, limits, room=self._room(session, one.painted_s))
        return one.state.plan

    def measured(self, session: str, chunk: Chunk, together: int = 1) -> Plan:
        """Take the times of a chunk, denoised with those of `together` streams; the next one's plan."""
        one = self._sessions[session]
        one.painted_s = chunk.now_s
        one.seen.note(together)
        chunk = self._forwards.took(one.state, chunk, together)
        self._decide(session, chunk.now_s)
        one.state = control(one.state, one.limits, chunk, self._room(session, chunk.now_s))
        return one.state.plan

    def slack(self, session: str) -> int:
        """Return how many frames beyond a chunk may wait."""
        one = self._sessions[session]
        return may_wait(one.state, one.limits, self._room(session, one.painted_s))

    def describe(self, session: str) -> protocol.Plan:
        """Return the plan as the daemon tells it."""
        one = self._sessions[session]
        plan, words = one.state.plan, reductions(one.state.plan, one.limits)
        return protocol.Plan(
            steps=plan.steps,
            mode="throughput" if plan.stream_batch else "latency",
            chunk=plan.chunk_latents,
            width=plan.size[0],
            height=plan.size[1],
            frame_step=plan.frame_step,
            together=one.seen.together,
            reduced=bool(words),
            sentence=words,
        )

    def _decide(self, session: str, now_s: float) -> None:
        """How many streams share a forward, and so what each costs."""
        active = self._active(session, now_s)
        states = self._forwards.decide([(one.state, one.limits) for one in active], now_s)
        for one, state in zip(active, states, strict=True):
            one.state = state

    def _active(self, session: str, now_s: float) -> list[_Session]:
        """That session and those that are painted now."""
        sessions = self._sessions.items()
        return [one for name, one in sessions if name == session or one.is_active(now_s)]

    def _room(self, session: str, now_s: float) -> Room:
        active = self._active(session, now_s)
        if len(active) < 2:
            return WHOLE_DEVICE
        given = rooms([(one.state, one.limits) for one in active], [one.on_air for one in active])
        return next(room for room, one in zip(given, active, strict=True) if one is self._sessions[session])


def governor_of(engine: PaintEngine) -> Governor | None:
    """Return the governor of an engine's streams; None where there is no plan to choose."""
    if engine.abilities is None:
        return None
    return Governor(engine.abilities, engine.share if isinstance(engine, SharesForwards) else never)


def _asking(one: _Session, *, gives_way: bool) -> Asking:
    asking = Asking(limits=one.limits, profile=one.state.profile, load=one.state.load)
    return asking if gives_way else asking.held_at(one.state.plan)


def limits_of(opening: Open, settings: Settings, abilities: Abilities) -> Limits:
    """Return what a session asks for, of what its engine and its slots allow."""
    room = opening.input.slots - SPARE_SLOTS
    most_chunk = max(1, min(abilities.most_chunk, room // FRAMES_PER_LATENT))
    wished = min(settings.chunk, most_chunk)
    fps = min(MOST_FPS, max(LEAST_FPS, opening.fps))
    return Limits(
        fps=fps,
        latency_ms=settings.latency_ms,
        steps=settings.steps,
        least_steps=min(settings.least_steps, settings.steps),
        mode=settings.mode,
        chunk_latents=wished,
        default_chunk=min(abilities.default_chunk, most_chunk),
        most_chunk=most_chunk,
        most_waiting=room,
        frames_behind=abilities.frames_behind,
        sizes=sizes_from((opening.width, opening.height), abilities.sizes),
        adapt=settings.adapt,
    )
