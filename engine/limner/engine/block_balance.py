"""When blocks move: from what the ranks measure, in time, to a split. Pure, no torch.

`balance` takes what is known and one more report, and returns what is known then; `.split` is what the ranks
should hold. A rank's time for a block is the median of the last seconds or, where that of the last second is
clearly another one, the latter: noise is averaged away, and a real change (a game starts on one card) is
answered in about two seconds. A better split must be better at every look for `LASTING_S`, longer where it
is only a little better, and after a move nothing moves for `SETTLE_S`. Against flapping: to go back to a
split that was left a short time ago takes `TWICE` the gain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from limner.engine.blocks import LEAST_GAIN, RankCost, Split, counts_of, rebalanced

LONG_S = 6.0
SHORT_S = 1.0
CHANGED = 0.25
"""The times of the last second count alone where they are more than this share off those of the last six."""
FEW = 3
"""Reports, less than which say nothing."""
LASTING_S = 0.75
SMALL_GAIN, LASTING_FOR_SMALL_S = 0.15, 2.0
"""A gain that noise could feign must last for longer."""
SETTLE_S = 1.0
"""The first chunks after a move pay for it."""
LEFT_S = 30.0
"""A split that was left is remembered for so long."""
TWICE = 2.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the ranks measured since the last report, in means of a micro-step."""

    now_s: float
    """On any clock that runs evenly."""
    split: Split
    """Under which it was measured: a move may be on its way."""
    blocks_ms: tuple[float, ...]
    """A rank's forward through all its blocks; 0 where there was none."""
    fixed_ms: tuple[float, ...]
    """Everything else on that device, averaged over micro-steps."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What is known of a pipeline. Made by `begin`, carried on by `balance`."""

    split: Split
    """That the ranks should hold."""
    costs: tuple[RankCost, ...]
    """As measured; of a rank without blocks, as known before, scaled as its other work is."""
    transfer_ms: float = 0.0
    move_ms: float = 0.0
    """How long the ring stands still for each block that moves."""
    reports: tuple[Report, ...] = ()
    better_since_s: float = math.inf
    moved_s: float = -math.inf
    left: tuple[tuple[float, Split], ...] = ()
    """When which split was left."""


def begin(split: Split, costs: Sequence[RankCost], transfer_ms: float = 0.0, move_ms: float = 0.0) -> Balance:
    """Return the state of a pipeline that begins so, at costs as counted or guessed."""
    return Balance(split=split, costs=tuple(costs), transfer_ms=transfer_ms, move_ms=move_ms)


def balance(state: Balance, report: Report) -> Balance:
    """Return the state after a report; a move is to be made where its split is another one.

    Pure: time is what the reports say. Raises `ValueError` as `best_split` does.
    """
    state = _noted(state, report)
    if len(state.reports) < FEW or report.now_s - state.moved_s < SETTLE_S:
        return replace(state, better_since_s=math.inf)
    better = _better(state, LEAST_GAIN)
    if better is not None and any(better == split for _, split in state.left):
        better = _better(state, TWICE * LEAST_GAIN)
    if better is None:
        return replace(state, better_since_s=math.inf)
    is_small = _better(state, SMALL_GAIN) is None
    since_s = min(state.better_since_s, report.now_s)
    if report.now_s - since_s < (LASTING_FOR_SMALL_S if is_small else LASTING_S):
        return replace(state, better_since_s=since_s)
    left = (*state.left, (report.now_s, state.split))
    return replace(state, split=better, moved_s=report.now_s, better_since_s=math.inf, left=left)


def _better(state: Balance, least_gain: float) -> Split | None:
    return rebalanced(
        state.split, state.costs, state.transfer_ms, least_gain=least_gain, move_ms=state.move_ms
    )


def _noted(state: Balance, report: Report) -> Balance:
    recent = [old for old in state.reports if old.now_s > report.now_s - LONG_S]
    reports = (*recent, report)
    left = tuple(one for one in state.left if one[0] > report.now_s - LEFT_S)
    costs = tuple(_cost(reports, rank, before) for rank, before in enumerate(state.costs))
    return replace(state, reports=reports, left=left, costs=costs)


def _cost(reports: Sequence[Report], rank: int, before: RankCost) -> RankCost:
    fixed_ms = _typical([(report.now_s, report.fixed_ms[rank]) for report in reports])
    blocks = [
        (report.now_s, report.blocks_ms[rank] / count)
        for report in reports
        if (count := counts_of(report.split)[rank]) and report.blocks_ms[rank] > 0
    ]
    if blocks and blocks[-1][0] > reports[-1].now_s - SHORT_S:
        block_ms = _typical(blocks)
    else:
        # Who holds no block shows by its other work how fast it is now.
        block_ms = before.block_ms * (fixed_ms / before.fixed_ms if before.fixed_ms and fixed_ms else 1.0)
    return replace(before, block_ms=block_ms, fixed_ms=fixed_ms)


def _typical(times: Sequence[tuple[float, float]]) -> float:
    """Return the median of what was measured when, or of the last second's where that is another one."""
    newest_s = times[-1][0]
    long = median(ms for _, ms in times)
    short = median(ms for at_s, ms in times if at_s > newest_s - SHORT_S)
    return short if abs(short - long) > CHANGED * long else long
