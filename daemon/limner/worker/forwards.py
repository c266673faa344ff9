"""Streams that share forwards: the thin shell around `limner.engine.slo_learn`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

from limner.engine.slo_admit import Asking
from limner.engine.slo_kinds import together_of
from limner.engine.slo_learn import Learned, decided, noted, own_ms, refused
from limner.engine.slo_plan import Limits, ladder
from limner.engine.slo_state import Chunk, SloState

log = logging.getLogger("limner.worker")
SEEN = 8
"""Chunks of a session whose forwards are counted for the report."""


@dataclass
class Seen:
    """How many streams shared the forwards of a session's last chunks."""

    _counts: deque[int] = field(default_factory=lambda: deque(maxlen=SEEN))

    def note(self, together: int) -> None:
        """One more chunk."""
        self._counts.append(together)

    @property
    def together(self) -> int:
        """In the mean, rounded; 1 before anything was painted."""
        return round(mean(self._counts)) if self._counts else 1


class Forwards:
    """How many of an engine's streams share a forward, and what that saves. For one thread."""

    def __init__(self, most: int, share: Callable[[int], bool]) -> None:
        """`most`: streams that can share one. `share`: lets so many do so; False: they cannot any more."""
        self._learned = Learned(most=most)
        self._share = share

    @property
    def most(self) -> int:
        """Streams that can share a forward."""
        return self._learned.most

    @property
    def together(self) -> int:
        """Streams that may share one now."""
        return self._learned.together

    def refused(self, now_s: float) -> None:
        """A stream had no place."""
        self._learned = refused(self._learned, now_s)

    def took(self, state: SloState, chunk: Chunk, together: int) -> Chunk:
        """Learn of a chunk; return it as the control is to see it: with its part of a shared forward."""
        if self.most == 1:
            return chunk
        plan, now_s, ms = state.plan, chunk.now_s, chunk.stages_ms.get("denoise", 0.0)
        self._learned = noted(self._learned, plan, denoise_ms=ms, together=together, now_s=now_s)
        if together == 1 and state.profile.together == 1:
            return chunk
        alone_ms = own_ms(self._learned, plan, denoise_ms=ms, together=together, now_s=now_s)
        profile = state.profile
        alone = replace(profile, together=1.0).stages_ms(plan)["denoise"]
        part = profile.stages_ms(plan)["denoise"] / alone
        return replace(chunk, stages_ms=chunk.stages_ms | {"denoise": alone_ms * part})

    def decide(self, streams: Sequence[tuple[SloState, Limits]], now_s: float) -> list[SloState]:
        """Let as many share as shall now; return the streams' states with what that saves them."""
        if self.most == 1:
            return [state for state, _ in streams]
        alone = [self._alone(state, limits) for state, limits in streams]
        wanted = [(one, ladder(one.limits)[0][0]) for one in alone]
        before = self.together
        self._learned = decided(self._learned, wanted, [state.plan for state, _ in streams], now_s)
        self._tell(before)
        return [
            replace(
                state,
                profile=replace(
                    state.profile,
                    saved=self._learned.saved_ms(one),
                    together=self._mean(streams, number, plan.frame_step),
                ),
            )
            for number, ((state, _), (one, plan)) in enumerate(zip(streams, wanted, strict=True))
        ]

    def _mean(self, streams: Sequence[tuple[SloState, Limits]], number: int, frame_step: int) -> float:
        """Return how many one shares with when it is painted at the rate that it would have.

        Not at that of now: who paints every second frame could never hope to share them all.
        """
        if not self._learned.pays:
            return 1.0  # They try it out: nothing is known to be saved.
        plans = [(limits, state.plan) for state, limits in streams]
        limits, plan = plans[number]
        plans[number] = (limits, replace(plan, frame_step=frame_step))
        return together_of(plans, self.together)[number]

    def _alone(self, state: SloState, limits: Limits) -> Asking:
        profile = replace(state.profile, together=1.0)
        return Asking(limits=limits, profile=profile, load=state.load)

    def _tell(self, before: int) -> None:
        if self.together == before == 1:
            return
        if not self._share(self.together):
            self._learned = Learned()  # The engine has said why.
        elif self.together != before:
            log.info("up to %d streams share a forward", self.together)
