"""SLO control: what to paint next, and how, so that a stream's delay never grows. Pure functions, no torch.

`control` takes what is known and one more measured chunk, and returns what is known then; `.plan` is what to
do. The loop calls it live after each chunk; the simulator calls the same function with times from a list.

Down: as soon as the plan does not fit any more, by the median of the last three chunks (one hiccup is no
reason, two slow chunks are), quality goes down as far as it must, in the order that `slo_plan.ladder` says.
Up: one level at a time, when for `patience_s` nine of ten chunks would have fitted the better plan with
`HEADROOM` to spare (a plan that cannot keep up is left for any that can). Against flapping: a climb that
fails at once (the forecast was wrong) is undone, and repeated at the same load only after a wait that
doubles each time; one that fails later (the load comes and goes) makes the look back longer. Both are
bounded: see `RECOVERY_S`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from limner.engine.slo_cost import WHOLE_DEVICE, Room, pressure
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
    Sample,
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
    if state.is_settling:
        return replace(state, is_settling=False)
    state = noted(state, limits, chunk)
    if not _fits(state, limits, room):
        lowered = _lowered(state, limits, room)
        if lowered.plan != state.plan:
            return lowered
        # Nothing below helps: what is above may (it can have less delay).
        return _raised(replace(state, is_feasible=False), limits, room)
    return _raised(replace(state, is_feasible=True), limits, room)


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
    since = [sample for sample in recent if sample.now_s > state.changed_s]
    if sum(sample.is_late for sample in since) > RECENT // 2:
        return False
    return _pressure(state, state.plan, limits, room, state.load / STAYS) <= 1


def _lowered(state: SloState, limits: Limits, room: Room) -> SloState:
    climb, now_s = state.climb, state.samples[-1].now_s
    if climb is not None and now_s - climb.at_s <= AT_ONCE_S:
        return _undone(state, climb)
    plan, feasible = _lower_plan(state, limits, room)
    if plan == state.plan:
        return state
    # A climb that held for a while was right: the load comes and goes.
    patience_s = state.patience_s if climb is None else min(MOST_PATIENCE_S, 2 * state.patience_s)
    changed = replace(state, plan=plan, changed_s=now_s, lowered_s=now_s, is_settling=True)
    return replace(changed, is_feasible=feasible, climb=None, patience_s=patience_s)


def _undone(state: SloState, climb: Climb) -> SloState:
    """The forecast for the better plan was wrong: back to the one that was good, as if nothing were measured.

    If it is the load that rose just then, the next chunks tell.
    """
    now_s = state.samples[-1].now_s
    retry_s = RETRY_S if state.failed is None else min(MOST_RETRY_S, 2 * state.retry_s)
    changed = replace(state, plan=climb.below, changed_s=now_s, lowered_s=now_s, is_settling=True)
    before = tuple(sample for sample in state.samples if sample.now_s <= climb.at_s)
    return replace(changed, samples=before, climb=None, failed=climb, retry_s=retry_s)


def _lower_plan(state: SloState, limits: Limits, room: Room) -> tuple[Plan, bool]:
    """Return the best plan below that fits, or the nearest to it, and which of the two it is."""
    flat = _flat(limits)
    below = flat[flat.index(state.plan) + 1 :]
    # Where the forecast was too good, only a plan that asks for less can help.
    most = min(1.0, _pressure(state, state.plan, limits, room, state.load))
    load = state.load / FITS
    plan = next((p for p in below if _pressure(state, p, limits, room, load) <= most), None)
    if plan is not None:
        return plan, True
    return _nearest(state, limits, room, [state.plan, *below]), False


def _raised(state: SloState, limits: Limits, room: Room) -> SloState:
    now_s = state.samples[-1].now_s
    # Who does not keep up anyway has nothing to lose.
    patience_s = state.patience_s if state.is_feasible else PATIENCE_S
    load = _lasting_load(state.samples, now_s - patience_s)
    waiting = now_s - state.lowered_s < patience_s or now_s - state.changed_s < CLIMB_S
    if waiting or _is_barred(state, load, now_s):
        return state
    # A plan that does not fit anyway is left for one that barely does.
    margin = HEADROOM if state.is_feasible else FITS
    plan = _better(state, limits, room, load / margin)
    if plan is None:
        return state
    return replace(
        state,
        plan=plan,
        changed_s=now_s,
        is_settling=True,
        climb=Climb(at_s=now_s, load=load, below=state.plan),
    )


def _lasting_load(samples: Sequence[Sample], since_s: float) -> float:
    """Return the load that nine of ten of the chunks since then stayed below."""
    loads = sorted(sample.load for sample in samples if sample.now_s >= since_s)
    return loads[math.ceil(0.9 * len(loads)) - 1]


def _is_barred(state: SloState, load: float, now_s: float) -> bool:
    failed = state.failed
    if failed is None or load < LOWER_LOAD * failed.load:
        return False
    return now_s - state.lowered_s < state.retry_s


def _better(state: SloState, limits: Limits, room: Room, load: float) -> Plan | None:
    """Return a plan of the nearest level above that fits a load, else one of this level with less delay."""
    rungs = ladder(limits)
    level = level_of(state.plan, rungs)
    above = [plan for ways in reversed(rungs[:level]) for plan in ways]
    own = rungs[level][: rungs[level].index(state.plan)]
    return next((p for p in (*above, *own) if _pressure(state, p, limits, room, load) <= 1), None)


def _nearest(state: SloState, limits: Limits, room: Room, plans: Sequence[Plan]) -> Plan:
    return min(plans, key=lambda plan: _pressure(state, plan, limits, room, state.load))


def _pressure(state: SloState, plan: Plan, limits: Limits, room: Room, load: float) -> float:
    profile = state.profile
    return pressure(plan, limits, load * profile.chunk_ms(plan), room, profile.busy_share(plan))


def _flat(limits: Limits) -> list[Plan]:
    return [plan for ways in ladder(limits) for plan in ways]
