"""SLO control: what to paint next, and how, so that a stream's delay never grows. Pure functions, no torch.

`control` takes what is known and one more measured chunk, and returns what is known then; `.plan` is what to
do. The loop calls it live after each chunk; the simulator calls the same function with times from a list.

Down: as soon as the plan does not fit any more, by the median of the last three chunks (one hiccup is no
reason, two slow chunks are, unless the newest is quick again), quality goes down as far as it must, in the
order that `slo_plan.ladder` says. How far that is, the slowest of the three tell, if they are most of the
time: to find out by further slow chunks takes seconds. The first chunk by a plan pays for the change: it
counts in this as any other, and in nothing else.
Up: one level at a time, when for `patience_s` nine of ten chunks would have fitted the better plan with
`HEADROOM` to spare (a plan that cannot keep up is left for any that can). Against flapping: a climb that
fails at once (the forecast was wrong) is undone, and repeated at the same load only after a wait that
doubles each time; one that fails later (the load comes and goes) makes the look back longer. Both are
bounded: see `RECOVERY_S`.
Where nothing fits, the plan that misses least (`slo_cost.miss`), and a better one as soon as it misses less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limner.engine.slo_cost import LEAST_SLACK, WHOLE_DEVICE, Room, miss, pressure, slack, use
from limner.engine.slo_plan import Limits, Plan, ladder, level_of
from limner.engine.slo_state import (
    AT_ONCE_S,
    LOWER_LOAD,
    MOST_PATIENCE_S,
    PATIENCE_S,
    RECENT,
    RETRY_S,
    Chunk,
    Climb,
    SloState,
    noted,
)

STAYS = 0.97
"""A plan is kept while it would fit if the load were 1 / STAYS times as high: jitter needs a little room."""
FITS = 0.95
"""A plan to go down to would still fit if the load were 1 / FITS times as high ..."""
HEADROOM = 0.80
"""... and one to climb to, if it were 1 / HEADROOM times as high."""
CLIMB_S = 0.4
"""From one climb to the next, and a new plan is measured at least once between them."""
MOST_RETRY_S = 30.0
RECOVERY_S = 10.0
"""So long after a load's end quality is back; the patience above leaves time for the ladder's levels."""


def control(
    state: SloState, limits: Limits, chunk: Chunk | None = None, room: Room = WHOLE_DEVICE
) -> SloState:
    """Return the state after a chunk; without one, after a change of the limits: a wish is granted at once.

    Pure: the same arguments give the same answer, and time is what `chunk` says.
    """
    if chunk is None or level_of(state.plan, ladder(limits)) < 0:
        return _within(state, limits, room)
    state = noted(state, limits, chunk)
    if not _fits(state, limits, room):
        lowered = _lowered(state, limits, room)
        if lowered.plan != state.plan:
            return lowered
        # Nothing below helps: what is above may (it can have less delay).
        state = replace(state, is_feasible=False)
    else:
        state = replace(state, is_feasible=True)
    # A new plan is measured at least once before there is another.
    return state if state.samples[-1].is_first else _raised(state, limits, room)


def may_wait(state: SloState, limits: Limits, room: Room = WHOLE_DEVICE) -> int:
    """Return how many frames beyond a chunk may wait before latest wins.

    Where the plan takes more time than there is, the queue would always be full: a delay for nothing.
    """
    if not state.is_feasible and _use(state, state.plan, limits, state.load) > room.share:
        return LEAST_SLACK
    return slack(state.plan, limits, state.load * state.profile.chunk_ms(state.plan), room)


def _within(state: SloState, limits: Limits, room: Room) -> SloState:
    """Return the best plan under new limits at the load of now."""
    flat = _flat(limits)
    load = state.load / FITS
    plan = next((p for p in flat if _pressure(state, p, limits, room, load) <= 1), None)
    feasible = plan is not None
    plan = plan or _nearest(state, limits, room, flat)
    if plan != state.plan:
        # What was late by the old plan says nothing of this one.
        changed_s = state.samples[-1].now_s if state.samples else state.changed_s
        state = replace(state, plan=plan, changed_s=changed_s, is_settling=True)
    return replace(state, is_feasible=feasible, climb=None, failed=None)


def _fits(state: SloState, limits: Limits, room: Room) -> bool:
    """The forecast fits, and what was measured does not say otherwise."""
    recent = state.samples[-RECENT:]
    since = [sample for sample in recent if sample.now_s > state.changed_s and not sample.is_first]
    if len(recent) <= RECENT // 2:
        return True
    if sum(sample.is_late for sample in since) > RECENT // 2:
        return False
    # What was slow is over where the newest is quick, or was the fault of a plan that is left.
    load = min(state.load, recent[-1].load)
    return _pressure(state, state.plan, limits, room, load / STAYS) <= 1


def _lowered(state: SloState, limits: Limits, room: Room) -> SloState:
    climb, now_s = state.climb, state.samples[-1].now_s
    if climb is not None and now_s - climb.at_s <= AT_ONCE_S:
        return _undone(state, climb)
    plan, feasible = _lower_plan(state, limits, room)
    if plan == state.plan:
        return state
    if state.failed is not None and now_s - state.lowered_s <= AT_ONCE_S:
        # The plan below is slow as well: it was no wrong forecast, the load rose just then.
        state, climb = replace(state, failed=None, retry_s=RETRY_S), state.failed
    # A climb that held for a while was right: the load comes and goes.
    patience_s = state.patience_s if climb is None else min(MOST_PATIENCE_S, 2 * state.patience_s)
    changed = replace(state, plan=plan, changed_s=now_s, lowered_s=now_s, is_settling=True)
    return replace(changed, is_feasible=feasible, climb=None, patience_s=patience_s)


def _undone(state: SloState, climb: Climb) -> SloState:
    """The forecast for the better plan was wrong: back to the one that was good.

    If it is the load that rose just then, the next chunk tells: two were slow already.
    """
    now_s = state.samples[-1].now_s
    retry_s = RETRY_S if state.failed is None else min(MOST_RETRY_S, 2 * state.retry_s)
    changed = replace(state, plan=climb.below, changed_s=now_s, lowered_s=now_s, is_settling=True)
    return replace(changed, climb=None, failed=climb, retry_s=retry_s)


def _lower_plan(state: SloState, limits: Limits, room: Room) -> tuple[Plan, bool]:
    """Return the best plan below that fits, or the nearest to it, and which of the two it is."""
    flat = _flat(limits)
    below = flat[flat.index(state.plan) + 1 :]
    # Where the forecast was too good, only a plan that asks for less can help.
    most = min(1.0, _pressure(state, state.plan, limits, room, state.load))
    load = state.risen_load / FITS
    plan = next((p for p in below if _pressure(state, p, limits, room, load) <= most), None)
    if plan is not None:
        return plan, True
    return _nearest(state, limits, room, [state.plan, *below]), False


def _raised(state: SloState, limits: Limits, room: Room) -> SloState:
    now_s = state.samples[-1].now_s
    # Who does not keep up anyway has nothing to lose by a climb, and waits for no proof.
    patience_s = state.patience_s if state.is_feasible else PATIENCE_S
    load = state.lasting_load(patience_s) if state.is_feasible else state.load
    waiting = now_s - state.lowered_s < patience_s or now_s - state.changed_s < CLIMB_S
    if waiting or (state.is_feasible and _is_barred(state, load, now_s)):
        return state
    # A plan that does not fit anyway is left for one that barely does.
    if state.is_feasible:
        plan = _better(state, limits, room, load / HEADROOM)
    else:
        plan = _better(state, limits, room, load / FITS)
        plan = plan or _less_bad(state, limits, room, load / HEADROOM)
    if plan is None:
        return state
    # One that did not fit is nothing to go back to.
    climb = Climb(at_s=now_s, load=load, below=state.plan) if state.is_feasible else None
    return replace(state, plan=plan, changed_s=now_s, is_settling=True, climb=climb)


def _is_barred(state: SloState, load: float, now_s: float) -> bool:
    failed = state.failed
    if failed is None or load < LOWER_LOAD * failed.load:
        return False
    return now_s - state.lowered_s < state.retry_s


def _better(state: SloState, limits: Limits, room: Room, load: float) -> Plan | None:
    """Return a plan of the nearest level above that fits a load, else one of this level with less delay."""
    better = _above(state, limits)
    return next((p for p in better if _pressure(state, p, limits, room, load) <= 1), None)


def _less_bad(state: SloState, limits: Limits, room: Room, load: float) -> Plan | None:
    """Where nothing fits: a plan that would miss less even at a load than the one in force does now."""
    now = _miss(state, state.plan, limits, room, state.load)
    return next((p for p in _above(state, limits) if _miss(state, p, limits, room, load) < now), None)


def _above(state: SloState, limits: Limits) -> list[Plan]:
    rungs = ladder(limits)
    level = level_of(state.plan, rungs)
    above = [plan for ways in reversed(rungs[:level]) for plan in ways]
    return [*above, *rungs[level][: rungs[level].index(state.plan)]]


def _nearest(state: SloState, limits: Limits, room: Room, plans: Sequence[Plan]) -> Plan:
    """Return the plan that misses its limits least."""
    return min(plans, key=lambda plan: _miss(state, plan, limits, room, state.load))


def _miss(state: SloState, plan: Plan, limits: Limits, room: Room, load: float) -> float:
    profile = state.profile
    return miss(plan, limits, load * profile.chunk_ms(plan), room, profile.busy_share(plan))


def _use(state: SloState, plan: Plan, limits: Limits, load: float) -> float:
    profile = state.profile
    return use(plan, limits, load * profile.chunk_ms(plan), profile.busy_share(plan))


def _pressure(state: SloState, plan: Plan, limits: Limits, room: Room, load: float) -> float:
    profile = state.profile
    return pressure(plan, limits, load * profile.chunk_ms(plan), room, profile.busy_share(plan))


def _flat(limits: Limits) -> list[Plan]:
    return [plan for ways in ladder(limits) for plan in ways]
